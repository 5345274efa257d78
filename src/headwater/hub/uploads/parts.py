"""Where the bytes of uploads lie until a commit takes them.

On one machine each upload is one file beside the blobs, to which parts are appended; its length is the only truth about how
far it is. With an object store any host may receive the next part, so each part is an object ``uploads/<id>/<offset>``,
and how far the upload is follows from the list of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from headwater.blobs import BlobStore, feed, refusing_when_full
from headwater.db import Database
from headwater.hub.uploads.errors import OffsetDiffers, PartTooLong, UploadBusy

if TYPE_CHECKING:
    from headwater.web.site import Site

WINDOW_BYTES = 1 << 20
_STRIPES = 64  # locks that all uploads share

ReadInto = Callable[[memoryview], int]


class Parts(Protocol):
    def received(self, upload_id: str) -> int:
        """How many bytes from the beginning are here."""
        ...

    def appending(self, upload_id: str) -> AbstractContextManager[Appending]:
        """To add one part, and to finish when it was the last.

        Raises:
            UploadBusy: another part of the same upload is being received.
        """
        ...

    def gathered(self, upload_id: str) -> AbstractContextManager[Path | None]:
        """All that is here in one local file, to be read only; None when nothing is."""
        ...

    def first_bytes(self, upload_id: str, count: int) -> bytes: ...

    def take_file(self, upload_id: str, path: Path) -> None:
        """A whole file that was received at once."""
        ...

    def drop(self, upload_id: str) -> None: ...

    def list_older(self, moment: float) -> list[str]:
        """Uploads whose last part came before ``moment`` (seconds since 1970)."""
        ...


class Appending(Protocol):
    @property
    def received(self) -> int: ...

    def take(self, read_into: ReadInto, size_bytes: int) -> int:
        """Add what comes; returns how much is here then. What came before a connection broke is kept.

        Raises:
            PartTooLong: more than ``size_bytes`` would be here.
            StorageFull
        """
        ...


def parts_of(site: Site) -> Parts:
    if site.blobs.is_remote:
        return StoredParts(site.blobs, site.db)
    return FileParts(
        site.blobs.tmp.parent / "uploads"
    )  # beside the blobs: taking their place is then a link, not a copy


class FileParts:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def received(self, upload_id: str) -> int:
        try:
            return (self._folder / upload_id).stat().st_size
        except FileNotFoundError:
            return 0

    @contextmanager
    def appending(self, upload_id: str) -> Iterator[_OpenFile]:
        fd = os.open(self._folder / upload_id, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise UploadBusy from exc
            yield _OpenFile(fd)
        finally:
            os.close(fd)

    @contextmanager
    def gathered(self, upload_id: str) -> Iterator[Path | None]:
        path = self._folder / upload_id
        yield path if path.exists() else None

    def first_bytes(self, upload_id: str, count: int) -> bytes:
        try:
            with (self._folder / upload_id).open("rb") as part:
                return part.read(count)
        except FileNotFoundError:
            return b""

    def take_file(self, upload_id: str, path: Path) -> None:
        shutil.move(path, self._folder / upload_id)

    def drop(self, upload_id: str) -> None:
        (self._folder / upload_id).unlink(missing_ok=True)

    def list_older(self, moment: float) -> list[str]:
        found = []
        for entry in os.scandir(self._folder):
            try:
                if entry.stat().st_mtime < moment:
                    found.append(entry.name)
            except FileNotFoundError:
                continue
        return found


class _OpenFile:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.received = os.fstat(fd).st_size

    def take(self, read_into: ReadInto, size_bytes: int) -> int:
        os.lseek(self._fd, self.received, os.SEEK_SET)
        for data in _windows(read_into, size_bytes - self.received, size_bytes):
            _write_all(self._fd, data)
            self.received += len(data)
        return self.received


class StoredParts:
    def __init__(self, blobs: BlobStore, db: Database) -> None:
        self._blobs = blobs
        self._db = db

    def received(self, upload_id: str) -> int:
        return sum(size for _, size in self.run(upload_id))

    def run(self, upload_id: str) -> list[tuple[str, int]]:
        """Key and size of the parts that follow each other from the beginning."""
        found, end = [], 0
        for part in self._blobs.iter_keys(f"uploads/{upload_id}/"):
            if int(part.key.rpartition("/")[2]) == end:
                found.append((part.key, part.size_bytes))
                end += part.size_bytes
        return found

    @contextmanager
    def appending(self, upload_id: str) -> Iterator[_NextObject]:
        yield _NextObject(self, self._blobs, self._db, upload_id)

    @contextmanager
    def gathered(self, upload_id: str) -> Iterator[Path | None]:
        parts = self.run(upload_id)
        if not parts:
            yield None
            return
        with self._blobs.temporary() as path:
            with path.open("wb") as out:
                for key, size in parts:
                    feed(out.write, self._blobs.source(key, size).pieces(0, size))
            yield path

    def first_bytes(self, upload_id: str, count: int) -> bytes:
        try:
            return self._blobs.read_range(_key(upload_id, 0), 0, count)
        except FileNotFoundError:
            return b""

    def take_file(self, upload_id: str, path: Path) -> None:
        self._blobs.adopt(path, _key(upload_id, 0))
        path.unlink(missing_ok=True)

    def drop(self, upload_id: str) -> None:
        for part in list(self._blobs.iter_keys(f"uploads/{upload_id}/")):
            self._blobs.delete(part.key)

    def list_older(self, moment: float) -> list[str]:
        latest: dict[str, float] = {}
        for part in self._blobs.iter_keys("uploads/"):
            upload_id = part.key.split("/")[1]
            latest[upload_id] = max(part.modified_at, latest.get(upload_id, 0.0))
        return [upload_id for upload_id, at in latest.items() if at < moment]


class _NextObject:
    """A part is received into a local file; it becomes an object only where the upload still ends when it has come."""

    def __init__(self, parts: StoredParts, blobs: BlobStore, db: Database, upload_id: str) -> None:
        self._parts, self._blobs, self._db, self._upload_id = parts, blobs, db, upload_id
        self.received = parts.received(upload_id)

    def take(self, read_into: ReadInto, size_bytes: int) -> int:
        with self._blobs.temporary() as path:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            count = 0
            try:
                for data in _windows(read_into, size_bytes - self.received, size_bytes):
                    _write_all(fd, data)
                    count += len(data)
            finally:
                os.close(fd)
                if count:
                    self._keep(path)
                    self.received += count
        return self.received

    def _keep(self, path: Path) -> None:
        stripe = int.from_bytes(hashlib.sha256(self._upload_id.encode()).digest()[:2], "big") % _STRIPES
        with self._db.holding(f"upload-{stripe}", exclusive=True) as held:
            now_here = self._parts.received(self._upload_id)
            if now_here != self.received:
                raise OffsetDiffers(now_here, self.received)
            held.check()
            self._blobs.adopt(path, _key(self._upload_id, self.received))


def _key(upload_id: str, offset: int) -> str:
    return f"uploads/{upload_id}/{offset:016d}"


def _windows(read_into: ReadInto, left: int, size_bytes: int) -> Iterator[memoryview]:
    window = memoryview(bytearray(WINDOW_BYTES))
    with refusing_when_full():
        while got := read_into(window):
            left -= got
            if left < 0:
                raise PartTooLong(size_bytes)
            yield window[:got]


def _write_all(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]
