"""What of a large cached repository leads to what, noted beside its packs, so that a clone need not walk it.

To answer a clone git walks every tree. Of a repository of 100,000 files that is four fifths of the work, and the same
for everyone who clones. A *bitmap* over all packs (a multi-pack index) saves the walk; to write one takes about as long
as one clone. So after a clone of a large repository, when much of it is in no bitmap yet, one is written in the
background, by the host that has the cache. It is part of the cache: lost with it, made again by the next clone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.hub.git.snapshot import git_command, git_env

if TYPE_CHECKING:
    from headwater.hub.git.snapshot import Snapshot

MIN_OBJECTS = 10_000  # below, a clone is quick enough
NEW_PART = 8  # written anew when one object of so many came since
NICE = "10"
_NOTE = "headwater-bitmap"  # how many objects were there when it was written; the lock of whoever writes one
_log = logging.getLogger("headwater.hub.git")
_running: set[asyncio.Task[None]] = set()


def consider(snap: Snapshot) -> None:
    """After a clone: begin to write a bitmap if that is worth it. At most one at a time is written by a process."""
    if _running:
        return
    total, known = _count(snap.folder), _read_note(snap.folder)
    if total < MIN_OBJECTS or total - known <= total // NEW_PART:
        return
    lock = os.open(snap.folder / _NOTE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        reading = os.dup(snap.lock_fd)  # the folder's files stay as long as this is open
    except BlockingIOError:
        os.close(lock)  # another process writes one
        return
    task = asyncio.get_running_loop().create_task(_write(snap.folder, total, lock, reading))
    _running.add(task)
    task.add_done_callback(_running.discard)


async def _write(folder: Path, total: int, lock: int, reading: int) -> None:
    pack_dir = folder / "objects" / "pack"
    try:
        (pack_dir / "multi-pack-index.lock").unlink(missing_ok=True)  # of one that was killed
        largest = max(pack_dir.glob("*.pack"), key=lambda path: path.stat().st_size)
        # Objects of the preferred pack go out as they lie there, without being looked at one by one.
        args = ["multi-pack-index", "write", "--bitmap", "--no-progress", f"--preferred-pack={largest.stem}.idx"]
        child = await asyncio.create_subprocess_exec(
            *("nice", "-n", NICE),
            *git_command(folder, *args),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=git_env(),
            pass_fds=(lock, reading),
        )
        try:
            _, said = await child.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        if child.returncode:
            _log.warning("bitmap.failed", extra={"exit_code": child.returncode, "said": said.decode(errors="replace")})
        # A failure is not tried again until as much has come as if it had gone well.
        os.pwrite(lock, b"%-20d" % total, 0)
    finally:
        os.close(lock)
        os.close(reading)


def _count(folder: Path) -> int:
    """Objects in all packs, out of the last word of each index's fan-out table."""
    total = 0
    for entry in os.scandir(folder / "objects" / "pack"):
        if entry.name.startswith("pack-") and entry.name.endswith(".idx"):
            with open(entry.path, "rb") as idx:
                total += int.from_bytes(os.pread(idx.fileno(), 4, 8 + 255 * 4), "big")
    return total


def _read_note(folder: Path) -> int:
    try:
        return int((folder / _NOTE).read_bytes() or b"0")
    except FileNotFoundError:
        return 0
