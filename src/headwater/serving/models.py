"""What an endpoint is, and how it can be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from headwater.accounts import Resource
from headwater.kernel import AccountId, CommitId, RepoId

LLAMA_CPP, TRANSFORMERS = "llama.cpp", "transformers"
ENGINES = (LLAMA_CPP, TRANSFORMERS)
TASKS = ("generate", "embed")
ACCESSES = ("members", "everyone")


class State(Enum):
    """``READY`` alone answers at once; ``ASLEEP`` and those on the way there answer after a while."""

    STOPPED = "stopped"  # somebody said so
    WAITING = "waiting"  # for a host that has room, or the engine
    STARTING = "starting"
    READY = "ready"
    ASLEEP = "asleep"  # nobody asked for a while; the next request wakes it
    BACKING_OFF = "backing_off"  # its engine died, and is started again after a pause
    FAILED = "failed"  # too often; until somebody starts it again


@dataclass(frozen=True)
class Endpoint:
    """A model that is served, and as what. ``context_tokens`` and ``slots`` are what was asked for."""

    id: int
    owner_id: AccountId
    owner: str
    name: str
    repo_id: RepoId
    repo: str  # namespace/name, now
    repo_resource: Resource  # who may know which it is, though they may ask the endpoint
    commit: CommitId
    file: str | None
    engine: str
    task: str
    access: str
    context_tokens: int
    slots: int
    idle_s: int
    keeps_contents: bool
    wanted: str
    created_by: AccountId
    created_at: datetime

    @property
    def model(self) -> str:
        """What clients call it: the OpenAI protocol's ``model``."""
        return f"{self.owner}/{self.name}"

    @property
    def resource(self) -> Resource:
        """For ``require``: the owner's, seen by members only or by everyone; fine-grained tokens may name the repository."""
        return Resource(owner_id=self.owner_id, repo_id=self.repo_id, is_private=self.access == "members")

    @property
    def owned(self) -> Resource:
        """The same for its upkeep: what a token may do to the model's repository says nothing about that."""
        return Resource(owner_id=self.owner_id, is_private=self.access == "members")


@dataclass(frozen=True)
class Standing:
    """How an endpoint is now. ``address`` and ``key`` are the engine's, None while there is none."""

    state: State
    reason: str
    since: datetime
    holder: str | None
    held_until: datetime | None
    host: str | None
    pid: int | None
    pid_started: int | None
    address: str | None
    key: str | None
    context_tokens: int | None
    n_failures: int
    retry_at: datetime | None
    wake_at: datetime | None
    last_used_at: datetime | None
    log_tail: str


@dataclass(frozen=True)
class Served:
    """An endpoint and how it is."""

    endpoint: Endpoint
    standing: Standing


@dataclass(frozen=True)
class Used:
    """What one request, or many, used."""

    n_requests: int = 0
    n_errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_ms: int = 0
    whole_ms: int = 0


@dataclass(frozen=True)
class Limits:
    """The most in a minute and in a day; 0: no limit."""

    requests_minute: int = 0
    requests_day: int = 0
    tokens_minute: int = 0
    tokens_day: int = 0
