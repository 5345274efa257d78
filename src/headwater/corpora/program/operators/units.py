"""A text as a row of *units*: words of scripts that have blanks, single characters of those that have none (compiled).

Letters and digits alone count, small; punctuation and white space only part words. Repetition and decontamination both look at runs of units.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from headwater.corpora.program.operators.compiled import kernel

_PRIME = np.uint64(0x100000001B3)
_FIRST = np.uint64(0xCBF29CE484222325)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_S33 = np.uint64(33)


@kernel
def _kind(point: Any) -> int:
    """0: parts words. 1: belongs to a word. 2: a unit by itself."""
    if point < 128:
        return 1 if (48 <= point <= 57) or (65 <= point <= 90) or (97 <= point <= 122) else 0
    if point < 0x2E80:
        # General punctuation, arrows, mathematical and box signs; Latin-1's signs.
        return 0 if point < 0xAA or (0x2000 <= point < 0x2C00) or point in (0xAB, 0xBB, 0xB7, 0xD7, 0xF7) else 1
    if (
        0x3041 <= point <= 0x3096
        or 0x30A1 <= point <= 0x30FA
        or 0x3400 <= point <= 0x4DBF
        or 0x4E00 <= point <= 0x9FFF
        or 0xF900 <= point <= 0xFAFF
        or 0x20000 <= point <= 0x3134F
    ):
        return 2
    if point < 0x3041 or 0xFE10 <= point <= 0xFE6F or 0xFF00 <= point <= 0xFF0F or 0xFF1A <= point <= 0xFF20:
        return 0
    return 1


@kernel
def units(data: Any, start: int, end: int, hashes: Any, lengths: Any) -> int:
    """Write the hash of each unit and its length in characters (negative for a unit that is one character of CJK); return their number."""
    n = 0
    at = start
    value = _FIRST
    length = 0
    while at < end:
        byte = np.int64(data[at])
        if byte < 0x80:
            point = byte
            at += 1
        elif byte < 0xE0:
            point = ((byte & 0x1F) << 6) | (np.int64(data[at + 1]) & 0x3F if at + 1 < end else 0)
            at += 2
        elif byte < 0xF0:
            point = (byte & 0x0F) << 12
            if at + 2 < end:
                point |= ((np.int64(data[at + 1]) & 0x3F) << 6) | (np.int64(data[at + 2]) & 0x3F)
            at += 3
        else:
            point = (byte & 0x07) << 18
            if at + 3 < end:
                point |= (
                    ((np.int64(data[at + 1]) & 0x3F) << 12)
                    | ((np.int64(data[at + 2]) & 0x3F) << 6)
                    | (np.int64(data[at + 3]) & 0x3F)
                )
            at += 4
        kind = _kind(point)
        if kind == 1:
            if 65 <= point <= 90:
                point += 32
            value = np.uint64((value ^ np.uint64(point)) * _PRIME)
            length += 1
            continue
        if length:
            mixed = np.uint64((value ^ (value >> _S33)) * _MIX)
            hashes[n] = mixed ^ (mixed >> _S33)
            lengths[n] = length
            n += 1
            value = _FIRST
            length = 0
        if kind == 2:
            mixed = np.uint64((np.uint64(point) + _FIRST) * _MIX)
            hashes[n] = mixed ^ (mixed >> _S33)
            lengths[n] = -1
            n += 1
    if length:
        mixed = np.uint64((value ^ (value >> _S33)) * _MIX)
        hashes[n] = mixed ^ (mixed >> _S33)
        lengths[n] = length
        n += 1
    return n


@kernel
def run_hash(hashes: Any, at: int, n: int) -> Any:
    """One number for ``n`` units from ``at``; never 0."""
    value = _FIRST ^ np.uint64(n)
    for k in range(at, at + n):
        value = np.uint64((value ^ hashes[k]) * _MIX)
        value = value ^ (value >> _S33)
    return value | np.uint64(1)


@kernel
def texts_units(data: Any, start: int, end: int) -> tuple[Any, Any]:
    """The hashes and lengths of one text's units, in arrays of their own."""
    hashes = np.empty(end - start + 1, np.uint64)
    lengths = np.empty(end - start + 1, np.int64)
    n = units(data, start, end, hashes, lengths)
    return hashes[:n].copy(), lengths[:n].copy()
