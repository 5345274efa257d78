"""ONNX: a protocol buffer, walked as far as where tensors lie. Data outside of the file must lie beside it.

Format: onnx/onnx.proto (ModelProto, GraphProto, TensorProto), and the protocol buffers' encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

from headwater.scanning import rules
from headwater.scanning.layout import Wrong
from headwater.scanning.members import leads_out
from headwater.scanning.models import Judgement
from headwater.scanning.reading import Bytes, Short, exactly

_MAX_FIELDS = 20_000_000
_MAX_DEPTH = 24
_MAX_TEXT = 64 << 10
# message -> field -> what message it holds; fields that are not named are passed over.
_MODEL = {7: "graph", 25: "function"}
_FIELDS = {
    "model": _MODEL,
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external"},
    "external": {},
}


def judge(source: Bytes) -> Judgement:
    kinds = frozenset({"onnx"})
    walk = _Walk(source)
    try:
        walk.message("model", 0, source.size_bytes, 0)
        if not walk.has_graph:
            raise Wrong(rules.WEIGHTS_HEAD, "it holds no graph", 0)
    except Wrong as wrong:
        return Judgement((wrong.finding,), kinds=kinds)
    except Short:
        return Judgement((Wrong(rules.WEIGHTS_LENGTHS, "it ends early").finding,), kinds=kinds)
    return Judgement(kinds=kinds)


class _Walk:
    def __init__(self, source: Bytes) -> None:
        self.has_graph = False
        self._source, self._n = source, 0
        self._buffer, self._base = b"", 0

    def message(self, kind: str, start: int, end: int, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise Wrong(rules.WEIGHTS_LENGTHS, "graphs in graphs", start)
        external: dict[bytes, bytes] = {}
        inside = _FIELDS[kind]
        for field, begin, close in self._fields(start, end):
            inner = inside.get(field)
            if inner == "external":
                key, value = self._pair(begin, close)
                external[key] = value
            elif inner is not None:
                self.has_graph = self.has_graph or inner == "graph"
                self.message(inner, begin, close, depth + 1)
        location = external.get(b"location")
        if location is not None and (leads_out(location.decode(errors="replace")) or b"\0" in location):
            raise Wrong(rules.WEIGHTS_LINK, location.decode(errors="replace"), start)

    def _pair(self, start: int, end: int) -> tuple[bytes, bytes]:
        found = {field: (begin, close) for field, begin, close in self._fields(start, end)}
        texts = []
        for field in (1, 2):
            begin, close = found.get(field, (start, start))
            if close - begin > _MAX_TEXT:
                raise Wrong(rules.WEIGHTS_LENGTHS, "a text", begin)
            texts.append(exactly(self._source, begin, close - begin))
        return texts[0], texts[1]

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Number and place of each field that holds bytes; the rest is passed over."""
        at = start
        while at < end:
            self._n += 1
            if self._n > _MAX_FIELDS:
                raise Wrong(rules.WEIGHTS_LENGTHS, "too many fields", at)
            tag, at = self._number(at, end)
            kind = tag & 7
            if tag >> 3 == 0:
                raise Wrong(rules.WEIGHTS_HEAD, "field 0", at)
            if kind == 0:
                _, at = self._number(at, end)
            elif kind in (1, 5):
                at += 8 if kind == 1 else 4
            elif kind == 2:
                length, at = self._number(at, end)
                if at + length > end:
                    raise Wrong(rules.WEIGHTS_OUTSIDE, f"{length} bytes claimed", at)
                yield tag >> 3, at, at + length
                at += length
            else:
                raise Wrong(rules.WEIGHTS_HEAD, f"wire type {kind}", at)
        if at != end:
            raise Wrong(rules.WEIGHTS_OUTSIDE, "a field", at)

    def _number(self, at: int, end: int) -> tuple[int, int]:
        near = at - self._base
        if near < 0 or near + 10 > len(self._buffer):
            self._buffer, self._base, near = self._source.read_at(at, 64 << 10), at, 0
        value = 0
        for i in range(10):
            if at + i >= end or near + i >= len(self._buffer):
                raise Short
            byte = self._buffer[near + i]
            value |= (byte & 127) << 7 * i
            if byte < 128:
                return value, at + i + 1
        raise Wrong(rules.WEIGHTS_HEAD, "a number without end", at)
