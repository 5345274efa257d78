"""The child of ``apart``: confines itself, judges one file, says what it found, and ends."""

from __future__ import annotations

import codecs
import importlib
import json
import os
import sys
from typing import NoReturn

from headwater.scanning import converting, judging, second
from headwater.scanning.apart import ASKED, DONE, NO_MEMORY, SENT
from headwater.scanning.confined import Limits, confine, leave_network
from headwater.scanning.reading import Bytes, Opened
from headwater.scanning.records import to_record


class _Parent:
    """Bytes that the parent reads."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes

    def read_at(self, start: int, count: int) -> bytes:
        count = max(0, min(count, self.size_bytes - start))
        if not count:
            return b""
        sys.stdout.buffer.write(ASKED.pack(start, count))
        sys.stdout.buffer.flush()
        (length,) = SENT.unpack(_taken(SENT.size))
        return _taken(length)


def _taken(count: int) -> bytes:
    found = sys.stdin.buffer.read(count)
    if len(found) != count:
        os._exit(1)  # the parent is gone
    return found


_LATE = (
    "importlib.metadata",
    "lz4.frame",
    "headwater.scanning.front_matter",
    "headwater.scanning.strict_yaml",
    "headwater.scanning.templates",
)


def _import_all(what: str) -> None:
    """What would come in late, while there are files and memory for it."""
    for encoding in (
        "cp437",
        "idna",
        "latin-1",
        "utf-16",
        "utf-32",
        "utf-16-be",
        "utf-16-le",
        "utf-32-be",
        "utf-32-le",
        "utf-8-sig",
    ):
        codecs.lookup(encoding)
    for module in (*_LATE, "numpy.lib.stride_tricks") if what == "convert" else _LATE:
        importlib.import_module(module)
    if what == "second":
        second.prepare()


def _child(argument: str) -> NoReturn:
    told = json.loads(argument)
    _import_all(told["what"])
    has_left = leave_network()  # a judge goes on where it may not: it has nothing to reach anyway
    confine(Limits(**told["limits"]), told["root"] if has_left else -1)
    source: Bytes = Opened(told["fd"], told["size"]) if told["fd"] >= 0 else _Parent(told["size"])
    try:
        match told["what"]:
            case "second":
                found = second.scan(told["path"], source)
            case "convert":
                found = converting.write(source, told["target"]) if has_left else {"why": converting.NO_NAMESPACES}
            case _:
                found = to_record(judging.judge(told["path"], source))
        answer = json.dumps(found).encode("utf-8", errors="replace")
    except MemoryError:
        os._exit(NO_MEMORY)
    sys.stdout.buffer.write(ASKED.pack(DONE, len(answer)) + answer)
    sys.stdout.buffer.flush()
    os._exit(0)


if __name__ == "__main__":
    _child(sys.argv[1])
