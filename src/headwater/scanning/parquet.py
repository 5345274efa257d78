"""Parquet: the footer says where each column chunk lies; chunks lie inside, apart, and in this very file.

Format: apache/parquet-format, parquet.thrift, in Thrift's compact encoding; read with bounds, and no further than the places.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headwater.scanning import rules
from headwater.scanning.layout import Part, Wrong
from headwater.scanning.models import Judgement
from headwater.scanning.reading import Bytes, Short, exactly

MAGIC = b"PAR1"
MAX_FOOTER = 32 << 20
_MAX_VALUES = 2_000_000
_MAX_DEPTH = 24
_SEAM = 64 << 10  # of padding that writers leave between row groups, at each


def judge(source: Bytes) -> Judgement:
    kinds = frozenset({"parquet"})
    try:
        _check(source)
    except Wrong as wrong:
        return Judgement((wrong.finding,), kinds=kinds)
    except (Short, IndexError):
        return Judgement((Wrong(rules.WEIGHTS_LENGTHS, "it ends early").finding,), kinds=kinds)
    return Judgement(kinds=kinds)


def _check(source: Bytes) -> None:
    size = source.size_bytes
    if size < 12 or exactly(source, 0, 4) != MAGIC or exactly(source, size - 4, 4) != MAGIC:
        raise Wrong(rules.WEIGHTS_HEAD, "it does not begin and end with PAR1", 0)
    length = int.from_bytes(exactly(source, size - 8, 4), "little")
    if length > size - 12:
        raise Wrong(rules.WEIGHTS_LENGTHS, f"a footer of {length} bytes", size - 8)
    if length > MAX_FOOTER:
        raise Wrong(rules.WEIGHTS_UNKNOWN, f"a footer of {length} bytes", size - 8)
    start = size - 8 - length
    footer = _Compact(exactly(source, start, length)).struct(0)
    groups = footer.get(4, [])
    n_rows = footer.get(3, 0)
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        raise Wrong(rules.WEIGHTS_HEAD, "its row groups", start)
    counts = [group.get(3, 0) for group in groups]
    if not all(type(count) is int and count >= 0 for count in (*counts, n_rows)) or sum(counts) != n_rows:
        raise Wrong(rules.WEIGHTS_LENGTHS, f"{n_rows} rows told", start)
    parts = [
        part for nth, group in enumerate(groups) for column in _columns(group, start) for part in _parts(column, nth)
    ]
    at = 4
    for part in sorted(parts, key=lambda part: (part.start, part.end)):
        if not 4 <= part.start <= part.end <= start:
            raise Wrong(rules.WEIGHTS_OUTSIDE, part.name, max(0, min(part.start, size)))
        if part.start < at and part.end > part.start:
            raise Wrong(rules.WEIGHTS_OVERLAP, part.name, part.start)
        if part.start - at > _SEAM:
            raise Wrong(rules.WEIGHTS_HOLE, f"{part.start - at} bytes", at)
        at = max(at, part.end)
    if start - at > _SEAM:
        raise Wrong(rules.WEIGHTS_HOLE, f"{start - at} bytes", at)


def _columns(group: dict[int, Any], start: int) -> list[Any]:
    columns = group.get(1, [])
    if not isinstance(columns, list):
        raise Wrong(rules.WEIGHTS_HEAD, "its columns", start)
    return columns


def _parts(column: Any, nth: int) -> list[Part]:
    if not isinstance(column, dict):
        raise Wrong(rules.WEIGHTS_HEAD, "a column")
    if column.get(1):
        raise Wrong(rules.WEIGHTS_LINK, column[1].decode(errors="replace") if isinstance(column[1], bytes) else "")
    told = column.get(3)
    if not isinstance(told, dict):
        raise Wrong(rules.WEIGHTS_HEAD, "a column without its place")
    numbers = {key: told.get(key, 0) for key in (5, 6, 7, 9, 11, 14, 15)} | {
        -key: column.get(key, 0) for key in (4, 5, 6, 7)
    }
    if not all(isinstance(n, int) and 0 <= n < 1 << 62 for n in numbers.values()):
        raise Wrong(rules.WEIGHTS_LENGTHS, "a column's numbers")
    path = told.get(3)
    name = ".".join(p.decode(errors="replace") for p in path if isinstance(p, bytes)) if isinstance(path, list) else ""
    start = min(numbers[9], numbers[11]) if numbers[11] else numbers[9]
    found = [Part(f"{name} of row group {nth}", start, start + numbers[7])]
    for what, at, count in (("offset index", -4, -5), ("column index", -6, -7), ("bloom filter", 14, 15)):
        if numbers[at] and numbers[count]:
            found.append(Part(f"{what} of {name}", numbers[at], numbers[at] + numbers[count]))
    return found


@dataclass
class _Compact:
    """Thrift's compact encoding, as dicts by field number and lists; doubles are passed over."""

    data: bytes
    at: int = 0
    n: int = field(default=0)

    def struct(self, depth: int) -> dict[int, Any]:
        if depth > _MAX_DEPTH:
            raise Wrong(rules.WEIGHTS_LENGTHS, "a footer nested too deep")
        found: dict[int, Any] = {}
        number = 0
        while True:
            head = self._byte()
            if head == 0:
                return found
            number = number + (head >> 4) if head >> 4 else self._signed()
            if number in found:
                raise Wrong(rules.WEIGHTS_HEAD, "a field stands twice")
            found[number] = self._value(head & 15, depth)

    def _value(self, kind: int, depth: int) -> Any:
        self.n += 1
        if self.n > _MAX_VALUES:
            raise Wrong(rules.WEIGHTS_UNKNOWN, "too many values in its footer")
        match kind:
            case 1 | 2:
                return kind == 1
            case 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._signed()
            case 7:
                return self._bytes(8)
            case 8:
                return self._bytes(self._plain())
            case 9 | 10:
                head = self._byte()
                count = head >> 4 if head >> 4 != 15 else self._plain()
                if count > len(self.data) - self.at:
                    raise Wrong(rules.WEIGHTS_LENGTHS, f"a list of {count}")
                of = head & 15
                return [self._value(3 if of in (1, 2) else of, depth) for _ in range(count)]
            case 12:
                return self.struct(depth + 1)
        raise Wrong(rules.WEIGHTS_HEAD, f"type {kind}")

    def _byte(self) -> int:
        found = self.data[self.at]
        self.at += 1
        return found

    def _bytes(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise Wrong(rules.WEIGHTS_LENGTHS, f"{count} bytes claimed")
        self.at += count
        return self.data[self.at - count : self.at]

    def _plain(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise Wrong(rules.WEIGHTS_LENGTHS, "a number without end")

    def _signed(self) -> int:
        value = self._plain()
        return value >> 1 ^ -(value & 1)
