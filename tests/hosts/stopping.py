"""Stop a program of a host the moment it runs: ``python -m tests.hosts.stopping PID PROGRAM SECONDS``.

A process of its own, because what is looked for may last for some milliseconds only: clients in the threads of the
process that waits would keep it from looking.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path


def processes_below(pid: int) -> list[int]:
    """With those that were started by threads, as git's are; the given one first."""
    pids, at = [pid], 0
    while at < len(pids):
        for children in Path(f"/proc/{pids[at]}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                pids += [int(child) for child in children.read_text().split()]
        at += 1
    return pids


def _stop(parent: int, program: bytes) -> bool:
    for pid in processes_below(parent):
        with contextlib.suppress(OSError):
            if program in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGSTOP)
                return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "T"
    return False


def main(parent: int, program: str, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    while not _stop(parent, program.encode()):
        if time.monotonic() > deadline:
            return 1
        time.sleep(0.005)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
