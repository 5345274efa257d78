"""What governance knows of a repository; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from headwater.governance.facts import Evidence
from headwater.kernel import CommitId, RepoId


@dataclass(frozen=True)
class Override:
    """What somebody decided otherwise than the machine, and why. It stands beside the machine's word, never in its place."""

    id: int
    criterion: str
    value: str
    reason: str
    machine_value: str
    made_by: str
    made_at: datetime
    withdrawn_by: str | None = None
    withdrawn_at: datetime | None = None


@dataclass(frozen=True)
class Row:
    """One criterion's evidence."""

    criterion: str
    rule_version: int
    value: str
    basis: str
    reason: str
    words: Mapping[str, str | int]
    licence: str
    is_open_licence: bool
    evidence: Sequence[Evidence]
    checked_at: datetime


@dataclass(frozen=True)
class Kept:
    """A repository's grade as it is kept, without its rows."""

    repo_id: RepoId
    commit: CommitId | None
    rules: str
    label: str
    ladder: int | None
    licences: Sequence[str]
    declared: str
    texts: frozenset[str]
    shows: frozenset[str]
    roles: frozenset[str]
    digest: str
    graded_at: datetime


@dataclass(frozen=True)
class Link:
    """A repository that a card names. ``way`` as in ``licensing``, or a role that carries no conditions."""

    way: str
    relation: str
    kind: str
    name: str
    pinned: str = ""

    @property
    def key(self) -> str:
        return self.name.casefold()


CARRYING = ("derived", "data", "outputs")
