"""Exact de-duplication: of documents that are the same but for case, white space and Unicode form, the first stays."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

KEY_BYTES = 16


def content_key(text: str) -> bytes:
    """What equal documents share; of an empty one nothing (b""), for empty documents are not copies of each other."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    words = text.lower().split()
    if not words:
        return b""
    return hashlib.blake2b(" ".join(words).encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest()


def first_of_equals(keys: Iterable[bytes]) -> npt.NDArray[np.int64]:
    """For each document the first one with the same key, or -1 where it is that itself (or its key is empty).

    Needs about 40 bytes of memory a document while it runs.
    """
    padded = b"".join(key.ljust(KEY_BYTES, b"\0") if key else bytes(KEY_BYTES) for key in keys)
    table = np.frombuffer(padded, [("high", ">u8"), ("low", ">u8")])
    return first_of_equal_pairs(table["high"].astype(np.uint64), table["low"].astype(np.uint64))


def first_of_equal_pairs(high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """The same, of keys in two halves; (0, 0) stands for no key."""
    firsts = np.full(len(high), -1, np.int64)
    if not len(high):
        return firsts
    # Stable, so that within equal keys the order of the documents stays.
    order = np.lexsort((low, high))
    sorted_high, sorted_low = high[order], low[order]
    begins = np.ones(len(order), np.bool_)
    begins[1:] = (sorted_high[1:] != sorted_high[:-1]) | (sorted_low[1:] != sorted_low[:-1])
    leaders = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
    copies = ~begins & ((sorted_high != 0) | (sorted_low != 0))
    firsts[order[copies]] = leaders[copies]
    return firsts
