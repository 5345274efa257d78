"""Merging one branch into another, tree by tree; only folders that both sides changed are read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from headwater.hub.git import objects
from headwater.hub.git.build import build_commit
from headwater.hub.git.models import DIRECTORY_MODE, FILE_MODE, AddFile, MergeResult, Operation, SetEntry
from headwater.hub.git.snapshot import Snapshot
from headwater.kernel import CommitId, GitOid

MAX_MERGED_BYTES = 1 << 20
_Side = tuple[int, bytes] | None


def merge_commit(
    snap: Snapshot,
    base: str,
    head: str,
    *,
    author_name: str,
    author_email: str,
    title: str,
    body: str = "",
    now: datetime,
) -> MergeResult:
    """What brings ``head`` (a pull request's) into ``base`` (a branch's), as a commit of both parents.

    Text that both sides changed in different places is merged by lines; anything else both sides changed is a conflict.
    Renames are not followed. Histories that share nothing merge as if they had begun from an empty tree.
    """
    ancestor = snap.merge_base(base, head)
    if ancestor == head:
        return MergeResult(None, [], is_merged=True)
    operations, conflicts = _merge(snap, ancestor, base, head)
    if conflicts:
        return MergeResult(None, conflicts)
    built = build_commit(
        snap,
        base,
        operations,
        author_name=author_name,
        author_email=author_email,
        title=title,
        body=body,
        now=now,
        merged=[head],
    )
    return MergeResult(built, [], is_fast_forward=ancestor == base)


def find_conflicts(snap: Snapshot, base: str, head: str) -> list[str]:
    """The paths that ``merge_commit`` would stop at."""
    ancestor = snap.merge_base(base, head)
    return [] if ancestor == head else _merge(snap, ancestor, base, head)[1]


def _merge(snap: Snapshot, ancestor: CommitId | None, base: str, head: str) -> tuple[list[Operation], list[str]]:
    tree = None if ancestor is None else (DIRECTORY_MODE, bytes.fromhex(snap.raw_commit(ancestor).tree))
    ours = (DIRECTORY_MODE, bytes.fromhex(snap.raw_commit(base).tree))
    theirs = (DIRECTORY_MODE, bytes.fromhex(snap.raw_commit(head).tree))
    operations: list[Operation] = []
    conflicts: list[str] = []
    for found in _merge_entry(snap, "", tree, ours, theirs):
        if isinstance(found, str):
            conflicts.append(found)
        else:
            operations.append(found)
    return operations, conflicts


def _merge_entry(snap: Snapshot, path: str, old: _Side, ours: _Side, theirs: _Side) -> Iterator[Operation | str]:
    """What to do to our side, or the paths in conflict."""
    if theirs in (ours, old):
        return
    if ours == old and path:
        yield SetEntry(path, theirs[0], GitOid(theirs[1].hex())) if theirs else SetEntry(path, 0, None)
        return
    if _is_folder(ours) and _is_folder(theirs):
        yield from _merge_folder(snap, path, old if _is_folder(old) else None, ours, theirs)
        return
    # A folder on one side and something else, or nothing, on the other. Where only files of the folder that the other
    # side has not touched are concerned, recursion would settle it; the person who merges should see it instead.
    if ours is None or theirs is None or _is_folder(ours) or _is_folder(theirs):
        if (ours is None and _is_folder(theirs)) or (theirs is None and _is_folder(ours)):
            yield from _merge_folder(snap, path, old if _is_folder(old) else None, ours, theirs)
        else:
            yield path
        return
    yield from _merge_file(snap, path, old, ours, theirs)


def _merge_folder(snap: Snapshot, path: str, old: _Side, ours: _Side, theirs: _Side) -> Iterator[Operation | str]:
    sides = [_children(snap, side) for side in (old, ours, theirs)]
    prefix = f"{path}/" if path else ""
    for name in sorted(sides[0].keys() | sides[1].keys() | sides[2].keys()):
        below = prefix + name.decode(errors="surrogateescape")
        yield from _merge_entry(snap, below, sides[0].get(name), sides[1].get(name), sides[2].get(name))


def _merge_file(
    snap: Snapshot, path: str, old: _Side, ours: tuple[int, bytes], theirs: tuple[int, bytes]
) -> Iterator[Operation | str]:
    old_mode = old[0] if old is not None else None
    mode = theirs[0] if ours[0] == old_mode else ours[0]
    if mode & 0o170000 != 0o100000 or (theirs[0] not in (old_mode, ours[0]) and ours[0] != old_mode):
        yield path
        return
    if ours[1] == theirs[1]:
        yield SetEntry(path, mode, GitOid(ours[1].hex()))
        return
    merged = _merge_text(snap, old, ours, theirs) if old is not None and not _is_folder(old) else None
    yield path if merged is None else AddFile(path, merged, mode)


def _merge_text(
    snap: Snapshot, old: tuple[int, bytes], ours: tuple[int, bytes], theirs: tuple[int, bytes]
) -> bytes | None:
    if ours[1] == old[1]:
        return snap.read_blob(theirs[1].hex())
    if theirs[1] == old[1]:
        return snap.read_blob(ours[1].hex())
    texts = []
    for _, oid in (old, ours, theirs):
        if snap.blob_size(oid.hex()) > MAX_MERGED_BYTES:
            return None
        text = snap.read_blob(oid.hex())
        # An LFS pointer is text to git, but half of one pointer and half of another stands for no file.
        if b"\0" in text[:8000] or text.startswith(b"version https://git-lfs"):
            return None
        texts.append(text)
    from pygit2 import IndexEntry
    from pygit2.enums import FileMode

    entries = [IndexEntry("file", _oid(oid), FileMode(FILE_MODE)) for _, oid in (old, ours, theirs)]
    result = snap.repo().merge_file_from_index(*entries)
    return result.contents.encode(errors="surrogateescape") if result.automergeable and _is_text(texts) else None


def _is_text(texts: list[bytes]) -> bool:
    try:
        for text in texts:
            text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _oid(raw: bytes) -> object:
    import pygit2

    return pygit2.Oid(raw=raw)


def _is_folder(side: _Side) -> bool:
    return side is not None and side[0] == DIRECTORY_MODE


def _children(snap: Snapshot, side: _Side) -> dict[bytes, tuple[int, bytes]]:
    if side is None:
        return {}
    return {name: (mode, oid) for mode, name, oid in objects.iter_tree(snap.raw_tree(side[1].hex()))}
