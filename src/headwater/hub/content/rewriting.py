"""Rewriting history without certain blobs: every commit that names one, and all that follow it, is made anew.

Old commits stay in the store until it is pruned; what makes a large file unreadable is that the repository loses its right to
it, in the same transaction that moves the refs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from headwater.hub.git import BuiltPack, Snapshot, objects
from headwater.hub.git.models import DIRECTORY_MODE
from headwater.hub.git.packs import PackWriter
from headwater.kernel import CommitId, GitOid

REWRITE_TIMEOUT_S = 600
# A signature covers the old bytes, so it cannot come along; further lines of a header begin with a space.
_SIGNATURE = re.compile(rb"^(?:gpgsig|gpgsig-sha256) [^\n]*\n(?: [^\n]*\n)*", re.MULTILINE)


@dataclass(frozen=True)
class Rewritten:
    """``refs`` maps each ref that changes to its new object; ``pack`` is None when none does."""

    refs: Mapping[str, CommitId]
    pack: BuiltPack | None


def rewrite_without(snap: Snapshot, doomed: AbstractSet[GitOid]) -> Rewritten:
    """All refs as they would be had the ``doomed`` blobs never been committed."""
    with PackWriter(snap.owner.blobs.tmp) as pack:
        writer = _Writer(snap, {bytes.fromhex(oid) for oid in doomed}, pack)
        refs = {ref: CommitId(new) for ref, old in snap.refs.items() if (new := writer.ref_target(old)) != old}
        return Rewritten(refs, pack.finish() if len(pack) else None)


class _Writer:
    def __init__(self, snap: Snapshot, doomed: set[bytes], pack: PackWriter) -> None:
        self._snap = snap
        self._doomed = doomed
        self._pack = pack
        self._trees: dict[bytes, bytes | None] = {}
        self._commits: dict[str, str] = {}

    def ref_target(self, oid: str) -> str:
        """What a ref that points at ``oid`` must point at instead; annotated tags are made anew, too."""
        kind, data = self._object(oid)
        if kind == objects.TAG:
            target, _ = objects.tag_target(data)
            new = self.ref_target(target)
            if new == target:
                return oid
            return self._pack.add(objects.TAG, data.replace(target.encode(), new.encode(), 1)).hex()
        return self._commit(oid) if kind == objects.COMMIT else oid

    def _commit(self, tip: str) -> str:
        if tip not in self._commits:
            known = [f"^{oid}" for oid in list(self._commits)[-1000:] if oid != tip]
            listed = self._snap.run_git(
                "rev-list",
                "--topo-order",
                "--reverse",
                "--stdin",
                stdin="\n".join([tip, *known, ""]).encode(),
                timeout_s=REWRITE_TIMEOUT_S,
            )
            for oid in listed.decode().split():
                if oid not in self._commits:
                    self._commits[oid] = self._one_commit(oid)
        return self._commits[tip]

    def _one_commit(self, oid: str) -> str:
        data = self._object(oid)[1]
        raw = objects.parse_commit(data)
        tree = self._tree(bytes.fromhex(raw.tree))
        new_tree = objects.EMPTY_TREE if tree is None else tree.hex()
        if tree is None:
            self._pack.add(objects.TREE, b"")
        parents = [self._commits.get(parent, parent) for parent in raw.parents]
        if new_tree == raw.tree and parents == list(raw.parents):
            return oid
        head, _, message = data.partition(b"\n\n")
        lines = [line for line in head.split(b"\n") if not line.startswith((b"tree ", b"parent "))]
        first = [b"tree " + new_tree.encode(), *(b"parent " + parent.encode() for parent in parents)]
        headers = _SIGNATURE.sub(b"", b"\n".join(lines) + b"\n").rstrip(b"\n")
        return self._pack.add(objects.COMMIT, b"\n".join(first) + b"\n" + headers + b"\n\n" + message).hex()

    def _tree(self, oid: bytes) -> bytes | None:
        """The tree without what is doomed; None when nothing is left."""
        if oid in self._trees:
            return self._trees[oid]
        raw = self._snap.raw_tree(oid.hex())
        changes: dict[bytes, tuple[int, bytes] | None] = {}
        for mode, name, child in objects.iter_tree(raw):
            if mode == DIRECTORY_MODE:
                new = self._tree(child)
                if new != child:
                    changes[name] = None if new is None else (mode, new)
            elif child in self._doomed:
                changes[name] = None
        result: bytes | None = oid
        if changes:
            data = objects.edit_tree(raw, changes)
            result = self._pack.add(objects.TREE, data) if data else None
        self._trees[oid] = result
        return result

    def _object(self, oid: str) -> tuple[int, bytes]:
        found = self._snap.find_object(oid)
        if found is None:
            raise KeyError(oid)
        return found
