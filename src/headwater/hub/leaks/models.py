"""What is told of a secret: where it stood, and a mark by which the same one is known again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from headwater.kernel import AccountId, RepoId


@dataclass(frozen=True)
class Leak:
    """``text`` is the secret: kept in memory for the length of one act, never stored, shown or logged."""

    path: str
    content: str  # git's id of the file
    line: int
    kind: str
    text: bytes = field(repr=False)
    is_own: bool = False  # a token of the form that this software gives out

    def mark(self, repo_id: RepoId) -> str:
        return hashlib.sha256(b"%d\0%s" % (repo_id, self.text)).hexdigest()[:32]


@dataclass(frozen=True)
class FoundSecret:
    """One that was refused; ``allowed_at`` None as long as it is."""

    mark: str
    kind: str
    path: str
    line: int
    found_by: AccountId | None
    found_at: datetime
    allowed_by: AccountId | None
    allowed_at: datetime | None
    reason: str | None
