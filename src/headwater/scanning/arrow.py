"""Arrow: record batches of a file or a stream, each with the lengths it tells; all must lie inside, side by side.

Only what says how long things are is read, from FlatBuffers tables, with bounds. Format: arrow, format/File.fbs, Message.fbs.
"""

from __future__ import annotations

import struct

from headwater.scanning import rules
from headwater.scanning.layout import Part, Wrong, require_tiled
from headwater.scanning.models import Judgement
from headwater.scanning.reading import Bytes, Short, exactly

MAGIC = b"ARROW1"
_CONTINUES = b"\xff\xff\xff\xff"
_MAX_META = 64 << 20
_MAX_MESSAGES = 10_000_000
_PADDING = 64
_END = 10  # the footer's length and the magic


def judge(source: Bytes) -> Judgement:
    kinds = frozenset({"arrow"})
    try:
        if source.read_at(0, 6) == MAGIC:
            _file(source)
        elif source.read_at(0, 4) == b"FEA1":
            raise Wrong(rules.WEIGHTS_UNKNOWN, "the first version of Feather", 0)
        else:
            _stream(source, 0, source.size_bytes)
    except Wrong as wrong:
        return Judgement((wrong.finding,), kinds=kinds)
    except (Short, struct.error, IndexError):
        return Judgement((Wrong(rules.WEIGHTS_LENGTHS, "it ends early").finding,), kinds=kinds)
    return Judgement(kinds=kinds)


def _stream(source: Bytes, start: int, end: int) -> int:
    """Walk messages until the end of the stream; returns where that is."""
    at = start
    for _ in range(_MAX_MESSAGES):
        if at == end:
            return at
        mark = exactly(source, at, 4)
        continued = mark == _CONTINUES
        begin = at + (8 if continued else 4)
        length = int.from_bytes(exactly(source, at + 4, 4) if continued else mark, "little")
        if length == 0:
            if begin != end:
                raise Wrong(rules.WEIGHTS_TRAILING, f"{end - begin} bytes", begin)
            return begin
        if length > min(_MAX_META, end - begin):
            raise Wrong(
                rules.WEIGHTS_HEAD if at == start else rules.WEIGHTS_LENGTHS, f"a message of {length} bytes", at
            )
        body = _body_length(exactly(source, begin, length), at)
        at = begin + length + body
        if at > end:
            raise Wrong(rules.WEIGHTS_OUTSIDE, f"a body of {body} bytes", begin + length)
    raise Wrong(rules.WEIGHTS_LENGTHS, "too many messages", at)


def _body_length(message: bytes, place: int) -> int:
    table = _Table.root(message)
    length = table.number(3, "<q", 0)
    if not 0 <= length < 1 << 60:
        raise Wrong(rules.WEIGHTS_LENGTHS, f"a body of {length} bytes", place)
    return length


def _file(source: Bytes) -> None:
    size = source.size_bytes
    if size < 8 + _END or exactly(source, size - 6, 6) != MAGIC:
        raise Wrong(rules.WEIGHTS_HEAD, "it does not end with ARROW1", size)
    length = int.from_bytes(exactly(source, size - _END, 4), "little")
    if not 0 < length <= min(_MAX_META, size - 8 - _END):
        raise Wrong(rules.WEIGHTS_LENGTHS, f"a footer of {length} bytes", size - _END)
    start = size - _END - length
    footer = _Table.root(exactly(source, start, length))
    parts: list[Part] = []
    for what, slot in (("dictionary", 2), ("batch", 3)):
        for nth, (offset, meta, body) in enumerate(footer.blocks(slot)):
            if meta < 0 or body < 0 or offset < 8 or max(offset, meta, body) >= 1 << 60:
                raise Wrong(rules.WEIGHTS_LENGTHS, f"{what} {nth}", start)
            if offset + meta + body > start:
                raise Wrong(rules.WEIGHTS_OUTSIDE, f"{what} {nth}", offset)
            parts.append(Part(f"{what} {nth}", offset, offset + meta + body))
    first = 8 + _message_length(source, start)  # the schema, before all batches
    require_tiled(parts, first, start, most_between=_PADDING)


def _message_length(source: Bytes, end: int) -> int:
    mark = exactly(source, 8, 8)
    length, head = (
        (int.from_bytes(mark[4:], "little"), 8) if mark[:4] == _CONTINUES else (int.from_bytes(mark[:4], "little"), 4)
    )
    if length > min(_MAX_META, end - 8):
        raise Wrong(rules.WEIGHTS_LENGTHS, f"a schema of {length} bytes", 8)
    return head + length


class _Table:
    """One table of a FlatBuffer, its fields by their slot."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._slots = at - struct.unpack_from("<i", data, at)[0]
        if not 0 <= self._slots <= len(data) - 4:
            raise Short
        self._n = (struct.unpack_from("<H", data, self._slots)[0] - 4) // 2

    @classmethod
    def root(cls, data: bytes) -> _Table:
        at = struct.unpack_from("<I", data, 0)[0]
        if at > len(data) - 4:
            raise Short
        return cls(data, at)

    def _place(self, slot: int) -> int | None:
        if slot >= self._n:
            return None
        offset = struct.unpack_from("<H", self._data, self._slots + 4 + 2 * slot)[0]
        return self._at + offset if offset else None

    def number(self, slot: int, form: str, default: int) -> int:
        place = self._place(slot)
        found: int = default if place is None else struct.unpack_from(form, self._data, place)[0]
        return found

    def blocks(self, slot: int) -> list[tuple[int, int, int]]:
        """(offset, length of the message, length of the body) of each block of a list."""
        place = self._place(slot)
        if place is None:
            return []
        begin = place + struct.unpack_from("<I", self._data, place)[0]
        count = struct.unpack_from("<I", self._data, begin)[0]
        if count > (len(self._data) - begin - 4) // 24:
            raise Wrong(rules.WEIGHTS_LENGTHS, f"{count} blocks")
        return [struct.unpack_from("<qi4xq", self._data, begin + 4 + 24 * nth) for nth in range(count)]
