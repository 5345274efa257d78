"""Bytes that can be sent without passing through Python: runs of files, and a few literals between them."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

WINDOW_BYTES = 4 << 20
_LEAST_MAPPED_BYTES = 128 << 10  # below it a read is cheaper
_MADV_POPULATE_READ = 22  # Linux 5.14; not yet named by Python's mmap


@dataclass(frozen=True)
class Extent:
    """``count`` bytes of the file at ``path`` from ``offset``: what one ``sendfile`` run needs."""

    path: Path
    offset: int
    count: int


Piece = bytes | Extent


class ByteSource(Protocol):
    """Something of known size whose ranges can be listed as pieces."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def is_local(self) -> bool:
        """Whether making the pieces waits for nothing but this machine; else they are taken one by one, in threads."""
        ...

    def pieces(self, start: int, end: int) -> Iterator[Piece]:
        """What makes up bytes [start, end), in order; 0 <= start <= end <= size_bytes."""
        ...

    def signed_url(
        self, *, expires_s: int, disposition: str | None = None, media_type: str | None = None
    ) -> str | None:
        """As ``BlobStore.signed_url``, for the whole; None where the bytes must pass through this server."""
        ...


@dataclass(frozen=True)
class FileSource:
    """One whole local file."""

    path: Path
    size_bytes: int
    is_local: ClassVar[bool] = True

    def pieces(self, start: int, end: int) -> Iterator[Piece]:
        if end > start:
            yield Extent(self.path, start, end - start)

    def signed_url(self, *, expires_s: int, disposition: str | None = None, media_type: str | None = None) -> None:
        return None


@dataclass(frozen=True)
class MemorySource:
    """Bytes already in memory: small files out of git, generated text."""

    data: bytes
    is_local: ClassVar[bool] = True

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def pieces(self, start: int, end: int) -> Iterator[Piece]:
        if end > start:
            yield self.data[start:end]

    def signed_url(self, *, expires_s: int, disposition: str | None = None, media_type: str | None = None) -> None:
        return None


def read_all(source: ByteSource, start: int = 0, end: int | None = None, *, limit_bytes: int = 16 << 20) -> bytes:
    """Bytes [start, end) of a source, for parsers of headers and small files.

    Raises:
        ValueError: the range is longer than ``limit_bytes``.
    """
    end = source.size_bytes if end is None else min(end, source.size_bytes)
    if end - start > limit_bytes:
        raise ValueError(f"{end - start} bytes were asked for at once, {limit_bytes} are allowed")
    parts: list[bytes] = []
    for piece in source.pieces(start, end):
        if isinstance(piece, bytes):
            parts.append(piece)
            continue
        fd = os.open(piece.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            at, left = piece.offset, piece.count
            while left:
                data = os.pread(fd, left, at)
                if not data:
                    raise OSError(f"{piece.path.name} is shorter than its record says")
                parts.append(data)
                at, left = at + len(data), left - len(data)
        finally:
            os.close(fd)
    return b"".join(parts)


def feed(take: Callable[[memoryview | bytes], object], pieces: Iterable[Piece]) -> int:
    """Give every byte of ``pieces`` to ``take`` (a hasher's ``update``), a few MiB at a time; returns how many they were.

    What lies in files is shown to ``take`` where it is, in the page cache; it must not keep what it is given.

    Raises:
        OSError: a file is gone, or shorter than its record says.
    """
    total = 0
    for piece in pieces:
        if isinstance(piece, bytes):
            take(piece)
            total += len(piece)
            continue
        fd = os.open(piece.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            at, end = piece.offset, piece.offset + piece.count
            if os.fstat(fd).st_size < end:
                raise OSError(f"{piece.path.name} is shorter than its record says")
            while at < end:
                at += _feed_some(take, fd, at, min(WINDOW_BYTES, end - at))
        finally:
            os.close(fd)
        total += piece.count
    return total


def _feed_some(take: Callable[[memoryview | bytes], object], fd: int, at: int, count: int) -> int:
    """``count`` bytes through a mapping, or the first of them where mapping is not worth it, or cannot be."""
    if count >= _LEAST_MAPPED_BYTES:
        skip = at % mmap.ALLOCATIONGRANULARITY
        with mmap.mmap(fd, skip + count, mmap.MAP_SHARED, mmap.PROT_READ, offset=at - skip) as mapped:
            try:
                # Fails where touching the pages would end this process: a bad disk, a file that has become shorter.
                mapped.madvise(_MADV_POPULATE_READ)
            except OSError as exc:
                if exc.errno != errno.EINVAL:  # which kernels before 5.14 answer
                    raise
            else:
                with memoryview(mapped) as whole, whole[skip:] as view:
                    take(view)
                return count
    data = os.pread(fd, min(count, _LEAST_MAPPED_BYTES), at)
    if not data:
        raise OSError("a file has become shorter while it was read")
    take(data)
    return len(data)
