"""A text as words, and its words as shingles: what licences are told apart by.

Layout, case, punctuation, markup and copyright lines do not count, since everybody who passes a licence on changes them. A word is a
run of letters or digits, or one letter of Chinese, Japanese or Korean. A shingle is four words that follow one another, hashed to
32 bits. ``tools/license_index.py`` and the matcher use this module alike: whatever changes here needs a new index.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Hashes = NDArray[Any]

SHINGLE = 4
MAX_CHARACTERS = 400_000  # a licence is read no further

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
_MARKUP = re.compile(r"<[^<>\n]{1,300}>")
# Whose it is and since when; "Copyright Holder" in running text is no such line.
_COPYRIGHT = re.compile(
    r"^[^\w\n]{0,12}(?:portions |版权所有 ?)?(?:copyright|©|\(c\)|版权所有)[^\w\n]{0,6}"
    r"(?:(?:\(c\)|©|&copy;|\[|<|\{|c\)|copyright|by |\d{4}|year|yyyy|ⓒ)[^\n]{0,200}|[^\n]{0,80}\b(?:19|20)\d\d\b[^\n]{0,60})$"
    r"|^[^\w\n]{0,12}all rights reserved\W*$",
    re.IGNORECASE | re.MULTILINE,
)
_MULTIPLIERS = (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F)


@dataclass(frozen=True, eq=False)
class Words:
    """``starts`` and ``ends`` are places in the text, in characters."""

    hashes: Hashes
    starts: list[int]
    ends: list[int]

    def __len__(self) -> int:
        return len(self.starts)


def read_words(text: str) -> Words:
    """The words that count, each with its place."""
    import numpy as np

    text = text[:MAX_CHARACTERS]
    text = _MARKUP.sub(lambda found: " " * len(found[0]), text)
    text = _COPYRIGHT.sub(lambda found: " " * len(found[0]), text)
    hashes: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    for found in _WORD.finditer(text):
        hashes.append(_hash(found[0]))
        starts.append(found.start())
        ends.append(found.end())
    return Words(np.array(hashes, dtype=np.uint32), starts, ends)


@lru_cache(maxsize=20_000)
def _hash(word: str) -> int:
    return zlib.crc32(unicodedata.normalize("NFKC", word).lower().encode())


def shingles(words: Words) -> Hashes:
    """One hash for each word that three more follow, in their order; empty for fewer than four words."""
    import numpy as np

    n = max(0, len(words) - SHINGLE + 1)
    mixed = np.zeros(n, dtype=np.uint32)
    for at, multiplier in enumerate(_MULTIPLIERS):
        mixed = (mixed ^ words.hashes[at : at + n]) * np.uint32(multiplier)
        mixed ^= mixed >> np.uint32(15)
    return mixed
