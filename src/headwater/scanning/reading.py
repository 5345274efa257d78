"""How a judge gets at bytes: by place (``Bytes``) where a format has a directory, or forward only (``Forward``) where it is a stream.

Judges open nothing themselves. What they are given may be a file, an object in a store or a member of an archive.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

STEP_BYTES = 1 << 20


class Short(Exception):
    """The bytes end before what was promised."""


class Bytes(Protocol):
    """Bytes of known number, readable at any place."""

    @property
    def size_bytes(self) -> int: ...

    def read_at(self, start: int, count: int) -> bytes:
        """Bytes [start, start + count), fewer at the end; callers keep ``count`` small."""
        ...


@dataclass(frozen=True)
class Memory:
    data: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read_at(self, start: int, count: int) -> bytes:
        return self.data[start : start + count]


@dataclass(frozen=True)
class Opened:
    """An open file; whoever opened it closes it. A child process is given the descriptor instead of the bytes."""

    descriptor: int
    size_bytes: int

    def read_at(self, start: int, count: int) -> bytes:
        parts: list[bytes] = []
        while count > 0 and (part := os.pread(self.descriptor, count, start)):
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return b"".join(parts)


@dataclass(frozen=True)
class Window:
    """Bytes [start, start + size_bytes) of others: a stored member of an archive."""

    whole: Bytes
    start: int
    size_bytes: int

    def read_at(self, start: int, count: int) -> bytes:
        count = max(0, min(count, self.size_bytes - start))
        return self.whole.read_at(self.start + start, count)


def exactly(source: Bytes, start: int, count: int) -> bytes:
    """
    Raises:
        Short: there are not as many.
    """
    found = source.read_at(start, count) if count else b""
    if len(found) != count:
        raise Short
    return found


class Forward:
    """Bytes from the first to the last, once. ``at`` is how many have been passed."""

    def __init__(self, source: Bytes | Iterator[bytes]) -> None:
        self.at = 0
        self._source = source
        self._left = b""  # of what an iterator gave last

    def more(self) -> bytes:
        """The next run of bytes, at most a MiB, of any length but 0; b"" at the end."""
        if self._left:
            found, self._left = self._left, b""
        elif isinstance(self._source, Iterator):
            found = next(self._source, b"")
        else:
            found = self._source.read_at(self.at, STEP_BYTES)
        self.at += len(found)
        return found

    def pass_over(self, count: int) -> bool:
        """Leave out the next ``count`` bytes; False if there are not as many."""
        if not isinstance(self._source, Iterator):
            self.at += count
            return self.at <= self._source.size_bytes
        while count:
            found = self._left or next(self._source, b"")
            if not found:
                return False
            self._left = found[count:]
            passed = len(found) - len(self._left)
            self.at, count = self.at + passed, count - passed
        return True

    def rest(self, limit_bytes: int) -> bytes | None:
        """All that is left, or None if that is more than ``limit_bytes``."""
        parts: list[bytes] = []
        held = 0
        while part := self.more():
            held += len(part)
            if held > limit_bytes:
                return None
            parts.append(part)
        return b"".join(parts)
