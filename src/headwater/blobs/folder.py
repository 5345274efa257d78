"""The local blob folder: temporary file, hash while writing, fsync, rename, fsync the folder."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from headwater.blobs.errors import StorageFull, WorkFolderUnusable
from headwater.blobs.metrics import calling
from headwater.blobs.sources import Extent, FileSource, feed
from headwater.blobs.store import StoredObject
from headwater.kernel import Sha256


@contextmanager
def refusing_when_full() -> Iterator[None]:
    """Turn the disk's own refusals into ours."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull from exc
        if exc.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise WorkFolderUnusable from exc
        raise


class BlobFolder:
    """Files named by what they hold. ``root`` also has ``tmp/`` (same file system, so that rename is atomic)."""

    is_remote = False
    multipart = None

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tmp = root / "tmp"

    def ensure(self) -> None:
        self.tmp.mkdir(parents=True, exist_ok=True)

    def probe(self) -> None:
        if not os.access(self.tmp, os.W_OK | os.X_OK):
            raise WorkFolderUnusable

    def claim(self, site_id: str) -> None:
        """The data folder is locked by the one server that uses it."""

    def path_of(self, key: str) -> Path:
        """For this folder's own work, and for tests; other code asks by key."""
        return self.root / key

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        path = self.tmp / secrets.token_hex(16)
        try:
            with refusing_when_full():
                yield path
        finally:
            path.unlink(missing_ok=True)

    def adopt(self, temporary: Path, key: str, *, keep: bool = False) -> None:
        """A second name for the file, fsync, rename, fsync of the folders."""
        target = self.path_of(key)
        with calling("adopt"), self.temporary() as second:
            try:
                os.link(temporary, second)
            except OSError:  # made on another file system, or one without hard links
                shutil.copyfile(temporary, second)
            fd = os.open(second, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            made = _make_folders(target.parent)
            os.replace(second, target)
            for folder in {target.parent, *made}:
                fsync_folder(folder)

    def find(self, key: str) -> StoredObject | None:
        try:
            found = self.path_of(key).stat()
        except FileNotFoundError:
            return None
        return StoredObject(key, found.st_size, found.st_mtime)

    def exists(self, key: str) -> bool:
        return self.path_of(key).exists()

    def size_of(self, key: str) -> int | None:
        try:
            return self.path_of(key).stat().st_size
        except FileNotFoundError:
            return None

    def sizes_of(self, keys: Sequence[str]) -> dict[str, int | None]:
        return {key: self.size_of(key) for key in keys}

    def delete(self, key: str) -> int:
        path = self.path_of(key)
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            return 0
        return size

    def iter_keys(self, prefix: str) -> Iterator[StoredObject]:
        return self._walk(self.root / prefix)

    def _walk(self, folder: Path) -> Iterator[StoredObject]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path))
                continue
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # removed meanwhile
            yield StoredObject(os.path.relpath(entry.path, self.root), found.st_size, found.st_mtime)

    def read_range(self, key: str, start: int, end: int) -> bytes:
        fd = os.open(self.path_of(key), os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while start < end and (data := os.pread(fd, end - start, start)):
                parts.append(data)
                start += len(data)
        finally:
            os.close(fd)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def iter_ranges(self, key: str, ranges: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        return (self.read_range(key, start, end) for start, end in ranges)

    @contextmanager
    def at_hand(self, key: str) -> Iterator[Path | None]:
        path = self.path_of(key)
        yield path if path.exists() else None

    def digest_of(self, key: str) -> tuple[Sha256, int]:
        hasher, path = hashlib.sha256(), self.path_of(key)
        total = feed(hasher.update, [Extent(path, 0, path.stat().st_size)])
        return Sha256(hasher.hexdigest()), total

    @contextmanager
    def local_copy(self, key: str) -> Iterator[Path]:
        path = self.path_of(key)
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        yield path

    def fetch(self, key: str, target: Path) -> None:
        source = self.path_of(key)
        try:
            os.link(source, target)
        except FileExistsError:
            pass
        except FileNotFoundError:
            raise
        except OSError:  # another file system, or one without hard links
            temporary = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}.tmp")
            with refusing_when_full():
                shutil.copyfile(source, temporary)
                os.replace(temporary, target)

    def source(self, key: str, size_bytes: int) -> FileSource:
        return FileSource(self.path_of(key), size_bytes)

    def signed_url(
        self,
        key: str,
        *,
        expires_s: int,
        start: int | None = None,
        end: int | None = None,
        disposition: str | None = None,
        media_type: str | None = None,
    ) -> None:
        return None


def fsync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _make_folders(folder: Path) -> list[Path]:
    """Make missing folders; returns the parents whose listing changed."""
    changed: list[Path] = []
    missing: list[Path] = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        changed.append(path.parent)
    return changed
