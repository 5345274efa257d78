"""What people say and do around repositories: discussions, pull requests, collections, webhooks. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import AccountId, CommitId, Grant, RepoId


class Status(Enum):
    """Drafts and merges are of pull requests only."""

    DRAFT = "draft"
    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"

    @property
    def is_live(self) -> bool:
        """Whether it still asks for attention; lists of "open" ones hold drafts too, as on the public hub."""
        return self in (Status.DRAFT, Status.OPEN)


class EventKind(Enum):
    COMMENT = "comment"
    STATUS_CHANGE = "status-change"
    TITLE_CHANGE = "title-change"
    COMMIT = "commit"


@dataclass(frozen=True)
class Discussion:
    """A discussion, or with ``is_pull`` a pull request; both draw ``num`` from one line per repository.

    ``base_ref`` is the full name of the branch a pull request asks to change; ``start_commit`` where that was when
    it was opened; ``merged_base`` where it was just before the merge.
    """

    id: int
    repo_id: RepoId
    num: int
    public_id: str
    is_pull: bool
    title: str
    status: Status
    author_id: AccountId
    n_comments: int
    n_events: int
    created_at: datetime
    updated_at: datetime
    base_ref: str | None
    start_commit: CommitId | None
    merged_base: CommitId | None
    merge_commit: CommitId | None

    @property
    def ref(self) -> str:
        """Where the commits of a pull request are pushed."""
        return f"refs/pr/{self.num}"


@dataclass(frozen=True)
class Edit:
    """A former text of a comment, and who wrote it."""

    body: str
    author_id: AccountId
    written_at: datetime


@dataclass(frozen=True)
class Event:
    """One thing that happened. ``data`` by kind: ``{status}``, ``{from, to}``, ``{oid, subject}``; for comments empty."""

    id: int
    public_id: str
    kind: EventKind
    author_id: AccountId
    created_at: datetime
    body: str
    edited_at: datetime | None
    edited_by: AccountId | None
    hidden_at: datetime | None
    hidden_by: AccountId | None
    data: dict[str, Any]
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True)
class DiscussionFilter:
    """What a list is narrowed to; None or "all" narrows nothing. ``status`` "open" holds drafts, "closed" merges."""

    is_pull: bool | None = None
    status: str = "all"
    author: str | None = None
    search: str | None = None


@dataclass(frozen=True)
class DiscussionPage:
    """``count`` is how many the filter matches in all, ``start`` how many stand before this page."""

    items: tuple[Discussion, ...]
    count: int
    start: int


@dataclass(frozen=True)
class Like:
    repo_id: RepoId
    kind: RepoKind
    name: RepoName
    created_at: datetime


@dataclass(frozen=True)
class Collection:
    id: int
    public_id: str
    owner_id: AccountId
    owner_name: str
    title: str
    description: str | None
    is_private: bool
    theme: str
    position: int
    created_at: datetime
    updated_at: datetime
    n_items: int = 0

    @property
    def slug(self) -> str:
        """``owner/title-in-short-<id>``; only the id at the end is looked up, so that a new title breaks no link."""
        return f"{self.owner_name}/{slugify(self.title)}-{self.public_id}"


@dataclass(frozen=True)
class CollectionItem:
    """One thing in a collection: ``repo_id`` or ``inner_id`` is set."""

    id: int
    public_id: str
    repo_id: RepoId | None
    inner_id: int | None
    note: str | None
    position: int


@dataclass(frozen=True)
class Watched:
    """What a webhook looks at: an account (``kind`` "user" or "org") or a repository ("model", "dataset", "space")."""

    kind: str
    name: str
    account_id: AccountId | None = None
    repo_id: RepoId | None = None


@dataclass(frozen=True)
class Webhook:
    id: int
    public_id: str
    account_id: AccountId
    url: str
    secret: str | None
    domains: tuple[str, ...]
    watched: tuple[Watched, ...]
    is_disabled: bool
    n_failures: int
    created_at: datetime
    grants: tuple[Grant, ...] | None = (
        None  # of the fine-grained token it was made or last changed with; None: no bounds
    )


@dataclass(frozen=True)
class Delivery:
    """One event for one webhook. ``facts`` is what happened; addresses are added when it is sent."""

    id: int
    public_id: str
    webhook_id: int
    event: str
    facts: dict[str, Any]
    state: str
    n_attempts: int
    http_status: int | None
    answer: str
    created_at: datetime
    attempted_at: datetime | None
    duration_ms: int | None


MAX_SLUG_CHARS = 60


def slugify(title: str) -> str:
    """Letters and digits of any script in lower case, other runs as one hyphen."""
    words = "".join(char if char.isalnum() else " " for char in title.lower()).split()
    return "-".join(words)[:MAX_SLUG_CHARS].strip("-") or "collection"
