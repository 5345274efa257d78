"""What a check finds, as whoever asked for it sees it; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from headwater.blobs import BlobStore
from headwater.kernel import RepoId
from headwater.web.site import Site

FROM_BACKUP = "headwater repair --from BACKUP"
BY_HAND = "Look at the record and at a backup of that time; nothing mends this by itself"


@dataclass(frozen=True)
class Row:
    """Rows of a table, where a copy of them from a backup would mend the problem.

    Args:
        key: columns and what they must be there: (a part of) the primary key, and what else says that it is the same thing.
        of: a row that must be there, too, for the others to be believed.
    """

    table: str
    key: tuple[tuple[str, Any], ...]
    of: Row | None = None


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it was, or not as it says.

    Args:
        code: ``noun.past_participle``, stable: scripts match it.
        what: one sentence for people.
        where: the object's key, or the repository and ref: what it is about.
        mend: what to do.
        key: the object that a backup may have, where the problem is with one.
        rows: rows that a backup may have as they should be.
    """

    code: str
    what: str
    where: str
    mend: str = FROM_BACKUP
    key: str | None = None
    repo_id: RepoId | None = None
    rows: tuple[Row, ...] = ()

    def as_facts(self) -> dict[str, str]:
        return {"code": self.code, "what": self.what, "where": self.where, "mend": self.mend}


@dataclass
class Seen:
    """How much was looked at."""

    repositories: int = 0
    refs: int = 0
    packs: int = 0
    git_objects: int = 0
    files: int = 0
    xorbs: int = 0
    entries: int = 0
    bytes: int = 0


class Uncached:
    """A store without what this host has of it at hand: a copy here says nothing about what is there."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    @contextmanager
    def at_hand(self, key: str) -> Iterator[Path | None]:
        yield None


@dataclass
class Looking:
    """What every checker is given.

    ``reads_bytes``: objects are read and hashed; else only their sizes are compared with their rows.
    ``pace`` is told of bytes before they are read, and may wait.
    """

    site: Site
    reads_bytes: bool = True
    seen: Seen = field(default_factory=Seen)
    pace: Callable[[int], None] = lambda _: None

    @cached_property
    def blobs(self) -> BlobStore:
        """What is looked at."""
        blobs = self.site.blobs
        return cast("BlobStore", Uncached(blobs)) if blobs.is_remote else blobs

    def read(self, n_bytes: int) -> None:
        self.pace(n_bytes)
        self.seen.bytes += n_bytes


Checker = Callable[[Looking], Iterator[Problem]]
