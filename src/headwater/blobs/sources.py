"""Bytes that can be sent without passing through Python: runs of files, and a few literals between them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

WINDOW_BYTES = 512 << 10


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
    """Give every byte of ``pieces`` to ``take`` (a hasher's ``update``) through one window; returns how many they were.

    Raises:
        OSError: a file is gone, or shorter than its record says.
    """
    total, window = 0, memoryview(b"")
    for piece in pieces:
        if isinstance(piece, bytes):
            take(piece)
            total += len(piece)
            continue
        window = window or memoryview(bytearray(WINDOW_BYTES))
        fd = os.open(piece.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            at, end = piece.offset, piece.offset + piece.count
            while at < end:
                count = os.preadv(fd, [window[: min(WINDOW_BYTES, end - at)]], at)
                if not count:
                    raise OSError(f"{piece.path.name} is shorter than its record says")
                take(window[:count])
                at += count
        finally:
            os.close(fd)
        total += piece.count
    return total
