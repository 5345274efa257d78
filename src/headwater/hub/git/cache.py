"""The disposable cache: bare repositories on disk, made from SQL and packs, readable by pygit2 and by ``git``.

One folder per repository id and prune epoch, never per name: after a prune there is a new folder, and the old one, with
what must no longer be seen, goes when its last reader is done. Two locks guard a folder. ``<id>.lock`` is held by the one
who brings it up to date; the SQL is read inside it, and the version is written last. The folder's own ``flock`` is shared
by readers (git children inherit it) and exclusive for whoever takes files away. Adding packs needs no exclusion from readers,
so a slow clone keeps nobody waiting (docs/decisions/0010-two-cache-locks.md).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.blobs import BlobFolder
from headwater.db import Database
from headwater.hub.git import objects, store
from headwater.hub.git.snapshot import Snapshot
from headwater.kernel import RepoId

if TYPE_CHECKING:
    import pygit2

MAX_HANDLES = 64
MAX_TREE_BYTES = 16 << 20
VERSION_FILE = "headwater-version"
ORPHAN = ".orphan"  # what the collector sets aside; see collector.remove_orphans

_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tbare = true
\tfilemode = true
[gc]
\tauto = 0
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = true
[pack]
\tthreads = 1
\twindowMemory = 64m
[core]
\tpackedGitLimit = 256m
"""


class PackMissing(OSError):
    """A pack that the list names is not in the store: merged away since the list was read, or lost."""


@dataclass
class Handle:
    """An open cache folder in this process. Shared by threads: pygit2's calls on it hold the interpreter's lock.

    ``fd`` keeps the folder's inode number from being given to another while this is in use.
    """

    folder: Path
    fd: int
    head: store.Head
    refs: dict[str, str]
    odb: Any
    touched_at: float = 0.0
    _repo: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __del__(self) -> None:
        os.close(self.fd)

    @property
    def is_current(self) -> bool:
        """Whether the folder is still the one at its path."""
        try:
            return os.fstat(self.fd).st_ino == self.folder.stat().st_ino
        except FileNotFoundError:
            return False

    def repo(self) -> Any:
        """The whole ``pygit2.Repository``, opened when history or diffs are asked for."""
        with self._lock:
            if self._repo is None:
                self._repo = _open_repository(self.folder)
            return self._repo


class TreeCache:
    """Raw trees by id, bounded by bytes; what a tree id stands for never changes."""

    def __init__(self, limit_bytes: int = MAX_TREE_BYTES) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._trees: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, oid: str) -> bytes | None:
        with self._lock:
            raw = self._trees.get(oid)
            if raw is not None:
                self._trees.move_to_end(oid)
            return raw

    def put(self, oid: str, raw: bytes) -> None:
        if len(raw) > self._limit // 2:
            return
        with self._lock:
            if oid not in self._trees:
                self._trees[oid] = raw
                self._held += len(raw) + 150
            while self._held > self._limit:
                _, dropped = self._trees.popitem(last=False)
                self._held -= len(dropped) + 150


class GitStore:
    """A site part: ``with site.part(GitStore).open(repo.id) as snap: ...``"""

    def __init__(self, db: Database, blobs: BlobFolder, cache_dir: Path, *, limit_bytes: int = 20 << 30) -> None:
        self.db = db
        self.blobs = blobs
        self.cache_dir = cache_dir
        self.limit_bytes = limit_bytes
        self.trees = TreeCache()
        self._handles: OrderedDict[RepoId, Handle] = OrderedDict()
        self._lock = threading.Lock()
        self._boot = _boot_id()

    @contextmanager
    def open(self, repo_id: RepoId) -> Iterator[Snapshot]:
        """The repository as it is now (or, inside a read transaction, as that sees it), to read from.

        While it is open its files stay, whatever is merged, pruned or evicted meanwhile.

        Raises:
            RepositoryNotFound: deleted meanwhile.
        """
        for _ in range(5):
            handle, head, refs = self._current(repo_id)
            fd = _lock_folder(handle)
            if fd is not None:
                _touch(handle)
                break
            self.forget(repo_id)  # evicted since; make it again
        else:
            raise OSError(f"the cache of repository {repo_id} goes as soon as it is made; is {self.cache_dir} shared?")
        try:
            yield Snapshot(self, repo_id, head, refs, handle, fd)
        finally:
            os.close(fd)

    def forget(self, repo_id: RepoId) -> None:
        """Close this process's view of a repository; the next reader opens it anew."""
        with self._lock:
            self._handles.pop(repo_id, None)

    def folder_of(self, repo_id: RepoId, prune_epoch: int) -> Path:
        return self.cache_dir / f"{repo_id % 256:02x}" / f"{repo_id}-{prune_epoch}.git"

    def _current(self, repo_id: RepoId) -> tuple[Handle, store.Head, dict[str, str]]:
        """An open folder that holds all of a version, which version, and its refs."""
        with self._lock:
            handle = self._handles.get(repo_id)
            if handle is not None:
                self._handles.move_to_end(repo_id)
        with self.db.reading() as tx:
            head = store.read_head(tx, repo_id)
            if handle is not None and handle.head == head:
                return handle, head, handle.refs
            if handle is not None and handle.head.version > head.version:
                # An older transaction is being read. The folder holds all of it but what was pruned since.
                return handle, head, store.read_refs(tx, repo_id)
        handle = self._sync(repo_id, handle)
        with self._lock:
            self._handles[repo_id] = handle
            self._handles.move_to_end(repo_id)
            while len(self._handles) > MAX_HANDLES:
                self._handles.popitem(last=False)
        return handle, handle.head, handle.refs

    def _sync(self, repo_id: RepoId, before: Handle | None) -> Handle:
        lock_path = self.cache_dir / f"{repo_id % 256:02x}" / f"{repo_id}.lock"
        with _flock(lock_path):
            for attempt in range(5):
                state = self.db.read(store.read_state, repo_id)
                folder = self.folder_of(repo_id, state.head.prune_epoch)
                try:
                    self._update(folder, repo_id, state)
                    break
                except PackMissing:
                    if attempt == 4:
                        raise
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if before is None or before.folder != folder or not before.is_current:
            return Handle(folder, fd, state.head, state.refs, open_odb(folder))
        # Packs were only added; libgit2 looks for new ones when it misses an object.
        handle = Handle(folder, fd, state.head, state.refs, before.odb)
        handle._repo = before._repo  # noqa: SLF001
        return handle

    def _update(self, folder: Path, repo_id: RepoId, state: store.State) -> None:
        """Bring the folder to ``state`` unless it is further."""
        cached = self._read_version(folder)
        if cached is not None and cached >= state.head.version:
            return
        if cached is None:
            shutil.rmtree(folder, ignore_errors=True)
            _make_skeleton(folder)
        pack_dir = folder / "objects" / "pack"
        wanted = {f"pack-{row.name}.idx" for row in state.packs}
        present = {name for name in os.listdir(pack_dir) if name.endswith(".idx")} if cached is not None else set()
        if present - wanted:
            _renew(folder, present & wanted)
            present = {name for name in os.listdir(pack_dir) if name.endswith(".idx")}
        self._fetch(repo_id, [row for row in state.packs if f"pack-{row.name}.idx" not in present], pack_dir)
        _write_refs(folder, state)
        self._write_version(folder, state.head.version)

    def _fetch(self, repo_id: RepoId, missing: list[store.PackRow], pack_dir: Path) -> None:
        inline = [row for row in missing if row.is_inline]
        for at in range(0, len(inline), 100):
            batch = inline[at : at + 100]
            bytes_of = self.db.read(store.find_pack_bytes, [row.id for row in batch])
            for row in batch:
                if row.id not in bytes_of:
                    raise PackMissing(row.name)
                data, idx = bytes_of[row.id]
                _put_file(pack_dir / f"pack-{row.name}.pack", data)
                _put_file(pack_dir / f"pack-{row.name}.idx", idx)  # last: git looks for this one
        for row in missing:
            if not row.is_inline:
                for suffix in (".pack", ".idx"):
                    key = self.blobs.key_path(pack_key(repo_id, row.name, suffix))
                    _link_or_copy(key, pack_dir / f"pack-{row.name}{suffix}")

    def _read_version(self, folder: Path) -> int | None:
        try:
            version, _, boot = (folder / VERSION_FILE).read_text().partition(" ")
        except FileNotFoundError:
            return None
        # The cache is never synced to disk, so after a crash of the machine nothing of it is believed.
        return int(version) if boot == self._boot else None

    def _write_version(self, folder: Path, version: int) -> None:
        _put_file(folder / VERSION_FILE, f"{version} {self._boot}".encode())

    def evict(self, limit_bytes: int | None = None) -> int:
        """Remove folders, least recently brought up to date first, until the cache fits; returns how many went.

        Folders in use stay. Folders of an older prune epoch go whatever the limit.
        """
        limit = self.limit_bytes if limit_bytes is None else limit_bytes
        for left_over in self.cache_dir.glob("??/*.gone"):
            with _flock(left_over.with_name(f"{left_over.name.partition('-')[0]}.lock")):  # not while it is being renewed
                shutil.rmtree(left_over, ignore_errors=True)
        folders = sorted(_measure(self.cache_dir), key=lambda f: f.used_at)
        newest: dict[str, int] = {}
        for f in folders:
            newest[f.repo] = max(newest.get(f.repo, -1), f.epoch)
        total, n_evicted = sum(f.size_bytes for f in folders), 0
        for f in folders:
            if (total > limit or f.epoch < newest[f.repo]) and _evict(f.path):
                total -= f.size_bytes
                n_evicted += 1
        return n_evicted


def pack_key(repo_id: RepoId, name: str, suffix: str) -> str:
    """Where a pack that is too large for its row lies in the blob folder."""
    return f"git/{repo_id}/pack-{name}{suffix}"


@dataclass(frozen=True)
class _Measured:
    path: Path
    repo: str
    epoch: int
    size_bytes: int
    used_at: float


def _measure(cache_dir: Path) -> Iterator[_Measured]:
    for path in cache_dir.glob("??/*-*.git"):
        repo, _, epoch = path.name.removesuffix(".git").partition("-")
        try:
            size = sum(entry.stat().st_size for entry in os.scandir(path / "objects" / "pack"))
            used_at = (path / VERSION_FILE).stat().st_mtime
        except FileNotFoundError:
            size, used_at = 0, 0.0
        yield _Measured(path, repo, int(epoch), size, used_at)


def _evict(folder: Path) -> bool:
    doomed = folder.with_name(f"{folder.name}.{os.urandom(6).hex()}.gone")
    with _flock(folder.parent / f"{folder.name.partition('-')[0]}.lock"):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not _try_exclusive(fd):
                return False
            folder.rename(doomed)
        finally:
            os.close(fd)
    shutil.rmtree(doomed, ignore_errors=True)
    return True


def _lock_folder(handle: Handle) -> int | None:
    """A shared lock on the folder, or None if it is no longer the one that was opened."""
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle.fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        if handle.is_current:
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _touch(handle: Handle) -> None:
    """Eviction goes by the time of the version file; an hour is fine enough for that."""
    now = time.time()
    if now - handle.touched_at > 3600:
        handle.touched_at = now
        with contextlib.suppress(FileNotFoundError):
            os.utime(handle.folder / VERSION_FILE)


def _try_exclusive(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _flock(path: Path) -> Iterator[None]:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _make_skeleton(folder: Path) -> None:
    """What git and libgit2 need to see a bare repository."""
    (folder / "objects" / "pack").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "config").write_text(_CONFIG)


def _write_refs(folder: Path, state: store.State) -> None:
    _put_file(folder / "HEAD", f"ref: refs/heads/{state.head.default_branch}\n".encode())
    peeled = _peel_tags(folder, state.refs)
    lines = ["# pack-refs with: peeled fully-peeled sorted \n"]
    for name, oid in sorted(state.refs.items(), key=lambda item: item[0].encode()):
        lines.append(f"{oid} {name}\n")
        if name in peeled:
            lines.append(f"^{peeled[name]}\n")
    _put_file(folder / "packed-refs", "".join(lines).encode())


def _peel_tags(folder: Path, refs: dict[str, str]) -> dict[str, str]:
    """What each annotated tag finally points at."""
    tags = {name: oid for name, oid in refs.items() if name.startswith("refs/tags/")}
    if not tags:
        return {}
    odb, peeled = open_odb(folder), {}
    for name, oid in tags.items():
        target, kind, depth = oid, int(odb.read_header(oid)[0]), 0
        while kind == objects.TAG and depth < 100:
            target, _ = objects.tag_target(odb.read(target)[1])
            kind, depth = int(odb.read_header(target)[0]), depth + 1
        if target != oid:
            peeled[name] = target
    return peeled


def _renew(folder: Path, kept: set[str]) -> None:
    """Make the folder anew without the packs that others replace, if nobody reads it just now; else a later change does.

    A new folder, because whoever has the old one open would go on looking for the packs that went.
    """
    doomed = folder.with_name(f"{folder.name}.{os.urandom(6).hex()}.gone")
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not _try_exclusive(fd):
            return
        folder.rename(doomed)
    finally:
        os.close(fd)
    _make_skeleton(folder)
    for idx in kept:
        for name in (f"{idx.removesuffix('.idx')}.pack", idx):
            (doomed / "objects" / "pack" / name).rename(folder / "objects" / "pack" / name)
    shutil.rmtree(doomed, ignore_errors=True)


def _put_file(path: Path, data: bytes) -> None:
    temporary = f"{path}.{os.getpid()}-{threading.get_ident()}.tmp"
    with open(temporary, "wb") as out:  # plain open: this runs at every commit
        out.write(data)
    os.replace(temporary, path)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except FileNotFoundError as exc:
        try:
            source.with_name(source.name + ORPHAN).rename(source)
        except FileNotFoundError:
            raise PackMissing(source.name) from exc
        _link_or_copy(source, target)
    except OSError:  # another file system, or one without hard links
        temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        shutil.copyfile(source, temporary)
        os.replace(temporary, target)


def open_odb(folder: Path) -> pygit2.Odb:
    _prepare_pygit2()
    import pygit2

    return pygit2.Odb(str(folder / "objects"))


def _open_repository(folder: Path) -> pygit2.Repository:
    import pygit2
    from pygit2.enums import RepositoryOpenFlag

    return pygit2.Repository(str(folder), RepositoryOpenFlag.BARE | RepositoryOpenFlag.NO_SEARCH)


_prepared = False


def _prepare_pygit2() -> None:
    """Bounds of libgit2, once a process: its defaults map and cache without end."""
    global _prepared  # noqa: PLW0603
    if _prepared:
        return
    import pygit2

    pygit2.settings.owner_validation = False  # the folder is ours, whoever runs the process
    pygit2.settings.cache_max_size(16 << 20)
    pygit2.settings.mwindow_size = 4 << 20
    pygit2.settings.mwindow_mapped_limit = 128 << 20
    _prepared = True


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "-"
