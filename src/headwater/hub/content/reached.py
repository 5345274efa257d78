"""Whether a branch or tag reaches a commit: others come from pull requests, which strangers may open.

Git serves any object of a repository by its id, so an address can carry a repository's name and yet show what nobody there
has accepted. Such answers are marked (storage rules, 1).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from headwater.kernel import CommitId, RepoId

if TYPE_CHECKING:
    from headwater.hub.git import Snapshot

MOST = 4096


class ReachedCommits:
    """A site part that remembers answers: a client that loads a repository by its commit's id asks once a file."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[RepoId, int, CommitId], bool] = OrderedDict()
        self._lock = threading.Lock()

    def known(
        self, refs: Mapping[str, str], repo_id: RepoId, version: int, commit: CommitId, revision: str
    ) -> bool | None:
        """As ``is_on_branch``, where that can be told from memory; else None."""
        if f"refs/heads/{revision}" in refs or f"refs/tags/{revision}" in refs:
            return True
        return self._known.get((repo_id, version, commit))

    def is_on_branch(self, snap: Snapshot, commit: CommitId, revision: str = "") -> bool:
        """As ``Snapshot.is_on_branch``; ``revision`` is how the commit was asked for, which may tell it at once."""
        known = self.known(snap.refs, snap.repo_id, snap.version, commit, revision)
        if known is None:
            key = (snap.repo_id, snap.version, commit)
            known = snap.is_on_branch(commit)
            with self._lock:
                self._known[key] = known
                while len(self._known) > MOST:
                    self._known.popitem(last=False)
        return known
