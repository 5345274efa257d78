"""What a push or a merge brings: every name in every tree that came, with the bytes it names.

A name can make another thing of bytes that were here before (``notes.txt`` becomes ``model.pkl``), so names count that
came, not blobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from headwater.hub.gate.judging import LargeFile, SmallFile, judge_incoming
from headwater.hub.gate.models import Judged
from headwater.kernel import Actor, GitOid, RepoId

if TYPE_CHECKING:
    from headwater.hub.git.models import BuiltCommit
    from headwater.hub.git.quarantine import Arrived
    from headwater.hub.git.snapshot import Snapshot
    from headwater.web.site import Site


def judge_push(
    site: Site,
    actor: Actor,
    repo_id: RepoId,
    snap: Snapshot,
    arrived: Arrived,
    find_paths: Callable[[], dict[GitOid, str]],
) -> Judged:
    """
    Args:
        find_paths: whole paths of what the push brings; asked only where something is not safe.

    Raises:
        FileRefused: one of its files lies about itself; nothing of the push is taken.
    """
    from headwater.hub.gate.store import list_judged
    from headwater.hub.git.folders import open_odb
    from headwater.hub.git.store import find_pointers

    if not arrived.named:
        return Judged()
    odb = open_odb(arrived.folder)
    named = [(name.decode(errors="replace"), GitOid(oid.hex())) for name, oid in sorted(arrived.named)]
    old = {oid for _, oid in named if oid not in arrived.blobs}
    pointers = {**site.db.read(find_pointers, old), **arrived.pointers}
    # What was judged under another name may run under that one still: it stays held as a text, too.
    known = site.db.read(list_judged, old - pointers.keys())
    large = [LargeFile(name, pointers[oid].sha256) for name, oid in named if oid in pointers]

    def small() -> Iterator[SmallFile]:
        from headwater.scanning import role_of

        for name, oid in named:
            if oid in pointers:
                continue
            if oid in arrived.blobs:
                yield SmallFile(name, oid, lambda oid=oid: odb.read(oid)[1])  # type: ignore[misc]
            elif role_of(name) != "text" or oid in known:
                yield SmallFile(name, oid, lambda oid=oid: snap.read_blob(oid), is_new=False)  # type: ignore[misc]

    paths: dict[str, str] = {}

    def path_of(content: str, name: str) -> str:
        if not paths:
            paths.update({"": ""})
            for oid, path in find_paths().items():
                pointer = pointers.get(oid)
                paths[oid if pointer is None else pointer.sha256] = path
        found = paths.get(content, name)
        return found if found.rpartition("/")[2] == name else name

    judged = judge_incoming(site, actor, repo_id, small(), large, path_of=path_of)
    held = {key: path_of(key[0], path) for key, path in judged.held.items()}
    return Judged(judged.verdicts, held, judged.waiting)


def judge_merge(site: Site, actor: Actor, repo_id: RepoId, snap: Snapshot, built: BuiltCommit, head: str) -> Judged:
    """As ``judge_commit``, for what merges ``head`` into a branch: what only pull requests had of it is the branch's from now on.

    Asked by contents: two pull requests may bring the same file, which is noted as that of the first alone.

    Raises:
        FileRefused
    """
    from headwater.hub.gate.judging import judge_commit

    return replace(judge_commit(site, actor, repo_id, built), promoted=find_promoted(site, repo_id, snap, head))


def find_promoted(site: Site, repo_id: RepoId, snap: Snapshot, head: str) -> tuple[str, ...]:
    """Held contents that so far only pull requests had, and a branch or tag has once one stands at ``head``."""
    from headwater.hub.gate import store
    from headwater.hub.git.store import find_pointers

    held = site.db.read(store.list_pull_contents, repo_id)
    if not held:
        return ()
    listed = snap.run_git("rev-list", "--objects", "--no-object-names", head, "--not", "--branches", "--tags")
    came = set(listed.decode().split())
    large = {str(pointer.sha256) for pointer in site.db.read(find_pointers, {GitOid(oid) for oid in came}).values()}
    return tuple(held & (came | large))
