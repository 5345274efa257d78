"""What the gate says of files: a status, why, and what follows for those who ask for the bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from headwater.kernel import RepoId


class Status(StrEnum):
    """As it stands on the wire. The worse of two stands further down."""

    SAFE = "safe"
    QUEUED = "queued"  # waits to be judged
    SUSPICIOUS = "suspicious"  # quarantined: others take an explicit step
    UNSAFE = "unsafe"  # would be refused if it came today: nobody but its writers gets it

    @property
    def rank(self) -> int:
        return _RANKS[self]


_RANKS = {status: rank for rank, status in enumerate(Status)}

Key = tuple[str, str]
"""(content, role): sha256 of a large file or git's id of another, and what its name makes of it (``scanning.role_of``)."""


@dataclass(frozen=True)
class Found:
    """One reason, as it is kept: of which rule in which version, where, and the file's own word for it."""

    rule: str
    version: int
    verdict: str  # "suspicious" | "refused"
    says: str
    advice: str
    what: str = ""
    offset: int | None = None
    member: str = ""

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value not in ("", None)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Found:
        return cls(**value)


@dataclass(frozen=True)
class FileVerdict:
    """``imports``: (module, name, whether it is on the list of harmless ones) of all pickles in it."""

    content: str
    role: str
    name: str
    status: Status
    rules: str
    findings: Sequence[Found] = ()
    imports: Sequence[tuple[str, str, bool]] = ()
    kinds: Sequence[str] = ()
    second: Mapping[str, Any] | None = None
    batch_id: int | None = None
    judged_at: datetime | None = None

    @property
    def key(self) -> Key:
        return self.content, self.role


@dataclass(frozen=True)
class Hold:
    """A file that a repository names and that is not served to everyone."""

    repo_id: RepoId
    content: str
    role: str
    path: str
    status: Status
    pull: int = 0


@dataclass(frozen=True)
class Release:
    status: Status
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True)
class HeldFile:
    """A held file as pages show it: with its reasons, and with its owner's word if that was given."""

    hold: Hold
    findings: Sequence[Found]
    imports: Sequence[tuple[str, str, bool]]
    second: Mapping[str, Any] | None
    noted_at: datetime
    release: Release | None

    @property
    def is_released(self) -> bool:
        return self.release is not None and self.release.status is self.hold.status


@dataclass(frozen=True)
class Judged:
    """What a commit or a push brings, judged before its transaction.

    ``held``: path by key of what is not safe. ``waiting``: those of them that a job is to judge. ``promoted``: contents that
    only pull requests had, and a branch has from now on.
    """

    verdicts: Sequence[FileVerdict] = ()
    held: Mapping[Key, str] = field(default_factory=dict)
    waiting: Sequence[Key] = ()
    promoted: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.verdicts or self.held or self.promoted)


NOTHING = Judged()
