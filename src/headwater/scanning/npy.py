"""NumPy's ``.npy``: a head, then numbers; or, for arrays of objects, a pickle.

Format: numpy.lib.format, versions 1 to 3.
"""

from __future__ import annotations

import ast
import re
from math import prod

from headwater.scanning import pickles, rules
from headwater.scanning.layout import Wrong
from headwater.scanning.models import Judgement, together
from headwater.scanning.reading import Bytes, Short, Window, exactly

MAGIC = b"\x93NUMPY"
MAX_HEAD = 1 << 20
_LONG = re.compile(r"\b(\d+)L\b")  # as Python 2 wrote numbers
_WIDTH = re.compile(r"[<>|=]?([biufcSUVmM?])(\d*)(?:\[[^\]]*\])?")


def judge(source: Bytes) -> Judgement:
    """All arrays of the file: ``numpy.save`` may be called again on an open one."""
    kinds = frozenset({"npy"})
    judged: list[Judgement] = [Judgement(kinds=kinds)]
    at = 0
    try:
        while at < source.size_bytes:
            begin, length, is_pickle = _head(source, at)
            if is_pickle:
                rest = source.size_bytes - begin
                judged.append(pickles.judge(Window(source, begin, rest)))
                break
            if begin + length > source.size_bytes:
                raise Wrong(rules.WEIGHTS_LENGTHS, f"{length} bytes claimed", at)
            at = begin + length
    except Wrong as wrong:
        judged.append(Judgement((wrong.finding,)))
    except Short:
        judged.append(Judgement((Wrong(rules.WEIGHTS_LENGTHS, "it ends early", at).finding,)))
    return together(judged)


def _head(source: Bytes, at: int) -> tuple[int, int, bool]:
    """Where an array's bytes begin, how many they are, and whether they are a pickle."""
    first = exactly(source, at, 8)
    if first[:6] != MAGIC or first[6] not in (1, 2, 3):
        raise Wrong(rules.WEIGHTS_TRAILING if at else rules.WEIGHTS_HEAD, "no array", at)
    wide = 2 if first[6] == 1 else 4
    length = int.from_bytes(exactly(source, at + 8, wide), "little")
    if length > MAX_HEAD:
        raise Wrong(rules.WEIGHTS_LENGTHS, f"a head of {length} bytes", at)
    begin = at + 8 + wide + length
    try:
        text = exactly(source, at + 8 + wide, length).decode("latin-1").strip()
        told = ast.literal_eval(_LONG.sub(r"\1", text))
        kind, shape = told["descr"], told["shape"]
        if len(shape) > 64 or not all(type(n) is int and 0 <= n < 1 << 60 for n in shape):
            raise ValueError
        count = prod(shape)
        if count >= 1 << 60:
            raise ValueError
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as exc:
        raise Wrong(rules.WEIGHTS_HEAD, "its head", at) from exc
    width = _width_of(kind, at)
    return begin, 0 if width is None else width * count, width is None


def _width_of(kind: object, at: int, depth: int = 0) -> int | None:
    """Bytes of one value; None where values are objects."""
    if isinstance(kind, str):
        if kind.lstrip("<>|=").rstrip("0123456789") == "O":
            return None
        match = _WIDTH.fullmatch(kind)
        if match is None:
            raise Wrong(rules.WEIGHTS_UNKNOWN, kind, at)
        return int(match[2] or 1) * (4 if match[1] == "U" else 1)
    if isinstance(kind, list) and depth < 8:  # a record: (name, kind) or (name, kind, shape)
        total = 0
        for field in kind:
            inner = _width_of(field[1], at, depth + 1) if isinstance(field, tuple) and len(field) in (2, 3) else 0
            if inner is None:
                return None
            if not inner:
                raise Wrong(rules.WEIGHTS_UNKNOWN, str(kind), at)
            total += inner * _product(field[2], at) if len(field) == 3 else inner
        return total
    raise Wrong(rules.WEIGHTS_UNKNOWN, str(kind), at)


def _product(shape: object, at: int) -> int:
    numbers = shape if isinstance(shape, tuple) else (shape,)
    if len(numbers) > 64 or not all(type(n) is int and 0 <= n < 1 << 40 for n in numbers):
        raise Wrong(rules.WEIGHTS_HEAD, "its head", at)
    return prod(numbers)
