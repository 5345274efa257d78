"""What follows from a commit: the answers of late, kept in memory, as a commit never changes.

Only facts that follow from a commit are kept here, never a right or where a branch stands: those are read for each request.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.kernel import CommitId, RepoId

if TYPE_CHECKING:
    from headwater.hub.git import TreeEntry

MOST = 4096
MAX_PATH_CHARS = 400  # longer ones are looked up each time, so that the memory taken is bounded

# Repository, prune epoch (which moves when objects go), what the ref or address names (a commit or a tag), path.
Key = tuple[RepoId, int, str, str]


@dataclass(frozen=True, slots=True)
class Known:
    """``entry`` is None where nothing lies at the path."""

    commit: CommitId
    entry: TreeEntry | None


class KnownEntries:
    """A site part; clients ask for the same few files of a model again and again."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, Known] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: Key) -> Known | None:
        return self._known.get(key)

    def keep(self, key: Key, known: Known) -> None:
        if len(key[3]) > MAX_PATH_CHARS:
            return
        with self._lock:
            self._known[key] = known
            while len(self._known) > MOST:
                self._known.popitem(last=False)


class KnownFacts:
    """A site part: JSON of what a card and a list of files say, of each thing as it was last asked for; bounded by bytes.

    A new version takes the place of the one before: a site that is written to would else fill this with what nobody asks for again.
    """

    LIMIT_BYTES = 8 << 20
    LARGEST_BYTES = 256 << 10

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, tuple[Hashable, Mapping[str, Any], int]] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def find(self, what: Hashable, version: Hashable) -> Mapping[str, Any] | None:
        found = self._known.get(what)
        return None if found is None or found[0] != version else found[1]

    def keep(self, what: Hashable, version: Hashable, facts: Mapping[str, bytes], make: Any) -> None:
        """Keep ``make(text)`` for each text, unless they are large."""
        size = 1000 + sum(map(len, facts.values()))
        with self._lock:
            before = self._known.pop(what, None)
            self._held -= 0 if before is None else before[2]
            if size > self.LARGEST_BYTES:
                return
            self._known[what] = version, {word: make(text) for word, text in facts.items()}, size
            self._held += size
            while self._held > self.LIMIT_BYTES:
                self._held -= self._known.popitem(last=False)[1][2]
