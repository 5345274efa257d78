"""From operations on files to a commit and its pack. Only trees that change are written; nothing is published here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from headwater.hub.errors import FileNotFound
from headwater.hub.git import objects
from headwater.hub.git.errors import PathInTheWay
from headwater.hub.git.models import (
    DIRECTORY_MODE,
    EXECUTABLE_MODE,
    FILE_MODE,
    AddFile,
    AddPointer,
    BuiltCommit,
    CopyEntry,
    DeleteFile,
    DeleteFolder,
    EntryKind,
    Operation,
    Pointer,
    SetEntry,
)
from headwater.hub.git.packs import PackWriter
from headwater.hub.git.pointers import format_pointer, parse_pointer
from headwater.hub.git.snapshot import Snapshot, split_path
from headwater.hub.names import check_path
from headwater.kernel import CommitId, GitOid, Sha256

# Below this, finding out whether the repository has a blob already costs more than storing it once more; the
# collector makes one of the two.
_CHECK_BYTES = 4096


def build_commit(
    snap: Snapshot | None,
    parent: str | None,
    operations: Iterable[Operation],
    *,
    author_name: str,
    author_email: str,
    title: str,
    body: str = "",
    now: datetime,
    merged: Sequence[str] = (),
    tmp: Path | None = None,
) -> BuiltCommit:
    """A commit on top of ``parent`` (None: the first one; ``snap`` may be None then).

    Deletions come first, whatever their order; copies read what was there before. ``merged`` are further parents.
    The committer's time is never before a parent's.

    Raises:
        BadPath: a path that may not be.
        PathInTheWay: a file is to be written below a file, or over a folder.
        FileNotFound: something to delete or copy is not there.
    """
    base = None if parent is None or snap is None else snap.raw_commit(parent)
    parents = [] if parent is None else [parent, *merged]
    with PackWriter(tmp or _temporary_folder(snap)) as pack:
        edit = _Edit(snap, parent, base.tree if base else None, pack)
        edit.apply(operations)
        tree = edit.write()
        if base is not None and tree == base.tree and not merged:
            return BuiltCommit(CommitId(parent or ""), tree, None, changed=False)
        now_s = int(now.timestamp())
        older = [base, *(snap.raw_commit(m) for m in merged)] if snap is not None and base is not None else []
        data = objects.format_commit(
            tree,
            parents,
            author_name=author_name,
            author_email=author_email,
            author_s=now_s,
            committer_s=max([now_s, *(c.committed_s for c in older)]),
            message=objects.format_message(title, body),
        )
        commit = CommitId(pack.add(objects.COMMIT, data).hex())
        return BuiltCommit(
            commit,
            tree,
            pack.finish(),
            changed=True,
            pointers=edit.pointers,
            paths=edit.paths,
            data=data,
            written=edit.written,
            named=edit.named,
        )


def squash_commit(
    snap: Snapshot, commit: str, *, author_name: str, author_email: str, title: str, body: str = "", now: datetime
) -> BuiltCommit:
    """A first commit with the files of ``commit`` and no history.

    Raises:
        RevisionNotFound
    """
    raw = snap.raw_commit(commit)
    now_s = int(now.timestamp())
    data = objects.format_commit(
        raw.tree,
        (),
        author_name=author_name,
        author_email=author_email,
        author_s=now_s,
        committer_s=now_s,
        message=objects.format_message(title, body),
    )
    with PackWriter(_temporary_folder(snap)) as pack:
        oid = CommitId(pack.add(objects.COMMIT, data).hex())
        return BuiltCommit(oid, raw.tree, pack.finish(), changed=True, data=data)


def is_retry_of(snap: Snapshot, head: str, built: BuiltCommit) -> bool:
    """Whether ``head`` is what an earlier, unanswered try of ``built`` made: same parents, tree, author and message."""
    if not built.data:
        return False
    there, here = snap.raw_commit(head), objects.parse_commit(built.data)
    return (there.tree, there.parents, there.message) == (
        here.tree,
        here.parents,
        here.message,
    ) and objects.parse_signature(there.author)[:2] == objects.parse_signature(here.author)[:2]


def _temporary_folder(snap: Snapshot | None) -> Path:
    return Path(tempfile.gettempdir()) if snap is None else snap.owner.blobs.tmp


_Leaf = tuple[int, bytes]


@dataclass
class _Folder:
    """A folder being changed: the tree it comes from (None: new), and what differs by name."""

    base: str | None
    changes: dict[bytes, _Folder | _Leaf | None] = field(default_factory=dict)


class _Edit:
    def __init__(self, snap: Snapshot | None, parent: str | None, tree: str | None, pack: PackWriter) -> None:
        self._snap = snap
        self._parent = parent
        self._root = _Folder(tree)
        self._pack = pack
        self.pointers: dict[GitOid, Pointer] = {}
        self.paths: dict[Sha256, str] = {}
        self.written: list[tuple[str, GitOid, bytes | Path]] = []
        self.named: list[tuple[str, Sha256]] = []

    def apply(self, operations: Iterable[Operation]) -> None:
        later: list[Operation] = []
        for operation in operations:
            if isinstance(operation, DeleteFile | DeleteFolder):
                self._delete(operation)
            elif isinstance(operation, SetEntry) and operation.oid is None:
                self._remove(operation.path)
            else:
                later.append(operation)
        for operation in later:
            match operation:
                case AddFile(path, data, mode):
                    content = data if isinstance(data, bytes) else data.read_bytes()
                    self._add(path, content, mode, data)
                case AddPointer(path, sha256, size_bytes, mode):
                    self._add(path, format_pointer(sha256, size_bytes), mode)
                case CopyEntry(source_path, path, source_commit):
                    self._copy(source_path, path, source_commit)
                case SetEntry(path, mode, oid) if oid is not None:
                    self._set(path, mode, bytes.fromhex(oid), replace=True)

    def write(self) -> GitOid:
        """Put every changed tree into the pack; the root's id."""
        oid = self._write(self._root)
        return GitOid((oid or self._pack.add(objects.TREE, b"")).hex())

    def _write(self, folder: _Folder) -> bytes | None:
        if not folder.changes and folder.base is not None:
            return bytes.fromhex(folder.base)
        changes: dict[bytes, _Leaf | None] = {}
        for name, change in folder.changes.items():
            if isinstance(change, _Folder):
                oid = self._write(change)
                changes[name] = None if oid is None else (DIRECTORY_MODE, oid)
            else:
                changes[name] = change
        raw = objects.edit_tree(self._raw(folder), changes)
        if not raw:
            return None  # git keeps no empty folders
        oid = objects.object_id(objects.TREE, raw)
        if folder.base is None or oid.hex() != folder.base:
            self._pack.add_known(oid, objects.TREE, raw)
        return oid

    def _raw(self, folder: _Folder) -> bytes:
        return b"" if folder.base is None or self._snap is None else self._snap.raw_tree(folder.base)

    def _look(self, folder: _Folder, name: bytes) -> _Folder | _Leaf | None:
        """What is at ``name`` now; folders come as ``_Folder``, not yet part of the edit."""
        if name in folder.changes:
            return folder.changes[name]
        found = objects.find_in_tree(self._raw(folder), name)
        if found is None:
            return None
        return _Folder(found[2].hex()) if found[0] == DIRECTORY_MODE else (found[0], found[2])

    def _is_empty(self, folder: _Folder) -> bool:
        """Whether all that was in the folder is deleted."""
        if {name for _, name, _ in objects.iter_tree(self._raw(folder))} - folder.changes.keys():
            return False
        changes = folder.changes.values()
        return all(c is None or (isinstance(c, _Folder) and self._is_empty(c)) for c in changes)

    def _find_folder(self, parts: list[bytes]) -> _Folder | None:
        """The folder, made part of the edit, if it is there."""
        folder = self._root
        for part in parts:
            child = self._look(folder, part)
            if not isinstance(child, _Folder):
                return None
            folder.changes[part] = child
            folder = child
        return folder

    def _make_folder(self, path: str, parts: list[bytes], *, replace: bool = False) -> _Folder:
        """The folder, made if need be; a file on the way goes if ``replace``."""
        folder = self._root
        for depth, part in enumerate(parts, 1):
            child = self._look(folder, part)
            if isinstance(child, tuple) and not replace:
                raise PathInTheWay(path, b"/".join(parts[:depth]).decode(errors="replace"))
            if not isinstance(child, _Folder):
                child = _Folder(None)
            folder.changes[part] = child
            folder = child
        return folder

    def _set(self, path: str, mode: int, oid: bytes, *, replace: bool = False) -> None:
        *folders, name = split_path(path)
        folder = self._make_folder(path, folders, replace=replace)
        present = self._look(folder, name)
        if isinstance(present, _Folder) and not replace and mode != DIRECTORY_MODE and not self._is_empty(present):
            raise PathInTheWay(path, f"{path}/")
        folder.changes[name] = _Folder(oid.hex()) if mode == DIRECTORY_MODE else (mode, oid)

    def _add(self, path: str, data: bytes, mode: int | None, kept: bytes | Path | None = None) -> None:
        """``kept``: where the data is to be had afterwards, if not here."""
        check_path(path)
        *folders, name = split_path(path)
        folder = self._make_folder(path, folders)
        present = self._look(folder, name)
        if isinstance(present, _Folder) and not self._is_empty(present):
            raise PathInTheWay(path, f"{path}/")
        if mode is None:
            is_executable = isinstance(present, tuple) and present[0] == EXECUTABLE_MODE
            mode = EXECUTABLE_MODE if is_executable else FILE_MODE
        oid = objects.object_id(objects.BLOB, data)
        pointer = parse_pointer(data)
        if pointer is not None:
            self.pointers[GitOid(oid.hex())] = pointer
            self.paths[pointer.sha256] = path
            self.named.append((path, pointer.sha256))
        else:
            self.written.append((path, GitOid(oid.hex()), data if kept is None else kept))
        folder.changes[name] = (mode, oid)
        if isinstance(present, tuple) and present[1] == oid:
            return
        if len(data) < _CHECK_BYTES or self._snap is None or not self._snap.has_object(oid.hex()):
            self._pack.add_known(oid, objects.BLOB, data)

    def _copy(self, source_path: str, path: str, source_commit: CommitId | None) -> None:
        check_path(path)
        commit = source_commit or self._parent
        if commit is None or self._snap is None:
            raise FileNotFound(source_path)
        entry = self._snap.entry(commit, source_path)
        if entry is None:
            raise FileNotFound(source_path, commit)
        files = self._snap.iter_files(commit, source_path) if entry.kind is EntryKind.DIRECTORY else [entry]
        for file in files:  # all of them get other names, which the gate asks about
            name = path + file.path[len(source_path) :]
            if file.sha256 is not None:
                self.named.append((name, file.sha256))
                if source_commit is not None:
                    self.pointers[file.oid] = Pointer(file.sha256, file.size_bytes)
                    self.paths[file.sha256] = name
            elif file.kind in (EntryKind.FILE, EntryKind.SYMLINK):
                self.written.append((name, file.oid, self._snap.read_blob(file.oid)))
        self._set(path, entry.mode, bytes.fromhex(entry.oid))

    def _delete(self, operation: DeleteFile | DeleteFolder) -> None:
        path = operation.path.rstrip("/") if isinstance(operation, DeleteFolder) else operation.path
        if isinstance(operation, DeleteFolder) and path in ("", "."):
            self._root = _Folder(None)
            return
        *folders, name = split_path(path)
        folder = self._find_folder(folders)
        present = None if folder is None else self._look(folder, name)
        if folder is None or present is None or isinstance(present, _Folder) != isinstance(operation, DeleteFolder):
            raise FileNotFound(path, self._parent)
        folder.changes[name] = None

    def _remove(self, path: str) -> None:
        *folders, name = split_path(path)
        folder = self._find_folder(folders)
        if folder is not None:
            folder.changes[name] = None
