"""Repetition within a document: lines, paragraphs and n-grams that come again and again.

The shares are Gopher's. N-grams run over units (``units``): words, or characters of Chinese. As a Chinese word has about one and a half characters, a text
that is mostly Chinese is looked at with n-grams of one and a half times the length, so that ordinary four-character phrases are no repetition.

Source: Rae et al. 2021, Gopher, arXiv:2112.11446, table A1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headwater.corpora.program.operators.compiled import kernel
from headwater.corpora.program.operators.documents import Documents
from headwater.corpora.program.operators.units import run_hash, units


@dataclass(frozen=True)
class Shares:
    """The largest share (of lines, paragraphs or characters) that may be repetition; None leaves the rule out."""

    lines: float | None = 0.3
    paragraphs: float | None = 0.3
    line_characters: float | None = 0.2
    paragraph_characters: float | None = 0.2
    top_ngrams: Mapping[int, float] = field(default_factory=lambda: {2: 0.2, 3: 0.18, 4: 0.16})
    """Characters in the most frequent n-gram."""
    repeated_ngrams: Mapping[int, float] = field(
        default_factory=lambda: {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1}
    )
    """Characters in n-grams that were there before."""


@kernel
def _room(n: int) -> int:
    room = 64
    while room < 2 * n + 2:
        room *= 2
    return room


@kernel
def _top(hashes: Any, lengths: Any, n_units: int, n: int, keys: Any, counts: Any) -> int:
    """Characters that the most frequent n-gram takes, if it comes more than once; the longest where several come equally often."""
    mask = np.uint64(_room(n_units) - 1)
    for slot in range(mask + np.uint64(1)):
        keys[slot] = 0
    most = 1
    characters = 0
    for at in range(n_units - n + 1):
        key = run_hash(hashes, at, n)
        slot = (key >> np.uint64(7)) & mask
        while keys[slot] != 0 and keys[slot] != key:
            slot = (slot + np.uint64(1)) & mask
        if keys[slot] == 0:
            keys[slot] = key
            counts[slot] = 0
        counts[slot] += 1
        if counts[slot] >= most and counts[slot] > 1:
            length = 0
            for k in range(at, at + n):
                length += abs(lengths[k])
            if counts[slot] > most:
                most = counts[slot]
                characters = length * most
            else:
                characters = max(characters, length * most)
    return characters


@kernel
def _repeated(hashes: Any, lengths: Any, n_units: int, n: int, keys: Any) -> int:
    """Characters in n-grams that came before, none counted twice."""
    mask = np.uint64(_room(n_units) - 1)
    for slot in range(mask + np.uint64(1)):
        keys[slot] = 0
    characters = 0
    at = 0
    while at + n <= n_units:
        key = run_hash(hashes, at, n)
        slot = (key >> np.uint64(7)) & mask
        while keys[slot] != 0 and keys[slot] != key:
            slot = (slot + np.uint64(1)) & mask
        if keys[slot] == 0:
            keys[slot] = key
            at += 1
        else:
            for k in range(at, at + n):
                characters += abs(lengths[k])
            at += n
    return characters


@kernel
def ngram_shares(data: Any, start: int, end: int, tops: Any, repeats: Any, shares: Any) -> int:
    """Fill ``shares`` with those of the n-gram lengths in ``tops``, then of those in ``repeats``; return the number of units."""
    hashes = np.empty(end - start + 1, np.uint64)
    lengths = np.empty(end - start + 1, np.int64)
    n_units = units(data, start, end, hashes, lengths)
    characters = 0
    single = 0
    for k in range(n_units):
        characters += abs(lengths[k])
        single += lengths[k] < 0
    for k in range(shares.shape[0]):
        shares[k] = 0.0
    if characters == 0:
        return 0
    keys = np.empty(_room(n_units), np.uint64)
    counts = np.empty(_room(n_units), np.int64)
    chinese = 2 * single > n_units
    for k in range(tops.shape[0]):
        n = (3 * tops[k] + 1) // 2 if chinese else tops[k]
        shares[k] = _top(hashes, lengths, n_units, n, keys, counts) / characters
    for k in range(repeats.shape[0]):
        n = (3 * repeats[k] + 1) // 2 if chinese else repeats[k]
        shares[tops.shape[0] + k] = _repeated(hashes, lengths, n_units, n, keys) / characters
    return n_units


def _again(pieces: list[str]) -> tuple[float, float]:
    """Shares of pieces, and of their characters, that stood there before."""
    if len(pieces) < 2:
        return 0.0, 0.0
    seen: set[str] = set()
    again = again_characters = 0
    for piece in pieces:
        if piece in seen:
            again += 1
            again_characters += len(piece)
        seen.add(piece)
    return again / len(pieces), again_characters / max(1, sum(map(len, pieces)))


class Repetition:
    """Reasons: ``repetition:lines``, ``repetition:paragraphs``, ``repetition:top_2gram``, ``repetition:repeated_5gram`` …"""

    name = "repetition"

    def __init__(self, shares: Shares | None = None) -> None:
        self._shares = shares = shares or Shares()
        self._tops = np.array(sorted(shares.top_ngrams), np.int64)
        self._repeats = np.array(sorted(shares.repeated_ngrams), np.int64)
        self._limits = [
            *((f"top_{n}gram", shares.top_ngrams[int(n)]) for n in self._tops),
            *((f"repeated_{n}gram", shares.repeated_ngrams[int(n)]) for n in self._repeats),
        ]

    def __call__(self, documents: Documents) -> None:
        for row in documents.staying():
            broken = self.broken(documents.texts[row])
            if broken:
                documents.drop(row, f"{self.name}:{broken}")

    def broken(self, text: str) -> str | None:
        lines = [stripped for line in text.split("\n") if (stripped := line.strip())]
        paragraphs = [stripped for paragraph in text.split("\n\n") if (stripped := paragraph.strip())]
        line_share, line_characters = _again(lines)
        paragraph_share, paragraph_characters = _again(paragraphs)
        for reason, share, limit in (
            ("lines", line_share, self._shares.lines),
            ("paragraphs", paragraph_share, self._shares.paragraphs),
            ("line_characters", line_characters, self._shares.line_characters),
            ("paragraph_characters", paragraph_characters, self._shares.paragraph_characters),
        ):
            if limit is not None and share > limit:
                return reason
        if not self._limits:
            return None
        data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
        found = np.zeros(len(self._limits), np.float64)
        ngram_shares(data, 0, len(data), self._tops, self._repeats, found)
        return next((reason for (reason, limit), share in zip(self._limits, found, strict=True) if share > limit), None)
