"""Cache folders on disk: bare repositories that git and libgit2 can read, made from SQL and packs, never edited by git.

A folder belongs to one repository id and prune epoch. After a prune there is a new folder, and the old one, with what must
no longer be seen, goes when its last reader is done. Two locks guard it. ``<id>.lock`` is held by whoever brings it up to
date; the SQL is read inside it, and the version is written last. The folder's own ``flock`` is shared by readers (git
children inherit it) and exclusive for whoever takes files away. Adding packs needs no exclusion from readers, so a slow
clone keeps nobody waiting (docs/decisions/0010-two-cache-locks.md).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.blobs import BlobStore, ObjectDamaged, refusing_when_full
from headwater.hub.figures import GIT_CACHE_BYTES, GIT_CACHE_EVICTED
from headwater.hub.git import objects, store
from headwater.kernel import RepoId

if TYPE_CHECKING:
    import pygit2

    from headwater.hub.git.sizes import PackSizes

VERSION_FILE = "headwater-version"
FETCHES = 4  # packs at once, from a store
FETCH_TRIES = 3

ReadPacks = Callable[[list[int]], dict[int, tuple[bytes, bytes]]]
"""Pack and index of inline packs, by the pack's id."""

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


class Folder:
    """An open cache folder in this process. Shared by threads: pygit2's calls on it hold the interpreter's lock.

    ``fd`` keeps the folder's inode number from being given to another while this is in use.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.odb = open_odb(path)
        self._repo: Any = None
        self._sizes: dict[str, PackSizes] = {}
        self._touched_at = 0.0
        self._guard = threading.Lock()

    def __del__(self) -> None:
        os.close(self.fd)

    @property
    def is_current(self) -> bool:
        """Whether the folder is still the one at its path."""
        try:
            return os.fstat(self.fd).st_ino == self.path.stat().st_ino
        except FileNotFoundError:
            return False

    def lock(self) -> int | None:
        """A descriptor that keeps the folder's files in place until it is closed; None when they are gone already."""
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            if self.is_current:
                self._touch()
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    def repo(self) -> Any:
        """The whole ``pygit2.Repository``, opened when history is asked for."""
        with self._guard:
            if self._repo is None:
                self._repo = _open_repository(self.path)
            return self._repo

    def pack_sizes(self) -> list[PackSizes]:
        """The packs that are there now, largest first; opened once."""
        from headwater.hub.git.sizes import PackSizes

        pack_dir = self.path / "objects" / "pack"
        with self._guard:
            for name in os.listdir(pack_dir):
                if name.endswith(".idx") and name not in self._sizes:
                    self._sizes[name] = PackSizes(pack_dir / name)
            return sorted(self._sizes.values(), key=lambda pack: -pack.n)

    def _touch(self) -> None:
        """Eviction goes by the time of the version file; an hour is fine enough for that."""
        now = time.time()
        if now - self._touched_at > 3600:
            self._touched_at = now
            with contextlib.suppress(FileNotFoundError):
                os.utime(self.path / VERSION_FILE)


class CacheDir:
    """All folders of one host."""

    def __init__(self, root: Path, blobs: BlobStore) -> None:
        self.root = root
        self.fetched_bytes = 0  # over the network, since eviction last looked
        self._blobs = blobs
        self._boot = _boot_id()

    def sync(
        self, repo_id: RepoId, read_state: Callable[[], store.State], read_packs: ReadPacks, before: Folder | None
    ) -> tuple[Folder, store.State]:
        """Bring a repository's folder to what ``read_state`` says, unless it is further.

        ``before`` is given back if it is still the same folder. A pack that is gone when it is fetched was merged into
        another: the list is read again.
        """
        with refusing_when_full(), _flock(self._lock_path(repo_id)):
            for attempt in range(5):
                state = read_state()
                path = self.path_of(repo_id, state.head.prune_epoch)
                try:
                    self._update(path, repo_id, state, read_packs)
                    break
                except PackMissing:
                    if attempt == 4:
                        raise
            if before is not None and before.path == path and before.is_current:
                return before, state
            return Folder(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)), state

    def path_of(self, repo_id: RepoId, prune_epoch: int) -> Path:
        return self.root / f"{repo_id % 256:02x}" / f"{repo_id}-{prune_epoch}.git"

    def _lock_path(self, repo_id: RepoId) -> Path:
        return self.root / f"{repo_id % 256:02x}" / f"{repo_id}.lock"

    def _update(self, folder: Path, repo_id: RepoId, state: store.State, read_packs: ReadPacks) -> None:
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
        missing = [row for row in state.packs if f"pack-{row.name}.idx" not in present]
        self._fetch(repo_id, missing, pack_dir, read_packs)
        _write_refs(folder, state)
        self._write_version(folder, state.head.version)

    def _fetch(self, repo_id: RepoId, missing: list[store.PackRow], pack_dir: Path, read_packs: ReadPacks) -> None:
        inline = [row for row in missing if row.is_inline]
        for at in range(0, len(inline), 100):
            batch = inline[at : at + 100]
            bytes_of = read_packs([row.id for row in batch])
            for row in batch:
                if row.id not in bytes_of:
                    raise PackMissing(row.name)
                data, idx = bytes_of[row.id]
                _put_file(pack_dir / f"pack-{row.name}.pack", data)
                _put_file(pack_dir / f"pack-{row.name}.idx", idx)  # last: git looks for this one
        large = [row for row in missing if not row.is_inline]
        if not self._blobs.is_remote:
            for row in large:
                self._link_pack(repo_id, row.name, pack_dir)
        elif large:
            with ThreadPoolExecutor(min(FETCHES, len(large)), thread_name_prefix="packs") as threads:
                list(threads.map(lambda row: self._bring_pack(repo_id, row.name, pack_dir), large))
            self.fetched_bytes += sum(row.size_bytes for row in large)

    def _link_pack(self, repo_id: RepoId, name: str, pack_dir: Path) -> None:
        for suffix in (".pack", ".idx"):  # the index last: git looks for that one
            try:
                self._blobs.fetch(pack_key(repo_id, name, suffix), pack_dir / f"pack-{name}{suffix}")
            except FileNotFoundError as exc:
                raise PackMissing(name) from exc

    def _bring_pack(self, repo_id: RepoId, name: str, pack_dir: Path) -> None:
        """From another machine: nothing gets its name here that is not what was stored there."""
        for suffix in (".pack", ".idx"):
            key, target = pack_key(repo_id, name, suffix), pack_dir / f"pack-{name}{suffix}"
            coming = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}.coming")
            for _ in range(FETCH_TRIES):
                try:
                    self._blobs.fetch(key, coming)
                    if ends_in_own_sum(coming, name):
                        os.replace(coming, target)
                        break
                except FileNotFoundError as exc:
                    raise PackMissing(name) from exc
                finally:
                    coming.unlink(missing_ok=True)
            else:
                raise ObjectDamaged(key)

    def _read_version(self, folder: Path) -> int | None:
        try:
            version, _, boot = (folder / VERSION_FILE).read_text().partition(" ")
        except FileNotFoundError:
            return None
        # The cache is never synced to disk, so after a crash of the machine nothing of it is believed.
        return int(version) if boot == self._boot else None

    def _write_version(self, folder: Path, version: int) -> None:
        _put_file(folder / VERSION_FILE, f"{version} {self._boot}".encode())

    def evict(self, limit_bytes: int, find_epochs: Callable[[list[RepoId]], dict[RepoId, int]]) -> int:
        """Remove folders, least recently used first, until they fit; returns how many went.

        Folders in use stay. Folders of an older prune epoch, and of deleted repositories (which ``find_epochs`` leaves
        out), go whatever the limit.
        """
        for left_over in self.root.glob("??/*.gone"):
            with _flock(
                left_over.with_name(f"{left_over.name.partition('-')[0]}.lock")
            ):  # not while it is being renewed
                shutil.rmtree(left_over, ignore_errors=True)
        folders = sorted(_measure(self.root), key=lambda f: f.used_at)
        epochs = find_epochs(list({f.repo_id for f in folders}))
        total, n_evicted = sum(f.size_bytes for f in folders), 0
        for f in folders:
            if (total > limit_bytes or f.epoch < epochs.get(f.repo_id, f.epoch + 1)) and _evict(f.path):
                total -= f.size_bytes
                n_evicted += 1
        GIT_CACHE_BYTES.set(total)
        GIT_CACHE_EVICTED.add(n_evicted)
        return n_evicted


def ends_in_own_sum(path: Path, name: str) -> bool:
    """Whether a pack, or an index of it, is whole and unaltered: both end with the SHA-1 of all that comes before.

    A pack is named by that sum; an index has the pack's before its own.
    """
    size, rest = path.stat().st_size, b""
    if size < 40:
        return False
    hasher = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        left = size - 20
        while left:
            block = file.read(min(left, 1 << 20))
            if not block:
                return False
            hasher.update(block)
            rest = (rest + block)[-20:]
            left -= len(block)
        own = file.read(20)
    said = own if path.name.startswith(f"pack-{name}.pack") else rest
    return hasher.digest() == own and said.hex() == name


def pack_key(repo_id: RepoId, name: str, suffix: str) -> str:
    """Where a pack that is too large for its row lies among the blobs."""
    return f"git/{repo_id}/pack-{name}{suffix}"


@dataclass(frozen=True)
class _Measured:
    path: Path
    repo_id: RepoId
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
        yield _Measured(path, RepoId(int(repo)), int(epoch), size, used_at)


def _evict(folder: Path) -> bool:
    doomed = folder.with_name(f"{folder.name}.{os.urandom(6).hex()}.gone")
    with _flock(folder.parent / f"{folder.name.partition('-')[0]}.lock"):
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False  # somebody else has just evicted it
        try:
            if not _try_exclusive(fd):
                return False
            folder.rename(doomed)
        finally:
            os.close(fd)
    shutil.rmtree(doomed, ignore_errors=True)
    return True


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
