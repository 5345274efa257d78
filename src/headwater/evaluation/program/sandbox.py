"""Whether a program that a model wrote ends without an error: in a process that can reach nothing."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import sys
import threading
from pathlib import Path

from headwater.evaluation.program import confined

WALL_S = 20
MOST_PRINTED = 1 << 20


class NoSandbox(Exception):
    """No program is run, for this machine cannot confine one."""


def holds(program: str) -> bool:
    """Raises: NoSandbox."""
    word = secrets.token_hex(16)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(Path(confined.__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
    )
    clock = threading.Timer(WALL_S, process.kill)
    clock.start()
    try:
        end = _end_of(process, json.dumps({"program": program, "word": word}).encode(), len(word))
        code = process.wait()
    finally:
        clock.cancel()
        process.kill()
        process.wait()
    if code == confined.NO_SANDBOX:
        raise NoSandbox
    return code == 0 and end == word.encode()


def _end_of(process: subprocess.Popen[bytes], given: bytes, length: int) -> bytes | None:
    """The last bytes that it prints; None where it prints more than any answer needs, and is ended."""
    assert process.stdin is not None  # noqa: S101
    assert process.stdout is not None  # noqa: S101
    with contextlib.suppress(BrokenPipeError), process.stdin as out:
        out.write(given)
    end, n_bytes = b"", 0
    with process.stdout as told:
        while data := told.read1(1 << 16):  # type: ignore[attr-defined]
            n_bytes += len(data)
            end = (end + data)[-length:]
            if n_bytes > MOST_PRINTED:
                process.kill()
                return None
    return end
