"""What is known of runs, as services give it out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater.accounts import Resource
from headwater.compute.models import Need, RunId, State
from headwater.kernel import AccountId, CommitId, RepoId


@dataclass(frozen=True)
class RunInput:
    """``repo_path`` is the address it had when the run was submitted, with its type: ``models/ada/tiny``."""

    name: str
    repo_id: RepoId
    repo_path: str
    revision: str
    commit: CommitId


@dataclass(frozen=True)
class Output:
    """``repo_id`` is None until the repository is there."""

    name: str
    repo_id: RepoId | None
    repo_path: str
    is_private: bool


@dataclass(frozen=True)
class Commit:
    """Something that a run has put into an output: ``files`` maps each path to the sha256 of what is there."""

    run_id: RunId
    output: str
    attempt: int
    repo_id: RepoId
    commit: CommitId
    revision: str
    files: dict[str, str]
    made_at: datetime


@dataclass(frozen=True)
class Attempt:
    number: int
    state: State
    runner: str
    host_id: str
    token_id: int | None
    remote_id: str | None
    lease_until: datetime
    reason_code: str | None
    reason: str | None
    exit_code: int | None
    usage: dict[str, Any] | None
    reported_at: datetime | None
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class Run:
    """``resolved`` is the recipe as its program sees it: inputs pinned, defaults filled in."""

    id: RunId
    kind: str
    name: str
    state: State
    owner_id: AccountId
    created_by: AccountId
    is_private: bool
    priority: int
    recipe_text: str
    recipe_digest: str
    recipe_repo_id: RepoId | None
    recipe_commit: CommitId | None
    recipe_path: str | None
    resolved: dict[str, Any]
    need: Need
    retries: int
    n_attempts: int
    n_losses: int
    parent_id: RunId | None
    reason_code: str | None
    reason: str | None
    result: dict[str, Any] | None
    progress: dict[str, Any] | None
    energy: dict[str, Any] | None
    environment: dict[str, Any] | None
    usage: dict[str, Any] | None
    n_points: int
    n_log_bytes: int
    cancel_requested_at: datetime | None
    created_at: datetime
    due_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def resource(self) -> Resource:
        return Resource(owner_id=self.owner_id, is_private=self.is_private, created_by=self.created_by)


@dataclass(frozen=True)
class RunHost:
    """Where runs can be started."""

    id: str
    name: str
    runner: str
    cpus: float
    memory_bytes: int
    gpus: int
    chip: str | None
    extras: dict[str, bool]
    seen_at: datetime


@dataclass(frozen=True)
class LogPiece:
    """``end`` and the next one's ``start`` differ where something was left out."""

    number: int
    attempt: int
    start: int
    end: int
    text: str
    said_at: datetime
