"""How the files of a snapshot lie in a backup: cut into parts, each kept once under its sha256, however many snapshots have it.

A database of SQLite is cut every ``PAGES`` bytes, since a page stays where it is; what ``pg_dump`` writes and the list of
objects are cut at ends of lines which the lines themselves choose, so that a line more moves no later cut.
"""

from __future__ import annotations

import mmap
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from headwater.hub.backup.folder import BackupDamaged, is_digest, size_of

PAGES = 256 << 10
MIN_LINES, MAX_LINES = 128 << 10, 1 << 20
ENDS_PART = 0x3F  # one line of 64 may end a part that is long enough
AT_ONCE = 4

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Part:
    sha256: str
    size_bytes: int


@dataclass
class Contents:
    """Of which parts each file of a snapshot consists, in their order."""

    files: dict[str, list[Part]] = field(default_factory=dict)

    def dump(self) -> bytes:
        lines = (
            f"{name}\t{part.sha256}\t{part.size_bytes}\n" for name, parts in self.files.items() for part in parts or ()
        )
        return "".join(lines).encode()

    @classmethod
    def parse(cls, data: bytes, snapshot: str) -> Contents:
        """
        Raises:
            BackupDamaged
        """
        found = cls()
        try:
            for line in data.decode().splitlines():
                name, sha256, size = line.split("\t")
                if not _NAME.fullmatch(name) or not is_digest(sha256):
                    raise ValueError(line)
                found.files.setdefault(name, []).append(Part(sha256, size_of(size)))
        except ValueError as exc:
            raise BackupDamaged(f"the contents of {snapshot} cannot be read") from exc
        return found


_NAME = re.compile(r"objects|database(/[A-Za-z0-9_][A-Za-z0-9._-]*)?")


def cut_evenly(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(PAGES):
            yield data


def cut_at_lines(path: Path) -> Iterator[bytes]:
    if not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = 0
        while start < len(data):
            end = _end_of_part(data, start)
            yield data[start:end]
            start = end


def _end_of_part(data: mmap.mmap, start: int) -> int:
    last = min(len(data), start + MAX_LINES)
    begin = data.find(b"\n", start + MIN_LINES, last) + 1
    while 0 < begin < last:
        end = data.find(b"\n", begin, last) + 1
        if end and not zlib.crc32(data[begin:end]) & ENDS_PART:
            return end
        begin = end
    return last


def in_order(function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """``map`` by several threads, which are not far ahead of whoever takes the results."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="backup") as pool:
        running: deque[Future[B]] = deque()
        for item in items:
            running.append(pool.submit(function, item))
            if len(running) >= 2 * AT_ONCE:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
