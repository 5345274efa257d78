"""Which files differ between two commits, found by comparing only the folders whose tree differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headwater.hub.cards.models import Sibling
from headwater.hub.git import EntryKind, Snapshot, TreeEntry
from headwater.kernel import CommitId

_PAGE = 5000


def files_between(snap: Snapshot, before: CommitId | None, after: CommitId) -> tuple[list[Sibling], list[str]]:
    """Files to put and paths that are gone, to lead a flat list from ``before`` (None: empty) to ``after``.

    A ``before`` that the repository no longer holds cannot be compared; its caller must then start from nothing.
    """
    put: list[Sibling] = []
    gone: list[str] = []
    if before == after:
        return put, gone
    stack = [("", before is not None, True)]
    while stack:
        folder, in_old, in_new = stack.pop()
        old = {entry.path: entry for entry in _entries(snap, before, folder)} if in_old and before else {}
        new = {entry.path: entry for entry in _entries(snap, after, folder)} if in_new else {}
        for path in old.keys() | new.keys():
            was, now = old.get(path), new.get(path)
            if was is not None and now is not None and was.oid == now.oid and was.kind == now.kind:
                continue
            was_folder = was is not None and was.kind is EntryKind.DIRECTORY
            is_folder = now is not None and now.kind is EntryKind.DIRECTORY
            if was_folder or is_folder:
                stack.append((path, was_folder, is_folder))
            if was is not None and _is_file(was) and (now is None or not _is_file(now)):
                gone.append(path)
            if now is not None and _is_file(now):
                put.append(Sibling(path, now.oid, now.size_bytes, now.sha256, now.pointer_size))
    return put, gone


def files_from_list(snap: Snapshot, known: Sequence[Sibling], after: CommitId) -> tuple[list[Sibling], list[str]]:
    """As ``files_between``, from a list instead of a commit."""
    old = {file.path: file for file in known}
    put, seen = [], set()
    for entry in snap.iter_files(after):
        seen.add(entry.path)
        file = Sibling(entry.path, entry.oid, entry.size_bytes, entry.sha256, entry.pointer_size)
        if old.get(entry.path) != file:
            put.append(file)
    return put, [path for path in old if path not in seen]


def _is_file(entry: TreeEntry) -> bool:
    return entry.kind in (EntryKind.FILE, EntryKind.SYMLINK)


def _entries(snap: Snapshot, commit: CommitId, folder: str) -> Iterator[TreeEntry]:
    after: str | None = None
    while True:
        page = snap.list_tree(commit, folder, recursive=False, after=after, limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].path
