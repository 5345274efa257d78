"""One repository at one version, to read from: refs, trees, files, history."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headwater.hub.errors import AmbiguousRevision, FileNotFound, RevisionNotFound
from headwater.hub.git import objects
from headwater.hub.git.models import DIRECTORY_MODE, FILE_MODE, SUBMODULE_MODE, CommitInfo, Diff, EntryKind, TreeEntry
from headwater.hub.git.pointers import MAX_POINTER_BYTES, MIN_POINTER_BYTES, parse_pointer
from headwater.kernel import CommitId, GitOid, RepoId

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.hub.git.cache import GitStore
    from headwater.hub.git.folders import Folder
    from headwater.hub.git.store import Head

_HEX = re.compile(r"[0-9a-f]{7,40}")
_KINDS = {mode: EntryKind.of_mode(mode) for mode in (0o040000, 0o100644, 0o100755, 0o100664, 0o120000, 0o160000)}
_NO_SIZE = frozenset({DIRECTORY_MODE, SUBMODULE_MODE})
MAX_BLOB_BYTES = 64 << 20
BULK_ENTRIES = 200

_FOLDER, _PLAIN = b"40000", b"100644"
_FILE, _DIRECTORY = EntryKind.FILE, EntryKind.DIRECTORY


@dataclass(frozen=True, slots=True)
class TreeColumns:
    """Entries of a tree, a column each: full paths, modes as they are written, 20-byte ids, sizes.

    A size of -1 says that the entry may be a pointer or is otherwise out of the ordinary: see ``Snapshot.make_entry``.
    """

    paths: list[str]
    modes: list[bytes]
    oids: list[bytes]
    sizes: list[int]


class Objects:
    """Objects by id: those of small packs held in memory, then those of the folder."""

    __slots__ = ("held", "odb")

    def __init__(self, odb: Any, held: dict[str, tuple[int, bytes]]) -> None:
        self.odb = odb
        self.held = held

    def read(self, oid: str) -> tuple[int, bytes]:
        """Raises: KeyError: there is no such object here."""
        found = self.held.get(oid)
        if found is not None:
            return found
        if self.odb is None:
            raise KeyError(oid)
        kind, data = self.odb.read(oid)
        return int(kind), data

    def find(self, oid: str) -> tuple[int, bytes] | None:
        try:
            return self.read(oid)
        except KeyError:
            return None

    def header(self, oid: str) -> tuple[int, int]:
        """Type and size. Raises: KeyError: there is no such object here."""
        found = self.held.get(oid)
        if found is not None:
            return found[0], len(found[1])
        if self.odb is None:
            raise KeyError(oid)
        kind, size = self.odb.read_header(oid)
        return int(kind), size

    def exists(self, oid: str) -> bool:
        return oid in self.held or (self.odb is not None and bool(self.odb.exists(oid)))


class Snapshot:
    """Valid inside the ``with`` that gave it out. Trees and blobs are read by id, so any commit here can be asked for.

    ``refs`` maps full names to what they point at (the tag object for annotated tags).
    """

    def __init__(
        self,
        owner: GitStore,
        repo_id: RepoId,
        head: Head,
        refs: Mapping[str, str],
        objects_: Objects,
        folder_version: int,
        folder: Folder | None,
        lock_fd: int | None,
    ) -> None:
        self.owner = owner
        self.repo_id = repo_id
        self.version = head.version
        self.prune_epoch = head.prune_epoch
        self.default_branch = head.default_branch
        self.refs = refs
        self._objects = objects_
        self._fds = [] if lock_fd is None else [lock_fd]
        self._folder = None if folder is None or folder_version < head.version else folder
        self._packs = folder  # most objects, also when it lacks the latest

    def close(self) -> None:
        """Let go of the cache's files; called by the ``with`` that gave this out."""
        while self._fds:
            os.close(self._fds.pop())

    # -- revisions

    def resolve(self, revision: str, default_branch: str | None = None) -> CommitId:
        """The commit that a branch, tag, full ref, ``HEAD`` or (short) sha stands for; a branch goes before a tag.

        Raises:
            RevisionNotFound, AmbiguousRevision
        """
        if revision in ("", "HEAD"):
            revision = f"refs/heads/{default_branch or self.default_branch}"
        oid = find_ref(self.refs, revision)
        if oid is not None:
            return self._commit_of(oid, revision)
        if _HEX.fullmatch(revision):
            return self._commit_of(self._expand(revision), revision)
        raise RevisionNotFound(revision)

    def head_commit(self) -> CommitId | None:
        """The default branch's commit; None in an empty repository."""
        oid = self.refs.get(f"refs/heads/{self.default_branch}")
        return None if oid is None else CommitId(oid)

    def _commit_of(self, oid: str, revision: str) -> CommitId:
        for _ in range(100):
            found = self.find_object(oid)
            if found is None:
                break
            kind, data = found
            if kind == objects.COMMIT:
                return CommitId(oid)
            if kind != objects.TAG:
                break
            oid, _ = objects.tag_target(data)
        raise RevisionNotFound(revision)

    def _expand(self, prefix: str) -> str:
        if len(prefix) == 40:
            return prefix
        try:
            return str(self.repo().expand_id(prefix))
        except KeyError as exc:
            raise RevisionNotFound(prefix) from exc
        except ValueError:  # several objects; perhaps one commit among them
            lines = self.run_git("rev-parse", f"--disambiguate={prefix}").decode().split()
        commits = {self._commit_of(oid, prefix) for oid in lines if self.kind_of(oid) in (objects.COMMIT, objects.TAG)}
        if not commits:
            raise RevisionNotFound(prefix)
        if len(commits) > 1:
            raise AmbiguousRevision(prefix)
        return commits.pop()

    # -- objects

    def find_object(self, oid: str) -> tuple[int, bytes] | None:
        """Type and bytes of an object, or None if it is not here."""
        return self._objects.find(oid)

    def has_object(self, oid: str) -> bool:
        return self._objects.exists(oid)

    def kind_of(self, oid: str) -> int | None:
        """An object's type, or None if it is not here."""
        try:
            return self._objects.header(oid)[0]
        except KeyError:
            return None

    def raw_commit(self, commit: str) -> objects.RawCommit:
        """Raises ``RevisionNotFound`` if the id names no commit here."""
        found = self.find_object(commit)
        if found is None or found[0] != objects.COMMIT:
            raise RevisionNotFound(commit)
        return objects.parse_commit(found[1])

    def raw_tree(self, oid: str) -> bytes:
        """A tree's bytes, through a small cache."""
        raw = self.owner.trees.find(oid)
        if raw is None:
            found = self.find_object(oid)
            if found is None:
                if oid != objects.EMPTY_TREE:
                    raise KeyError(oid)
                return b""
            raw = found[1]
            self.owner.trees.put(oid, raw)
        return raw

    def read_blob(self, oid: str, limit_bytes: int = MAX_BLOB_BYTES) -> bytes:
        """The bytes of a git blob (a pointer's own text, not the large file).

        Raises:
            ValueError: it is larger than ``limit_bytes``.
            KeyError: no such object.
        """
        kind, size = self._objects.header(oid)
        if kind != objects.BLOB:
            raise KeyError(oid)
        if size > limit_bytes:
            raise ValueError(f"the file has {size} bytes, {limit_bytes} were allowed")
        return self._objects.read(oid)[1]

    def blob_size(self, oid: str) -> int:
        return self._objects.header(oid)[1]

    # -- trees

    def tree_of(self, commit: str, path: str = "") -> GitOid:
        """The tree id of a folder.

        Raises:
            FileNotFound: there is no such folder.
        """
        tree: str = self.raw_commit(commit).tree
        if path:
            for part in split_path(path):
                found = objects.find_in_tree(self.raw_tree(tree), part)
                if found is None or found[0] != DIRECTORY_MODE:
                    raise FileNotFound(path, commit)
                tree = found[2].hex()
        return GitOid(tree)

    def entry(self, commit: str, path: str) -> TreeEntry | None:
        """What lies at ``path``, or None; the root folder is an entry with an empty path."""
        tree: str = self.raw_commit(commit).tree
        if path == "":
            return TreeEntry("", EntryKind.DIRECTORY, GitOid(tree), 0, mode=DIRECTORY_MODE)
        *folders, name = split_path(path)
        for part in folders:
            found = objects.find_in_tree(self.raw_tree(tree), part)
            if found is None or found[0] != DIRECTORY_MODE:
                return None
            tree = found[2].hex()
        found = objects.find_in_tree(self.raw_tree(tree), name)
        return None if found is None else self.make_entry(path, found[0], found[2])

    def entries(self, commit: str, paths: Sequence[str]) -> dict[str, TreeEntry]:
        """Those of ``paths`` that exist, at once."""
        found = ((path, self.entry(commit, path)) for path in paths)
        return {path: entry for path, entry in found if entry is not None}

    def make_entry(self, path: str, mode: int, oid: bytes) -> TreeEntry:
        """An entry with its sizes looked up; pointers are read."""
        kind = _KINDS.get(mode) or EntryKind.of_mode(mode)
        if mode in _NO_SIZE or kind is EntryKind.SUBMODULE:
            return TreeEntry(path, kind, GitOid(oid.hex()), 0, None, None, mode)
        text = oid.hex()
        size = self._objects.header(text)[1]
        if MIN_POINTER_BYTES <= size <= MAX_POINTER_BYTES:
            pointer = parse_pointer(self._objects.read(text)[1])
            if pointer is not None:
                return TreeEntry(path, EntryKind.FILE, GitOid(text), pointer.size_bytes, pointer.sha256, size, mode)
        return TreeEntry(path, kind, GitOid(text), size, None, None, mode)

    def list_tree(
        self,
        commit: str,
        path: str = "",
        *,
        recursive: bool = False,
        after: str | None = None,
        limit: int | None = 1000,
    ) -> list[TreeEntry]:
        """Entries below a folder in git's order, full paths; recursive ones have each folder before its contents.

        ``after`` is the path of the last entry of the page before.

        Raises:
            FileNotFound: there is no such folder.
        """
        found = self.list_columns(commit, path, recursive=recursive, after=after, limit=limit)
        out: list[TreeEntry] = []
        append, make, new = out.append, self.make_entry, tuple.__new__
        for entry_path, mode, oid, size in zip(found.paths, found.modes, found.oids, found.sizes, strict=True):
            if size < 0:
                append(make(entry_path, int(mode, 8), oid))
            elif mode == _PLAIN:
                append(new(TreeEntry, (entry_path, _FILE, oid.hex(), size, None, None, FILE_MODE)))
            else:
                append(new(TreeEntry, (entry_path, _DIRECTORY, oid.hex(), 0, None, None, DIRECTORY_MODE)))
        return out

    def list_columns(
        self,
        commit: str,
        path: str = "",
        *,
        recursive: bool = False,
        after: str | None = None,
        limit: int | None = 1000,
    ) -> TreeColumns:
        """As ``list_tree``, without an object for each entry."""
        tree = self.tree_of(commit, path)
        prefix = f"{path}/" if path else ""
        skip: list[bytes] = []
        if after is not None and after.startswith(prefix):
            skip = split_path(after[len(prefix) :])
        found = TreeColumns([], [], [], [])
        self._gather(found, tree, prefix, skip, -1 if limit is None else limit, recursive=recursive)
        found.sizes[:] = self._known_sizes(found)
        return found

    def _gather(
        self, found: TreeColumns, tree: str, prefix: str, skip: list[bytes], limit: int, *, recursive: bool
    ) -> None:
        """Append entries to ``found`` until it holds ``limit`` (-1: all), from behind the path that ``skip`` spells."""
        raw = self.raw_tree(tree)
        start = 0
        if skip:
            span = objects.entry_span(raw, skip[0])
            start = span[1] if span is not None else objects.first_after(raw, skip[0])
            if span is not None and recursive:
                mode, raw_name, oid = next(objects.iter_tree(raw, span[0]))
                if mode == DIRECTORY_MODE:
                    below = f"{prefix}{raw_name.decode(errors='surrogateescape')}/"
                    self._gather(found, oid.hex(), below, skip[1:], limit, recursive=True)
        entries = objects.split_tree(raw, start)
        if limit >= 0:
            del entries[limit - len(found.paths) :]
        if not entries:
            return
        modes, raw_names, oids = zip(*entries, strict=True)
        names = b"\0".join(raw_names).decode("utf-8", "surrogateescape").split("\0")
        if not recursive or _FOLDER not in modes:
            found.paths.extend([prefix + name for name in names])
            found.modes.extend(modes)
            found.oids.extend(oids)
            return
        for name, mode_text, oid in zip(names, modes, oids, strict=True):
            if len(found.paths) == limit:
                return
            found.paths.append(prefix + name)
            found.modes.append(mode_text)
            found.oids.append(oid)
            if mode_text == _FOLDER:
                self._gather(found, oid.hex(), f"{prefix}{name}/", [], limit, recursive=True)

    def _known_sizes(self, found: TreeColumns) -> list[int]:
        """Sizes straight from the packs where there are many; -1 is for what must be looked at one by one."""
        if self._packs is None or len(found.oids) < BULK_ENTRIES:
            return [0 if mode == _FOLDER else -1 for mode in found.modes]
        from headwater.hub.git.sizes import find_sizes

        sizes = find_sizes(self._packs.pack_sizes(), found.oids)
        return [
            size if mode == _PLAIN and (size > MAX_POINTER_BYTES or size < MIN_POINTER_BYTES) else -(mode != _FOLDER)
            for mode, size in zip(found.modes, sizes, strict=True)
        ]

    def iter_files(self, commit: str, path: str = "") -> Iterator[TreeEntry]:
        """Every file below a folder, one at a time."""
        prefix = f"{path}/" if path else ""
        for entry_path, mode, oid in self._walk(self.tree_of(commit, path), prefix):
            if mode != DIRECTORY_MODE:
                yield self.make_entry(entry_path, mode, oid)

    def _walk(self, tree: str, prefix: str) -> Iterator[tuple[str, int, bytes]]:
        for mode, name, oid in objects.iter_tree(self.raw_tree(tree)):
            entry_path = prefix + name.decode(errors="surrogateescape")
            yield entry_path, mode, oid
            if mode == DIRECTORY_MODE:
                yield from self._walk(oid.hex(), entry_path + "/")

    # -- history

    def commit_info(self, commit: str) -> CommitInfo:
        """Raises ``RevisionNotFound`` if the id names no commit here."""
        return objects.commit_info(CommitId(commit), self.raw_commit(commit))

    def log(
        self, commit: str, *, path: str | None = None, after: str | None = None, limit: int = 50
    ) -> list[CommitInfo]:
        """The history of a commit, newest first; with ``path``, only commits that changed it.

        ``after`` is the last commit of the page before.
        """
        from headwater.hub.git import history

        return history.log(self, commit, path=path, after=after, limit=limit)

    def count_commits(self, commit: str) -> int:
        from headwater.hub.git import history

        return history.count_commits(self, commit)

    def is_on_branch(self, commit: str) -> bool:
        """Whether a branch or tag reaches the commit; others are only in pull requests, or left over."""
        from headwater.hub.git import history

        return history.is_on_branch(self, commit)

    def last_changed(self, commit: str, folder: str = "", names: Sequence[str] | None = None) -> dict[str, CommitInfo]:
        """For each name in a folder (or those asked for), the last commit that changed it."""
        from headwater.hub.git import lastchanged

        return lastchanged.last_changed(self, CommitId(commit), folder, names)

    def merge_base(self, a: str, b: str) -> CommitId | None:
        """The best common ancestor, or None when the histories share nothing."""
        found = self.repo().merge_base(a, b)
        return None if found is None else CommitId(str(found))

    def diff(self, base: str | None, head: str, *, path: str | None = None) -> Diff:
        """What changed from ``base`` (None: from nothing) to ``head``; bounded, see ``Diff.is_cut``."""
        from headwater.hub.git import diff

        return diff.diff(self, base, head, path=path)

    # -- the git program

    def repo(self) -> Any:
        """The ``pygit2.Repository`` of the cache. For reading only: what is written there is lost."""
        return self._on_disk().repo()

    @property
    def folder(self) -> Path:
        """A bare repository with at least what this snapshot has, for the git program to read."""
        return self._on_disk().path

    @property
    def lock_fd(self) -> int:
        """What a git child inherits, so that the folder outlives this process's interest in it."""
        self._on_disk()
        return self._fds[-1]

    def _on_disk(self) -> Folder:
        if self._folder is None:
            self._folder, fd = self.owner.open_folder(self.repo_id, self.version)
            self._fds.append(fd)
        return self._folder

    def run_git(
        self, *args: str, stdin: bytes = b"", timeout_s: float = 120, env: Mapping[str, str] | None = None
    ) -> bytes:
        """What the git program prints about this repository.

        Raises:
            subprocess.CalledProcessError: it failed; its message is in ``stderr``.
        """
        done = subprocess.run(
            git_command(self.folder, *args),
            input=stdin,
            capture_output=True,
            check=True,
            timeout=timeout_s,
            env=git_env(env),
            pass_fds=(self.lock_fd,),
        )
        return done.stdout


def find_ref(refs: Mapping[str, str], revision: str) -> str | None:
    """What the ref that a client means by ``revision`` points at: a branch goes before a tag, a short name before a full one."""
    for name in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision, f"refs/{revision}"):
        oid = refs.get(name)
        if oid is not None:
            return oid
    return None


def split_path(path: str) -> list[bytes]:
    """The parts of a path as git keeps them; what cannot be written in git becomes a part that no tree has."""
    try:
        return path.encode(errors="surrogateescape").split(b"/")
    except UnicodeEncodeError:
        return [b"\0"]


def git_command(folder: Path, *args: str) -> list[str]:
    return ["git", "-c", "safe.directory=*", f"--git-dir={folder}", *args]


def git_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment in which git behaves the same on every machine."""
    env = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if key in os.environ}
    env |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    return env | dict(extra or {})
