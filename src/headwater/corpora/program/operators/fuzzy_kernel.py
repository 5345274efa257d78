"""The compiled half of fuzzy de-duplication: shingles, signatures and the search for near twins, on bare buffers.

``data`` holds UTF-8, document ``i`` lies between ``offsets[i]`` and ``offsets[i + 1]``. Array names end in their shape: N documents, P permutations.

Types are spelled out everywhere: the compiler widens a product of two 32-bit numbers to 64 bits, and without the casts every document gets
the same signature, which only the precision of the result betrays.

Source: Broder 1997, On the resemblance and containment of documents.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from headwater.corpora.program.operators.compiled import kernel

SHINGLE = 5
"""Characters in a shingle. One length for all languages: words would leave Chinese without shingles."""

_NEAR = np.uint64(0x9E3779B97F4A7C15)
_FAR = np.uint64(0xC2B2AE3D27D4EB4F)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_S32 = np.uint64(32)
_S29 = np.uint64(29)
_S21 = np.uint64(21)
_S42 = np.uint64(42)
_THREE = np.uint64((1 << 63) - 1)
_TWO = np.uint64((1 << 42) - 1)
_LARGEST = np.uint32(0xFFFFFFFF)
_PRIME = np.uint64(0x100000001B3)
_FIRST = np.uint64(0xCBF29CE484222325)
_BLANK = np.uint32(32)
_TAG = np.uint32(0xFFFFFFFC)


def _folded(byte: int) -> int:
    if 9 <= byte <= 13:
        return 32
    return byte + 32 if 65 <= byte <= 90 else byte


_FOLDED = np.array([_folded(byte) for byte in range(128)], np.uint32)


@kernel
def _without_blanks_at_the_end(data: Any, start: int, end: int) -> int:
    while end > start:
        last = data[end - 1]
        if last == 32 or 9 <= last <= 13:
            end -= 1
        elif end - start >= 3 and last == 0x80 and data[end - 2] == 0x80 and data[end - 3] == 0xE3:
            end -= 3  # the blank of Chinese
        elif end - start >= 2 and (last in (0xA0, 0x85)) and data[end - 2] == 0xC2:
            end -= 2
        else:
            break
    return end


@kernel
def shingles(data: Any, start: int, end: int, out: Any) -> int:
    """Write the hashes of all shingles of one document to ``out`` (repeated ones repeatedly) and return their number.

    Letters of ASCII are read as small ones, a run of white space as one blank, none at either end: how a text is wrapped does not make it another.
    ``out`` must have room for ``end - start`` numbers.
    """
    end = _without_blanks_at_the_end(data, start, end)
    n = 0
    seen = 0
    last = _BLANK
    # The window: the latest three characters, and the two before them, 21 bits each. A step waits for shifts alone, not for a product.
    near = np.uint64(0)
    far = np.uint64(0)
    at = start
    while at < end:
        byte = np.uint32(data[at])
        if byte < 0x80:
            point = _FOLDED[byte]
            at += 1
        elif byte < 0xE0:
            second = np.uint32(data[at + 1]) if at + 1 < end else np.uint32(0)
            point = np.uint32(((byte & 0x1F) << 6) | (second & 0x3F))
            at += 2
            if point in (0x85, 0xA0):
                point = _BLANK
        elif byte < 0xF0:
            second = np.uint32(data[at + 1]) if at + 1 < end else np.uint32(0)
            third = np.uint32(data[at + 2]) if at + 2 < end else np.uint32(0)
            point = np.uint32(((byte & 0x0F) << 12) | ((second & 0x3F) << 6) | (third & 0x3F))
            at += 3
            if point == 0x3000:
                point = _BLANK
        else:
            second = np.uint32(data[at + 1]) if at + 1 < end else np.uint32(0)
            third = np.uint32(data[at + 2]) if at + 2 < end else np.uint32(0)
            fourth = np.uint32(data[at + 3]) if at + 3 < end else np.uint32(0)
            point = np.uint32(((byte & 0x07) << 18) | ((second & 0x3F) << 12) | ((third & 0x3F) << 6) | (fourth & 0x3F))
            at += 4
        if point == _BLANK and last == _BLANK:
            continue
        last = point
        far = ((far << _S21) | (near >> _S42)) & _TWO
        near = ((near << _S21) | np.uint64(point)) & _THREE
        seen += 1
        if seen >= SHINGLE:
            mixed = np.uint64(near * _NEAR + far * _FAR)
            out[n] = np.uint64((mixed ^ (mixed >> _S32)) * _MIX)
            n += 1
    return n


@kernel
def _minimise(hashes: Any, n: int, factors_P: Any, signature_P: Any) -> None:
    """The least value of each permutation ``x -> factor * x`` (modulo 2 ** 32, factors are odd) over a document's shingles."""
    permutations = factors_P.shape[0]
    for i in range(permutations):
        signature_P[i] = _LARGEST
    # Eight shingles a round: the signature is read and written once for eight, and the loop over permutations runs in vector registers.
    k = 0
    while k + 8 <= n:
        x0 = np.uint32(hashes[k] >> _S32)
        x1 = np.uint32(hashes[k + 1] >> _S32)
        x2 = np.uint32(hashes[k + 2] >> _S32)
        x3 = np.uint32(hashes[k + 3] >> _S32)
        x4 = np.uint32(hashes[k + 4] >> _S32)
        x5 = np.uint32(hashes[k + 5] >> _S32)
        x6 = np.uint32(hashes[k + 6] >> _S32)
        x7 = np.uint32(hashes[k + 7] >> _S32)
        for i in range(permutations):
            factor = factors_P[i]
            least = min(np.uint32(factor * x0), np.uint32(factor * x1), np.uint32(factor * x2), np.uint32(factor * x3))
            other = min(np.uint32(factor * x4), np.uint32(factor * x5), np.uint32(factor * x6), np.uint32(factor * x7))
            signature_P[i] = min(least, other, signature_P[i])
        k += 8
    while k < n:
        x0 = np.uint32(hashes[k] >> _S32)
        for i in range(permutations):
            signature_P[i] = min(np.uint32(factors_P[i] * x0), signature_P[i])
        k += 1


@kernel
def sign(data: Any, offsets: Any, factors_P: Any, signatures_NP: Any, n_shingles_N: Any) -> None:
    """Fill the signature and the number of shingles of every document."""
    longest = 0
    for i in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    hashes = np.empty(longest + 1, np.uint64)
    for i in range(offsets.shape[0] - 1):
        n = shingles(data, offsets[i], offsets[i + 1], hashes)
        n_shingles_N[i] = n
        _minimise(hashes, n, factors_P, signatures_NP[i])


# A set of shingles of two documents in one table: 30 bits of a hash (its place in the table holds more of them) and whose it is.
_OWN = np.uint32(1)
_COMMON = np.uint32(2)
_OTHERS = np.uint32(3)


@kernel
def _room_for(n: int) -> int:
    room = 1024
    while room < 2 * n + 2:
        room *= 2
    return room


@kernel
def _jaccard(hashes: Any, n: int, other_hashes: Any, n_other: int, table: Any, threshold: float) -> float:
    """The true Jaccard similarity of two documents' sets of shingles; 0 as soon as it cannot reach ``threshold`` any more.

    ``table`` has a power of two of slots, at least ``_room_for(n + n_other)``; its content does not matter.
    """
    room = _room_for(n + n_other)
    mask = np.uint64(room - 1)
    table[:room] = 0
    own = 0
    for k in range(n):
        key = hashes[k]
        tag = np.uint32(key >> _S32) & _TAG
        slot = key & mask
        while True:
            found = table[slot]
            if found == 0:
                table[slot] = tag | _OWN
                own += 1
                break
            if (found & _TAG) == tag:
                break
            slot = (slot + np.uint64(1)) & mask
    most_others = int(own / threshold) - own if threshold > 0 else n_other
    others = 0
    common = 0
    for k in range(n_other):
        key = other_hashes[k]
        tag = np.uint32(key >> _S32) & _TAG
        slot = key & mask
        while True:
            found = table[slot]
            if found == 0:
                table[slot] = tag | _OTHERS
                others += 1
                break
            if (found & _TAG) == tag:
                if found == (tag | _OWN):
                    table[slot] = tag | _COMMON
                    common += 1
                break
            slot = (slot + np.uint64(1)) & mask
        if others > most_others:
            return 0.0
    union = own + others
    return common / union if union else 0.0


@kernel
def jaccard(data: Any, start: int, end: int, other_start: int, other_end: int) -> float:
    """The true Jaccard similarity of two documents' sets of shingles; 0 when either has none."""
    hashes = np.empty(end - start + 1, np.uint64)
    other_hashes = np.empty(other_end - other_start + 1, np.uint64)
    n = shingles(data, start, end, hashes)
    n_other = shingles(data, other_start, other_end, other_hashes)
    return _jaccard(hashes, n, other_hashes, n_other, np.empty(_room_for(n + n_other), np.uint32), 0.0)


@kernel
def find_twins(
    data: Any,
    offsets: Any,
    signatures_NP: Any,
    n_shingles_N: Any,
    bands: int,
    rows: int,
    threshold: float,
    margin: float,
    chain: int,
    twins_N: Any,
    jaccards_N: Any,
) -> int:
    """Go through the documents in order; what is near a document that was kept gets that one as its twin, all others are kept (-1).

    Only kept documents stand in the tables of bands, so a thousand copies of one text cost a thousand comparisons, not a million; each
    document that goes has a kept twin whose true similarity reaches ``threshold``, and nothing goes for being near to what is gone.

    Args:
        margin: a candidate whose estimate from the signatures stays more than this below the threshold is not verified.
        chain: how many kept documents of one bucket are looked at, the latest first.

    Returns:
        How many pairs were verified.
    """
    n_documents = offsets.shape[0] - 1
    permutations = signatures_NP.shape[1]
    room = 1024
    while room < n_documents + n_documents // 2:
        room *= 2
    mask = np.uint64(room - 1)
    # A slot: 32 bits of the band's key, and the latest kept document with it plus one.
    slots = np.zeros((bands, room), np.uint64)
    previous = np.zeros((bands, n_documents), np.uint32)
    asked_by = np.full(n_documents, -1, np.int64)
    band_slots = np.zeros(bands, np.uint64)
    band_tags = np.zeros(bands, np.uint64)
    heads = np.zeros(bands, np.uint32)

    hashes = np.empty(1024, np.uint64)
    other_hashes = np.empty(1024, np.uint64)
    table = np.empty(4096, np.uint32)
    least_equal = int(np.ceil(max(threshold - margin, 0.0) * permutations))
    verified = 0

    for i in range(n_documents):
        twins_N[i] = -1
        jaccards_N[i] = 0.0
        if n_shingles_N[i] == 0:
            continue
        n = 0
        found = False
        for band in range(bands):
            key = _FIRST
            for row in range(rows):
                key = np.uint64((key ^ np.uint64(signatures_NP[i, band * rows + row])) * _PRIME)
            key = np.uint64((key ^ (key >> _S32)) * _MIX)
            tag = key >> _S32
            slot = (key ^ (key >> _S29)) & mask
            while slots[band, slot] != 0 and (slots[band, slot] >> _S32) != tag:
                slot = (slot + np.uint64(1)) & mask
            band_slots[band] = slot
            band_tags[band] = tag
            heads[band] = np.uint32(slots[band, slot] & np.uint64(0xFFFFFFFF))
        for band in range(bands):
            link = heads[band]
            steps = 0
            while link != 0 and steps < chain and not found:
                other = np.int64(link) - 1
                link = previous[band, other]
                steps += 1
                if asked_by[other] == i:
                    continue
                asked_by[other] = i
                equal = 0
                for p in range(permutations):
                    equal += signatures_NP[i, p] == signatures_NP[other, p]
                if equal < least_equal:
                    continue
                verified += 1
                if n == 0:
                    length = offsets[i + 1] - offsets[i]
                    if hashes.shape[0] <= length:
                        hashes = np.empty(2 * length, np.uint64)
                    n = shingles(data, offsets[i], offsets[i + 1], hashes)
                length = offsets[other + 1] - offsets[other]
                if other_hashes.shape[0] <= length:
                    other_hashes = np.empty(2 * length, np.uint64)
                n_other = shingles(data, offsets[other], offsets[other + 1], other_hashes)
                if table.shape[0] < _room_for(n + n_other):
                    table = np.empty(_room_for(n + n_other), np.uint32)
                similarity = _jaccard(hashes, n, other_hashes, n_other, table, threshold)
                if similarity >= threshold:
                    twins_N[i] = other
                    jaccards_N[i] = similarity
                    found = True
            if found:
                break
        if not found:
            for band in range(bands):
                slot = band_slots[band]
                previous[band, i] = np.uint32(slots[band, slot] & np.uint64(0xFFFFFFFF))
                slots[band, slot] = (band_tags[band] << _S32) | np.uint64(i + 1)
    return verified
