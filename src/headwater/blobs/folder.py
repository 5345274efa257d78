"""The local blob folder: temporary file, hash while writing, fsync, rename, fsync the folder."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from headwater.blobs.sources import FileSource
from headwater.kernel import HeadwaterError, Kind, Sha256


class DigestMismatch(HeadwaterError):
    code = "digest_mismatch"
    kind = Kind.BAD_INPUT

    def __init__(self, claimed: str, found: str) -> None:
        super().__init__(f"The bytes received have sha256 {found}, not {claimed!r} as claimed. Nothing was stored.")


class SizeMismatch(HeadwaterError):
    code = "size_mismatch"
    kind = Kind.BAD_INPUT

    def __init__(self, claimed: int, found: int) -> None:
        super().__init__(f"{found} bytes were received, {claimed} were announced. Nothing was stored.")


class StorageFull(HeadwaterError):
    code = "storage_full"
    kind = Kind.FULL

    def __init__(self) -> None:
        super().__init__("The disk of this server is full; nothing was stored. Tell its operator, then try again.")


@dataclass(frozen=True)
class Stored:
    """A blob now on disk under its digest."""

    sha256: Sha256
    size_bytes: int
    path: Path


@contextmanager
def refusing_when_full() -> Iterator[None]:
    """Turn the disk's own refusals into ours."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull from exc
        raise


class BlobFolder:
    """Files named by what they hold. ``root`` also has ``tmp/`` (same file system, so that rename is atomic)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tmp = root / "tmp"

    def ensure(self) -> None:
        """Make the folders; safe to repeat."""
        self.tmp.mkdir(parents=True, exist_ok=True)

    def path_of(self, sha256: Sha256, generation: int = 0) -> Path:
        """Where a digest's bytes lie; a later generation has its number as suffix (storage rules, 3)."""
        name = sha256 if generation == 0 else f"{sha256}.{generation}"
        return self.root / "sha256" / sha256[:2] / sha256[2:4] / name

    def key_path(self, key: str) -> Path:
        """A named object that is not a blob: packs, xorbs. ``key`` is ours, never a user's."""
        return self.root / key

    def source(self, sha256: Sha256, size_bytes: int, generation: int = 0) -> FileSource:
        return FileSource(self.path_of(sha256, generation), size_bytes)

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """A path for a temporary file on the blobs' own file system; removed at the end if still there."""
        path = self.tmp / secrets.token_hex(16)
        try:
            with refusing_when_full():
                yield path
        finally:
            path.unlink(missing_ok=True)

    def adopt(self, temporary: Path, target: Path) -> None:
        """Make a written temporary file durable under its final name; the same bytes twice is harmless."""
        with refusing_when_full():
            fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            made = _make_folders(target.parent)
            os.replace(temporary, target)
            for folder in {target.parent, *made}:
                fsync_folder(folder)

    def put(self, data: bytes) -> Stored:
        """Store bytes that are already in memory."""
        digest = Sha256(hashlib.sha256(data).hexdigest())
        target = self.path_of(digest)
        if not target.exists():
            with self.temporary() as path:
                path.write_bytes(data)
                self.adopt(path, target)
        return Stored(digest, len(data), target)

    def put_stream(self, stream: BinaryIO, *, claimed: Sha256 | None = None, size_bytes: int | None = None) -> Stored:
        """Store what ``stream`` gives, hashing on the way.

        Raises:
            DigestMismatch, SizeMismatch: it is not what was claimed; nothing stays.
            StorageFull: the disk is full; nothing stays.
        """
        hasher, total = hashlib.sha256(), 0
        with self.temporary() as path:
            with path.open("wb") as out:
                while chunk := stream.read(1 << 20):
                    hasher.update(chunk)
                    out.write(chunk)
                    total += len(chunk)
            found = Sha256(hasher.hexdigest())
            if size_bytes is not None and total != size_bytes:
                raise SizeMismatch(size_bytes, total)
            if claimed is not None and found != claimed:
                raise DigestMismatch(claimed, found)
            target = self.path_of(found)
            self.adopt(path, target)
        return Stored(found, total, target)


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
