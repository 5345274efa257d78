"""What changed between two commits: which files, and for text ones the lines. Bounded in every direction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from headwater.hub.git import objects
from headwater.hub.git.models import (
    DIRECTORY_MODE,
    SUBMODULE_MODE,
    ChangeKind,
    Diff,
    EntryKind,
    FileChange,
    Hunk,
    Line,
    TreeEntry,
)
from headwater.kernel import GitOid

if TYPE_CHECKING:
    from headwater.hub.git.snapshot import Snapshot

MAX_FILES = 300
MAX_LINES = 20_000  # of all files together
MAX_FILE_LINES = 3_000
MAX_FILE_BYTES = 1 << 20
MAX_LINE_CHARS = 5_000
MAX_COUNTED = 100_000  # changed files beyond this are not even counted

_Side = tuple[int, bytes] | None
_Change = tuple[str, _Side, _Side]


def diff(snap: Snapshot, base: str | None, head: str, *, path: str | None = None) -> Diff:
    """See ``Snapshot.diff``. A file that went and one that came with the same content is one that was renamed."""
    old = None if base is None else (DIRECTORY_MODE, bytes.fromhex(snap.raw_commit(base).tree))
    new = (DIRECTORY_MODE, bytes.fromhex(snap.raw_commit(head).tree))
    changes: list[_Change] = []
    for change in iter_changes(snap, "", old, new):
        if path is None or change[0] == path or change[0].startswith(f"{path}/"):
            changes.append(change)
        if len(changes) >= MAX_COUNTED:
            break
    renamed, changes = _pair_renames(changes)
    files: list[FileChange] = []
    left = MAX_LINES
    for change in changes[:MAX_FILES]:
        found = _file_change(snap, change, renamed.get(change[0]), left)
        left -= sum(len(h.lines) for h in found.hunks)
        files.append(found)
    return Diff(files, len(changes), sum(f.n_added for f in files), sum(f.n_deleted for f in files))


def iter_changes(snap: Snapshot, path: str, old: _Side, new: _Side) -> Iterator[_Change]:
    """Files (never folders) that differ, as (path, old side, new side), reading only trees that differ."""
    if old == new:
        return
    old_is_folder = old is not None and old[0] == DIRECTORY_MODE
    new_is_folder = new is not None and new[0] == DIRECTORY_MODE
    if not old_is_folder and not new_is_folder:
        yield path, old, new
        return
    if old is not None and not old_is_folder:
        yield path, old, None
    if new is not None and not new_is_folder:
        yield path, None, new
    before = _children(snap, old) if old_is_folder else {}
    after = _children(snap, new) if new_is_folder else {}
    prefix = f"{path}/" if path else ""
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            below = prefix + name.decode(errors="surrogateescape")
            yield from iter_changes(snap, below, before.get(name), after.get(name))


def _children(snap: Snapshot, side: _Side) -> dict[bytes, tuple[int, bytes]]:
    return {} if side is None else {n: (m, oid) for m, n, oid in objects.iter_tree(snap.raw_tree(side[1].hex()))}


def _pair_renames(changes: list[_Change]) -> tuple[dict[str, tuple[str, tuple[int, bytes]]], list[_Change]]:
    """New path to (old path, old side) of moved files, and the changes without the halves that went."""
    gone: dict[bytes, list[tuple[str, tuple[int, bytes]]]] = {}
    for path, old, new in changes:
        if new is None and old is not None:
            gone.setdefault(old[1], []).append((path, old))
    renamed: dict[str, tuple[str, tuple[int, bytes]]] = {}
    taken: set[str] = set()
    for path, old, new in changes:
        if old is None and new is not None and gone.get(new[1]):
            renamed[path] = gone[new[1]].pop(0)
            taken.add(renamed[path][0])
    kept = [c for c in changes if not (c[2] is None and c[0] in taken)]
    return renamed, kept


def _file_change(
    snap: Snapshot, change: _Change, renamed: tuple[str, tuple[int, bytes]] | None, lines_left: int
) -> FileChange:
    path, old_side, new_side = change
    old_path = None
    if renamed is not None:
        old_path, old_side = renamed
    old = _entry(snap, old_path or path, old_side)
    new = _entry(snap, path, new_side)
    is_binary = is_cut = False
    hunks: list[Hunk] = []
    n_added = n_deleted = 0
    if not (old is not None and new is not None and old.oid == new.oid):
        texts = [_text(snap, side) for side in (old, new)]
        if any(t is None for t in texts):
            is_cut = True
        elif any(b"\0" in t[:8000] for t in texts if t):
            is_binary = True
        else:
            patch = _patch(texts[0] or b"", texts[1] or b"")
            _, n_added, n_deleted = patch.line_stats
            bound = min(MAX_FILE_LINES, lines_left)
            hunks, is_cut = _hunks(patch, bound) if n_added + n_deleted <= bound else ([], True)
    return FileChange(
        path,
        old_path,
        _kind(old, new, renamed=renamed is not None),
        old,
        new,
        is_binary,
        is_cut,
        hunks,
        n_added,
        n_deleted,
    )


def _kind(old: TreeEntry | None, new: TreeEntry | None, *, renamed: bool) -> ChangeKind:
    if renamed:
        return ChangeKind.RENAMED
    if old is None:
        return ChangeKind.ADDED
    if new is None:
        return ChangeKind.DELETED
    return ChangeKind.MODIFIED if old.kind == new.kind else ChangeKind.TYPE_CHANGED


def _entry(snap: Snapshot, path: str, side: _Side) -> TreeEntry | None:
    return None if side is None else snap.make_entry(path, side[0], side[1])


def _text(snap: Snapshot, entry: TreeEntry | None) -> bytes | None:
    """What git holds of a side (of a large file: its pointer), or None if it is too long to compare."""
    if entry is None:
        return b""
    if entry.kind is EntryKind.SUBMODULE or entry.mode == SUBMODULE_MODE:
        return f"Subproject commit {entry.oid}\n".encode()
    if (entry.pointer_size or entry.size_bytes) > MAX_FILE_BYTES:
        return None
    return snap.read_blob(GitOid(entry.oid), MAX_FILE_BYTES)


def _patch(old: bytes, new: bytes) -> Any:
    import pygit2

    return pygit2.Patch.create_from(old, new, context_lines=3, interhunk_lines=1)


def _hunks(patch: Any, bound: int) -> tuple[list[Hunk], bool]:
    out: list[Hunk] = []
    for hunk in patch.hunks:
        lines = []
        for line in hunk.lines:
            if line.origin not in "+- ":
                continue  # notes about a missing newline at the end, which the text itself shows
            if bound <= 0:
                return out, True
            text = line.raw_content.decode(errors="replace")
            if len(text) > MAX_LINE_CHARS:
                text = text[:MAX_LINE_CHARS] + "…\n"
            old_number = line.old_lineno if line.old_lineno > 0 else None
            new_number = line.new_lineno if line.new_lineno > 0 else None
            lines.append(Line(line.origin, text, old_number, new_number))
            bound -= 1
        out.append(Hunk(hunk.header, lines))
    return out, False
