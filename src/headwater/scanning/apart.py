"""Judging in a child process with bounded memory and time, so that a judge that crashes or hangs takes nobody with it.

The child has no place to read from but what it is given: an open file, or its parent, which it asks for ranges. What it says is read
as strangers' words are. The child is ``headwater.scanning.child``.
"""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

from headwater.scanning import rules
from headwater.scanning.confined import Limits
from headwater.scanning.models import Finding, Judgement
from headwater.scanning.reading import Bytes, Opened
from headwater.scanning.records import of_record

ASKED = struct.Struct("<QQ")  # from where, and how many bytes; or DONE, and how long the answer is
SENT = struct.Struct("<I")
DONE = 2**64 - 1
NO_MEMORY = 3  # how the child ends when it has no memory left
_MAX_ASKED, _MAX_ANSWER = 128 << 20, 8 << 20


def judge_apart(path: str, source: Bytes, limits: Limits | None = None) -> Judgement:
    """As ``judge``, in a child. A crash, a hang or an answer that is none is *suspicious*: ``gate.not-judged``."""
    try:
        return of_record(ask_child("judge", path, source, limits or Limits()))
    except ChildFailed as failed:
        return _not_judged(failed.why)
    except ValueError:
        return _not_judged("its answer is none")


def ask_child(what: str, path: str, source: Bytes, limits: Limits, *, target: int = -1, root: int = -1) -> Any:
    """What a child says about a file, as JSON.

    ``target`` is an open file that it may write, ``root`` an open folder that is all it sees of files: both for ``convert``.

    Raises:
        ChildFailed: it crashed, hung or babbled.
    """
    descriptor = source.descriptor if isinstance(source, Opened) else -1
    told = {
        "what": what,
        "path": path,
        "size": source.size_bytes,
        "fd": descriptor,
        "limits": asdict(limits),
        "target": target,
        "root": root,
    }
    with subprocess.Popen(
        [sys.executable, "-I", "-m", "headwater.scanning.child", json.dumps(told)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=[fd for fd in (descriptor, target, root) if fd >= 0],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1"},
    ) as child:
        try:
            return _attend(child, source, time.monotonic() + limits.time_s)
        except ChildFailed as failed:
            if failed.why:
                raise
            child.stdin.close() if child.stdin else None
            raise ChildFailed(_ending(child)) from None
        finally:
            child.kill()


class ChildFailed(Exception):
    def __init__(self, why: str = "") -> None:
        self.why = why


def _attend(child: subprocess.Popen[bytes], source: Bytes, until: float) -> Any:
    """Answer what the child asks until it says what it found."""
    assert child.stdin is not None and child.stdout is not None  # noqa: S101, PT018  # both are pipes
    ears, mouth = child.stdout.fileno(), child.stdin.fileno()
    os.set_blocking(mouth, False)
    while True:
        start, count = ASKED.unpack(_heard(ears, ASKED.size, until))
        if start == DONE:
            if count > _MAX_ANSWER:
                raise ChildFailed("its answer is too long")
            try:
                return json.loads(_heard(ears, count, until))
            except (ValueError, RecursionError):
                raise ChildFailed("its answer is none") from None
        if count > _MAX_ASKED:
            raise ChildFailed("it asked for too much")
        data = source.read_at(start, count)
        _say(mouth, SENT.pack(len(data)) + data, until)


def _heard(descriptor: int, count: int, until: float) -> bytes:
    parts: list[bytes] = []
    while count:
        if not select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
            raise ChildFailed("it took too long")
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            raise ChildFailed
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _say(descriptor: int, data: bytes, until: float) -> None:
    rest = memoryview(data)
    while rest:
        if not select.select([], [descriptor], [], max(0.0, until - time.monotonic()))[1]:
            raise ChildFailed("it took too long")
        try:
            rest = rest[os.write(descriptor, rest[: 1 << 20]) :]
        except BlockingIOError:
            continue
        except BrokenPipeError:
            raise ChildFailed from None


def _ending(child: subprocess.Popen[bytes]) -> str:
    try:
        code = child.wait(5)
    except subprocess.TimeoutExpired:
        return "it fell silent"
    if code == -signal.SIGXCPU:
        return "it took too much processor time"
    if code == NO_MEMORY:
        return "it took too much memory"
    return f"it ended by signal {-code}" if code < 0 else f"it ended with {code}"


def _not_judged(why: str) -> Judgement:
    return Judgement((Finding(rules.NOT_JUDGED, why),))
