"""What git holds, as the rest of the hub sees it; no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from headwater.kernel import CommitId, GitOid, Sha256

DIRECTORY_MODE = 0o040000
FILE_MODE = 0o100644
EXECUTABLE_MODE = 0o100755
SYMLINK_MODE = 0o120000
SUBMODULE_MODE = 0o160000


class EntryKind(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    SUBMODULE = "submodule"

    @classmethod
    def of_mode(cls, mode: int) -> EntryKind:
        """As git reads it, to which what it does not know is a submodule: a thing without bytes."""
        return _KIND_BY_TYPE.get(mode & 0o170000, cls.SUBMODULE)


_KIND_BY_TYPE = {
    0o100000: EntryKind.FILE,
    0o040000: EntryKind.DIRECTORY,
    0o120000: EntryKind.SYMLINK,
    0o160000: EntryKind.SUBMODULE,
}


class TreeEntry(NamedTuple):
    """One line of a tree. ``size_bytes`` is the real size: of the large file when the git blob is an LFS pointer.

    ``sha256`` and ``pointer_size`` are set for pointers only. Directories and submodules have size 0.
    A tuple, because listings make a hundred thousand of them.
    """

    path: str
    kind: EntryKind
    oid: GitOid
    size_bytes: int
    sha256: Sha256 | None = None
    pointer_size: int | None = None
    mode: int = FILE_MODE

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def is_pointer(self) -> bool:
        return self.sha256 is not None


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """``title`` is the message's first line; ``message`` is what follows it, without the blank line between."""

    oid: CommitId
    title: str
    message: str
    author_name: str
    author_email: str
    authored_at: datetime
    committed_at: datetime
    parents: tuple[CommitId, ...]


@dataclass(frozen=True, slots=True)
class Pointer:
    """What an LFS pointer says: the blob it stands for."""

    sha256: Sha256
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AddFile:
    """Write ``data`` at ``path``. ``mode`` None keeps the present mode, or makes a plain file.

    When ``data`` is itself an LFS pointer, it is treated as one.
    """

    path: str
    data: bytes | Path
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class AddPointer:
    """Write the LFS pointer of a large file that is stored already."""

    path: str
    sha256: Sha256
    size_bytes: int
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class CopyEntry:
    """Put what lies at ``source_path`` of ``source_commit`` (the parent when None), a file or a folder, at ``path``."""

    source_path: str
    path: str
    source_commit: CommitId | None = None


@dataclass(frozen=True, slots=True)
class DeleteFile:
    path: str


@dataclass(frozen=True, slots=True)
class DeleteFolder:
    path: str


@dataclass(frozen=True, slots=True)
class SetEntry:
    """Put a git object that the repository has already (or None: nothing) at ``path``; what merges are made of."""

    path: str
    mode: int
    oid: GitOid | None


Operation = AddFile | AddPointer | CopyEntry | DeleteFile | DeleteFolder | SetEntry


@dataclass(frozen=True)
class BuiltPack:
    """A finished pack, in memory or (when large) in temporary files.

    ``is_lent``: those are removed by whoever made them, and serve more than one try; else they are gone after the first.
    ``objects`` has what is in it as (type, bytes), if it is little.
    """

    name: str  # as git names it: pack-<name>.pack
    n_objects: int
    size_bytes: int
    idx: bytes | Path
    data: bytes | Path
    objects: dict[str, tuple[int, bytes]] | None = None
    is_lent: bool = False


@dataclass(frozen=True)
class BuiltCommit:
    """A commit that is made, not yet published. ``changed`` is False when the tree equals the parent's.

    ``pack`` is None when there is nothing new to store (``commit`` is then the parent itself).
    ``pointers`` maps the git blob of every LFS pointer that was written to what it says; ``paths`` maps each sha256 to
    the path that names it. ``written`` and ``named`` have all paths, also where two hold the same bytes.
    """

    commit: CommitId
    tree: GitOid
    pack: BuiltPack | None
    changed: bool
    pointers: Mapping[GitOid, Pointer] = field(default_factory=dict)
    paths: Mapping[Sha256, str] = field(default_factory=dict)
    data: bytes = b""  # the commit object itself
    written: Sequence[tuple[str, GitOid, bytes | Path]] = ()  # small files with their paths, for the gate
    named: Sequence[tuple[str, Sha256]] = ()  # large ones


class ChangeKind(StrEnum):
    ADDED = "added"
    DELETED = "deleted"
    MODIFIED = "modified"
    RENAMED = "renamed"
    TYPE_CHANGED = "type_changed"


@dataclass(frozen=True, slots=True)
class Line:
    """``origin`` is "+", "-" or " "; a side's number is None where the line is not on that side."""

    origin: str
    text: str
    old_number: int | None
    new_number: int | None


@dataclass(frozen=True, slots=True)
class Hunk:
    header: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One changed file. ``hunks`` is empty for binary and large files, and when ``is_cut`` (too long to show whole)."""

    path: str
    old_path: str | None
    kind: ChangeKind
    old: TreeEntry | None
    new: TreeEntry | None
    is_binary: bool
    is_cut: bool
    hunks: Sequence[Hunk]
    n_added: int
    n_deleted: int

    @property
    def is_pointer(self) -> bool:
        return any(side is not None and side.is_pointer for side in (self.old, self.new))


@dataclass(frozen=True)
class Diff:
    """``files`` is bounded; ``n_files`` counts all."""

    files: Sequence[FileChange]
    n_files: int
    n_added: int
    n_deleted: int

    @property
    def is_cut(self) -> bool:
        return self.n_files > len(self.files) or any(f.is_cut for f in self.files)

    def unified(self) -> str:
        """As ``git diff`` prints it, as far as it was kept."""
        out: list[str] = []
        for change in self.files:
            old_path, new_path = change.old_path or change.path, change.path
            out.append(f"diff --git a/{old_path} b/{new_path}\n")
            if change.old is None and change.new is not None:
                out.append(f"new file mode {change.new.mode:06o}\n")
            elif change.new is None and change.old is not None:
                out.append(f"deleted file mode {change.old.mode:06o}\n")
            elif change.old is not None and change.new is not None:
                if change.old.mode != change.new.mode:
                    out.append(f"old mode {change.old.mode:06o}\nnew mode {change.new.mode:06o}\n")
                if change.kind is ChangeKind.RENAMED:
                    out.append(f"rename from {old_path}\nrename to {new_path}\n")
            before = "/dev/null" if change.old is None else f"a/{old_path}"
            after = "/dev/null" if change.new is None else f"b/{new_path}"
            if change.is_binary:
                out.append(f"Binary files {before} and {after} differ\n")
            elif change.hunks:
                out.append(f"--- {before}\n+++ {after}\n")
                for hunk in change.hunks:
                    out.append(hunk.header if hunk.header.endswith("\n") else hunk.header + "\n")
                    for line in hunk.lines:
                        text = line.text
                        out.append(
                            f"{line.origin}{text}"
                            if text.endswith("\n")
                            else f"{line.origin}{text}\n\\ No newline at end of file\n"
                        )
        return "".join(out)


@dataclass(frozen=True)
class MergeResult:
    """``built`` is None when there are conflicts, or when nothing needs to be made.

    ``is_fast_forward``: head already holds base, so moving the ref to head is the merge. ``is_merged``: base already holds head.
    """

    built: BuiltCommit | None
    conflicts: Sequence[str]
    is_fast_forward: bool = False
    is_merged: bool = False
