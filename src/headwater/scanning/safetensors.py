"""safetensors: the head is JSON, and its offsets tile what follows it.

Format: https://github.com/huggingface/safetensors, "Format"; its own reader refuses holes, overlaps and duplicate names too.
"""

from __future__ import annotations

import json
from math import prod
from typing import Any

from headwater.scanning import rules
from headwater.scanning.layout import Part, Wrong, require_tiled
from headwater.scanning.models import Judgement
from headwater.scanning.reading import Bytes, Short, exactly

MAX_HEAD = 100 << 20  # what the format allows
MAX_JUDGED_HEAD = 16 << 20
_MAX_DIMENSIONS = 64
MAX_TENSORS = 500_000
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


def judge(source: Bytes) -> Judgement:
    kinds = frozenset({"safetensors"})
    try:
        _check(source)
    except Wrong as wrong:
        return Judgement((wrong.finding,), kinds=kinds)
    except Short:
        return Judgement((Wrong(rules.WEIGHTS_LENGTHS, "it is too short").finding,), kinds=kinds)
    return Judgement(kinds=kinds)


def _check(source: Bytes) -> None:
    length = int.from_bytes(exactly(source, 0, 8), "little")
    if length > min(MAX_HEAD, source.size_bytes - 8):
        raise Wrong(rules.WEIGHTS_LENGTHS, f"a head of {length} bytes", 0)
    if length > MAX_JUDGED_HEAD:
        raise Wrong(rules.WEIGHTS_UNKNOWN, f"a head of {length} bytes", 0)
    try:
        head = json.loads(exactly(source, 8, length), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise Wrong(rules.WEIGHTS_HEAD, str(exc), 8) from exc
    if not isinstance(head, dict) or len(head) > MAX_TENSORS:
        raise Wrong(rules.WEIGHTS_HEAD, "no list of tensors", 8)
    metadata = head.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Wrong(rules.WEIGHTS_HEAD, "__metadata__", 8)
    start = 8 + length
    require_tiled((_part(name, told, start) for name, told in head.items()), start, source.size_bytes)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _part(name: str, told: Any, start: int) -> Part:
    try:
        kind, shape, (begin, end) = told["dtype"], told["shape"], told["data_offsets"]
        numbers = [*shape, begin, end]
    except (TypeError, KeyError, ValueError) as exc:
        raise Wrong(rules.WEIGHTS_HEAD, name, 8) from exc
    if len(numbers) > _MAX_DIMENSIONS or not all(type(n) is int and 0 <= n < 1 << 62 for n in numbers) or begin > end:
        raise Wrong(rules.WEIGHTS_HEAD, name, 8)
    bits = _BITS.get(kind) if isinstance(kind, str) else None
    if bits is None:
        raise Wrong(rules.WEIGHTS_UNKNOWN, f"{name}: {kind}", 8)
    if prod(shape) * bits != (end - begin) * 8:
        raise Wrong(rules.WEIGHTS_LENGTHS, f"{name}: shape {shape} of {kind} in {end - begin} bytes", start + begin)
    return Part(name, start + begin, start + end)
