"""GGUF: keys, tensors, and where each tensor lies. The head is walked with bounds; its chat template is judged as one.

Format: ggml, docs/gguf.md, versions 2 and 3; sizes of the block formats from ggml's type traits.
"""

from __future__ import annotations

import struct
from math import prod

from headwater.scanning import rules
from headwater.scanning.layout import Part, Wrong, require_tiled
from headwater.scanning.models import Judgement, together
from headwater.scanning.reading import Bytes, Short, exactly

MAX_HEAD = 256 << 20
MAX_TENSORS = 500_000
MAX_KEYS = 100_000
MAX_TEMPLATE = 1 << 20
_MAX_DEPTH = 3
# By number: values in a block, and bytes of it.
_TYPES = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36), 10: (256, 84), 11: (256, 110),
    12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50),
    20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8),
    29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _ARRAY = 8, 9


def judge(source: Bytes) -> Judgement:
    kinds = frozenset({"gguf"})
    head = _Head(source)
    try:
        head.check()
    except Wrong as wrong:
        return Judgement((wrong.finding,), kinds=kinds)
    except Short:
        return Judgement(
            (Wrong(rules.WEIGHTS_LENGTHS, "it ends early, or its head is too long", head.at).finding,), kinds=kinds
        )
    if not head.templates:
        return Judgement(kinds=kinds)
    from headwater.scanning import templates

    return together([Judgement(kinds=kinds), *(templates.judge(text, key) for key, text in head.templates)])


class _Head:
    """The head, read forward in steps of 1 MiB."""

    def __init__(self, source: Bytes) -> None:
        self.at = 0
        self.templates: list[tuple[str, str]] = []
        self._source, self._buffer, self._base = source, b"", 0
        self._alignment = 32

    def check(self) -> None:
        if self._take(4) != b"GGUF":
            raise Wrong(rules.WEIGHTS_HEAD, "it does not begin with GGUF", 0)
        version = self._number("<I")
        if version not in (2, 3):
            raise Wrong(rules.WEIGHTS_UNKNOWN, f"version {version}", 4)
        n_tensors, n_keys = self._number("<Q"), self._number("<Q")
        if n_tensors > MAX_TENSORS or n_keys > MAX_KEYS:
            raise Wrong(rules.WEIGHTS_LENGTHS, f"{n_tensors} tensors, {n_keys} keys", 8)
        seen: set[bytes] = set()
        for _ in range(n_keys):
            self._key(seen)
        if not 0 < self._alignment <= 1 << 16 or self._alignment & (self._alignment - 1):
            raise Wrong(rules.WEIGHTS_HEAD, f"alignment {self._alignment}")
        told = [self._tensor() for _ in range(n_tensors)]
        if len({name for name, *_ in told}) != len(told):
            raise Wrong(rules.WEIGHTS_HEAD, "two tensors of one name")
        start = -(-self.at // self._alignment) * self._alignment
        if not told and start > self._source.size_bytes:
            start = self._source.size_bytes
        parts = [Part(name, start + offset, start + offset + size) for name, offset, size in told]
        require_tiled(parts, start, self._source.size_bytes, most_between=self._alignment - 1)

    def _key(self, seen: set[bytes]) -> None:
        place = self.at
        key = self._text(1 << 16)
        if key in seen:
            raise Wrong(rules.WEIGHTS_HEAD, f"{key.decode(errors='replace')} stands twice", place)
        seen.add(key)
        kind = self._number("<I")
        if key == b"general.alignment" and kind == 4:
            self._alignment = self._number("<I")
        elif kind == _TEXT and (key == b"tokenizer.chat_template" or key.startswith(b"tokenizer.chat_template.")):
            self.templates.append((key.decode(errors="replace"), self._text(MAX_TEMPLATE).decode(errors="replace")))
        else:
            self._pass_value(kind, 0)

    def _tensor(self) -> tuple[str, int, int]:
        place = self.at
        name = self._text(1 << 12).decode(errors="replace")
        n_dimensions = self._number("<I")
        if n_dimensions > 8:
            raise Wrong(rules.WEIGHTS_HEAD, f"{name}: {n_dimensions} dimensions", place)
        shape = [self._number("<Q") for _ in range(n_dimensions)]
        kind, offset = self._number("<I"), self._number("<Q")
        if kind not in _TYPES:
            raise Wrong(rules.WEIGHTS_UNKNOWN, f"{name}: type {kind}", place)
        per_block, block_bytes = _TYPES[kind]
        count = prod(shape)
        if any(n >= 1 << 48 for n in shape) or count >= 1 << 50 or (shape[0] if shape else 1) % per_block:
            raise Wrong(rules.WEIGHTS_LENGTHS, f"{name}: shape {shape}", place)
        return name, offset, count // per_block * block_bytes

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > min(self._source.size_bytes, MAX_HEAD):
            raise Short
        if end > self._base + len(self._buffer) or self.at < self._base:
            self._buffer = exactly(self._source, self.at, min(max(count, 1 << 20), self._source.size_bytes - self.at))
            self._base = self.at
        found = self._buffer[self.at - self._base : end - self._base]
        self.at = end
        return found

    def _pass(self, count: int) -> None:
        self.at += count
        if self.at > min(self._source.size_bytes, MAX_HEAD):
            raise Short

    def _number(self, form: str) -> int:
        found: int = struct.unpack(form, self._take(struct.calcsize(form)))[0]
        return found

    def _text(self, limit_bytes: int) -> bytes:
        length = self._number("<Q")
        if length > limit_bytes:
            raise Wrong(rules.WEIGHTS_LENGTHS, f"a text of {length} bytes", self.at - 8)
        return self._take(length)

    def _pass_value(self, kind: int, depth: int) -> None:
        if kind in _WIDTHS:
            self._pass(_WIDTHS[kind])
        elif kind == _TEXT:
            self._pass(self._number("<Q"))
        elif kind == _ARRAY and depth < _MAX_DEPTH:
            of, length = self._number("<I"), self._number("<Q")
            if of in _WIDTHS:
                self._pass(length * _WIDTHS[of])
                return
            if length > MAX_HEAD // 8:
                raise Short
            for _ in range(length):
                self._pass_value(of, depth + 1)
        else:
            raise Wrong(rules.WEIGHTS_HEAD, f"value type {kind}", self.at - 4)
