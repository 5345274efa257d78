"""Single files under a compression: gzip, bzip2, xz, lz4 and zlib. What is inside is judged as it comes out, never kept whole."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from headwater.scanning import rules, tars, zips
from headwater.scanning.members import Tally
from headwater.scanning.models import Finding, Judgement, Verdict
from headwater.scanning.reading import STEP_BYTES, Bytes, Forward

_RATIO_FROM_BYTES = 64 << 20
_ZEROS_FROM_BYTES, _ZEROS_RATIO = 256 << 20, 900  # next to nothing but zeros
_BOMB_LIKE, _MOST_BYTES = 1200, 5 << 28  # as dense as deflate gets
_XZ_MEMORY = 128 << 20
_HEAD_BYTES = 512
_BY_DAMAGE = frozenset({rules.PICKLE_BROKEN, rules.PICKLE_TRAILING, rules.JSON_UNREAD})


def kind_of(head: bytes) -> str | None:
    """Which compression these first bytes begin."""
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head[:3] == b"BZh" and head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):
        return "bzip2"
    if head[:6] == b"\xfd7zXZ\0":
        return "xz"
    if head[:4] == b"\x04\x22\x4d\x18":
        return "lz4"
    if head[:4] == b"\x28\xb5\x2f\xfd":
        return "zstd"
    if (
        len(head) > 2
        and head[0] & 0x8F == 8
        and head[:1] != b"\x08"
        and int.from_bytes(head[:2], "big") % 31 == 0
        and not head[1] & 32
    ):
        return "zlib"
    return None


def judge(source: Bytes, kind: str, judge_inner: Callable[[Forward], Judgement], tally: Tally) -> Judgement:
    """What is inside, judged with ``judge_inner`` as it comes out; it has no name of its own and is told of as ``(gzip)``."""
    if kind == "zstd":
        return judge_closed(source)
    parts = _Parts(_unpacked(source, kind, tally))
    stream = Forward(iter(parts))
    try:
        found = judge_inner(stream)
        _go_on(stream, source)
    except Tally.Full as full:
        return Judgement((Finding(full.rule, full.what),), kinds=frozenset({kind}))
    if parts.is_damaged:
        return _judge_damaged(found.inside(f"({kind})"), kind, parts.head)
    found = found.inside(f"({kind})")
    return replace(found, kinds=found.kinds | {kind})


class _Parts:
    """What comes out of a stream as far as it goes: a loader that reads as it unpacks gets that before it finds the damage."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self.head = b""
        self.is_damaged = False
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        try:
            for part in self._parts:
                if len(self.head) < _HEAD_BYTES:
                    self.head += part[:_HEAD_BYTES]
                yield part
        except _Damaged:
            self.is_damaged = True


def _judge_damaged(inner: Judgement, kind: str, head: bytes) -> Judgement:
    """Of what was found inside, that stays which the damage does not explain."""
    kept = tuple(f for f in inner.findings if f.rule.verdict is Verdict.SUSPICIOUS and f.rule not in _BY_DAMAGE)
    begins = (len(head) > 2 and head[0] == 0x80 and head[1] <= 5) or zips.is_zip(head) or tars.is_tar(head)
    if kind == "zlib" and not begins:
        # Two bytes prove nothing: most of what begins with them is no such stream.
        return Judgement(kept, inner.imports, frozenset({kind}) if kept else frozenset())
    broken = Finding(rules.ARCHIVE_BROKEN, kind)
    return Judgement((broken, *kept), inner.imports, inner.kinds | {kind})


def judge_closed(source: Bytes) -> Judgement:
    """An archive or stream of a kind that nothing here unpacks."""
    return Judgement((Finding(rules.ARCHIVE_CLOSED, "a compression that is not judged"),), kinds=frozenset({"closed"}))


def _go_on(stream: Forward, source: Bytes) -> None:
    """Unpack what no judge asked for, as far as it takes to tell a bomb, and whether it is whole if it is small."""
    while stream.at < max(_RATIO_FROM_BYTES, min(_BOMB_LIKE * source.size_bytes, _MOST_BYTES)) and stream.more():
        pass


class _Damaged(Exception):
    pass


def _unpacked(source: Bytes, kind: str, tally: Tally) -> Iterator[bytes]:
    """All streams of the file, one after the other, as the usual programs read them; padding of zeros may follow."""
    at, out, waiting = 0, 0, b""
    is_first = True
    while True:
        machine = _machine(kind)
        while not machine.eof:
            waiting = waiting or getattr(machine, "unconsumed_tail", b"")
            if not waiting and getattr(machine, "needs_input", True):
                waiting = source.read_at(at, 256 << 10)
                at += len(waiting)
            before = machine.copy() if kind in ("zlib", "gzip") else None
            try:
                part = machine.decompress(waiting, STEP_BYTES)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, MemoryError, RuntimeError) as exc:
                if is_first:
                    yield from _rescued(before, waiting)
                    raise _Damaged from exc
                return  # what follows the first stream is no other
            if not part and not waiting and getattr(machine, "needs_input", True) and not machine.eof:
                raise _Damaged  # it ends early
            waiting = b""
            out += len(part)
            if out > _ZEROS_FROM_BYTES and out > _ZEROS_RATIO * at:
                raise Tally.Full(rules.ARCHIVE_BOMB, f"{out} bytes out of {at}")
            if out > _RATIO_FROM_BYTES:
                tally.add(0, out, of_bytes=at)
                tally.n_bytes -= out
            if part:
                yield part
        waiting = (machine.unused_data or b"").lstrip(b"\0")
        is_first = False
        if not waiting and not source.read_at(at, 1):
            return
        if kind == "zlib":
            return


def _rescued(machine: Any, waiting: bytes) -> Iterator[bytes]:
    """What came out before the damage, which ``decompress`` drops with its exception; all but the last byte."""
    step = STEP_BYTES if machine is not None else 0
    while step:
        before = machine.copy()
        try:
            part = machine.decompress(waiting, step)
        except zlib.error:
            machine, step = before, step // 2
            continue
        if not part:
            return
        waiting = machine.unconsumed_tail
        yield part


def _machine(kind: str) -> Any:
    """One stream's decompressor: ``decompress(data, most)``, ``eof``, ``unused_data``, and what is left over in its own way."""
    if kind == "gzip":
        return zlib.decompressobj(31)
    if kind == "zlib":
        return zlib.decompressobj()
    if kind == "lz4":
        from lz4.frame import LZ4FrameDecompressor

        return LZ4FrameDecompressor()
    return bz2.BZ2Decompressor() if kind == "bzip2" else lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
