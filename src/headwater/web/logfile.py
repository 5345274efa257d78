"""The log as a file that begins anew when it has grown large, while several processes write to it.

Every process has the file as its standard error. Whoever finds it too large puts it beside as ``….log.1`` (and the former ones
one number on); the others find within a second of writing that the name leads to another file, and follow. What they write
until then goes into the file that was put beside, so no line is lost, and nobody has to be told.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

LOOK_EVERY_S = 1.0
STANDARD_ERROR = 2

_followed: tuple[Path, int, int] | None = None
_next_look = 0.0


def follow(path: Path, *, max_bytes: int, n_kept: int) -> None:
    """Standard error is the file at ``path``; keep it so, and its size within bounds. Call before any fork."""
    global _followed, _next_look
    _followed, _next_look = (path, max_bytes, n_kept), 0.0


def before_line() -> None:
    """Called by whoever writes a line, before it."""
    global _next_look  # noqa: PLW0603
    if _followed is None or (now := time.monotonic()) < _next_look:
        return
    _next_look = now + LOOK_EVERY_S
    path, max_bytes, n_kept = _followed
    with contextlib.suppress(OSError):  # a full disk, say: the line still goes where the last one went
        if not _is_at(path, STANDARD_ERROR):
            _reopen(path)
        if os.fstat(STANDARD_ERROR).st_size > max_bytes:
            turn(path, n_kept)
            _reopen(path)


def turn(path: Path, n_kept: int) -> None:
    """Put the file beside as number 1, and ``n_kept`` such files at most stay; of several who try at once, one does it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if not _is_at(path, fd):
            return  # somebody else has, meanwhile
        for number in range(n_kept - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                _beside(path, number).replace(_beside(path, number + 1))
        path.replace(_beside(path, 1))
    finally:
        os.close(fd)


def _beside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _is_at(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _reopen(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.dup2(fd, STANDARD_ERROR)
    finally:
        os.close(fd)
