"""Walking commits: logs, counts, and what branches reach."""

from __future__ import annotations

import subprocess
from itertools import islice
from typing import TYPE_CHECKING

from headwater.hub.errors import RevisionNotFound
from headwater.hub.git.models import CommitInfo
from headwater.kernel import CommitId

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headwater.hub.git.snapshot import Snapshot


def log(snap: Snapshot, commit: str, *, path: str | None, after: str | None, limit: int) -> list[CommitInfo]:
    """See ``Snapshot.log``."""
    snap.raw_commit(commit)  # so that an unknown commit is refused, not an empty history
    oids = _iter_path(snap, commit, path, after, limit) if path else iter_commits(snap, commit)
    if after is not None:
        for oid in oids:
            if oid == after:
                break
        else:
            raise RevisionNotFound(after)
    return [snap.commit_info(oid) for oid in islice(oids, limit)]


def iter_commits(snap: Snapshot, commit: str) -> Iterator[CommitId]:
    """Every commit that ``commit`` reaches, children before parents, otherwise newest first."""
    from pygit2.enums import SortMode

    for found in snap.repo().walk(commit, SortMode.TOPOLOGICAL | SortMode.TIME):
        yield CommitId(str(found.id))


def _iter_path(snap: Snapshot, commit: str, path: str, after: str | None, limit: int) -> Iterator[CommitId]:
    # The git program follows a path through merges many times faster than a walk that looks into each tree.
    bound = [] if after is not None else [f"--max-count={limit}"]
    out = snap.run_git("rev-list", *bound, commit, "--", f":(literal,top){path}")
    return (CommitId(line) for line in out.decode().split())


def count_commits(snap: Snapshot, commit: str) -> int:
    """See ``Snapshot.count_commits``."""
    snap.raw_commit(commit)
    return int(snap.run_git("rev-list", "--count", commit))


def is_on_branch(snap: Snapshot, commit: str) -> bool:
    """See ``Snapshot.is_on_branch``."""
    if any(oid == commit for name, oid in snap.refs.items() if name.startswith(("refs/heads/", "refs/tags/"))):
        return True
    args = ["for-each-ref", "--count=1", f"--contains={commit}", "refs/heads", "refs/tags"]
    try:
        return bool(snap.run_git(*args).strip())
    except subprocess.CalledProcessError as exc:
        raise RevisionNotFound(commit) from exc
