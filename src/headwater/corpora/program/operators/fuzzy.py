"""Fuzzy de-duplication: of documents that say nearly the same, the first stays.

Near is a true Jaccard similarity of character 5-shingles of at least ``threshold``. MinHash signatures and bands only say which pairs are worth comparing;
no document goes without the comparison. Documents of fewer than five characters have no shingles and are left to exact de-duplication.

Source: Broder 1997 (resemblance, MinHash); Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, chapter 3 (banding).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.corpora.program.operators import fuzzy_kernel

FACTORS_SEED = 20_260_101


@dataclass(frozen=True)
class FuzzySettings:
    """How near twins are looked for.

    Two documents of similarity s share a band with probability 1 - (1 - s ** rows) ** bands: 0.99 at 0.7, 0.06 at 0.3 for the values here.
    """

    threshold: float = 0.7
    permutations: int = 128
    bands: int = 25
    rows: int = 5
    margin: float = 0.15
    """Three to four standard deviations of the estimate from 128 permutations."""
    chain: int = 64

    def __post_init__(self) -> None:
        if self.bands * self.rows > self.permutations:
            raise ValueError(
                f"{self.bands} bands of {self.rows} rows need {self.bands * self.rows} permutations, not {self.permutations}."
            )


@dataclass(frozen=True)
class Signatures:
    signatures_NP: npt.NDArray[np.uint32]
    n_shingles_N: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Twins:
    """For each document the kept one it is near to, or -1 where it is kept itself, and how near."""

    twins_N: npt.NDArray[np.int64]
    jaccards_N: npt.NDArray[np.float32]
    n_verified: int

    @property
    def kept_N(self) -> npt.NDArray[np.bool_]:
        kept: npt.NDArray[np.bool_] = self.twins_N < 0
        return kept


def factors(permutations: int) -> npt.NDArray[np.uint32]:
    """The odd multipliers of the permutations: the same on every machine, so that signatures may be compared between runs."""
    rng = np.random.Generator(np.random.PCG64(FACTORS_SEED))
    return rng.integers(0, 1 << 32, permutations, dtype=np.uint32) | np.uint32(1)


def buffers_of(texts: pa.Array | pa.ChunkedArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes and offsets of a column of strings, without a copy where Arrow has them in one piece with long offsets."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.chunk(0) if texts.num_chunks == 1 else pa.concat_arrays(_large(chunk) for chunk in texts.chunks)
    texts = _large(texts)
    if texts.null_count:
        raise ValueError("A column with empty cells has no buffers to read; fill them first.")
    _, offsets, data = texts.buffers()
    if len(texts) == 0 or data is None:
        return np.zeros(0, np.uint8), np.zeros(len(texts) + 1, np.int64)
    found = np.frombuffer(offsets, np.int64, len(texts) + 1, texts.offset * 8)
    return np.frombuffer(data, np.uint8), found


def _large(texts: Any) -> Any:
    return texts if pa.types.is_large_string(texts.type) else texts.cast(pa.large_string())


def sign(texts: pa.Array | pa.ChunkedArray, settings: FuzzySettings) -> Signatures:
    data, offsets = buffers_of(texts)
    n = len(offsets) - 1
    signatures = np.empty((n, settings.permutations), np.uint32)
    n_shingles = np.zeros(n, np.uint32)
    fuzzy_kernel.sign(
        _read_only(data), _read_only(offsets), _read_only(factors(settings.permutations)), signatures, n_shingles
    )
    return Signatures(signatures, n_shingles)


A = TypeVar("A", bound=np.generic)


def _read_only(array: npt.NDArray[A]) -> npt.NDArray[A]:
    """A view that cannot be written: whether it can is part of the type that a kernel is compiled for, and once is enough."""
    view = array.view(np.ndarray)
    view.flags.writeable = False
    return view


def find_twins(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], signed: Signatures, settings: FuzzySettings
) -> Twins:
    """Which documents are near to an earlier one that is kept; the buffers may be mapped from files."""
    n = len(offsets) - 1
    if n >= 1 << 32:
        raise ValueError(f"One corpus of {n} documents is more than the tables can number (2 ** 32).")
    twins = np.full(n, -1, np.int64)
    jaccards = np.zeros(n, np.float32)
    verified = fuzzy_kernel.find_twins(
        _read_only(data),
        _read_only(offsets),
        _read_only(signed.signatures_NP),
        _read_only(signed.n_shingles_N),
        settings.bands,
        settings.rows,
        settings.threshold,
        settings.margin,
        settings.chain,
        twins,
        jaccards,
    )
    return Twins(twins, jaccards, int(verified))


def deduplicate(texts: pa.Array | pa.ChunkedArray, settings: FuzzySettings | None = None) -> Twins:
    """From a column in memory to which of its rows stay."""
    settings = settings or FuzzySettings()
    data, offsets = buffers_of(texts)
    return find_twins(data, offsets, sign(texts, settings), settings)


def similarity(text: str, other: str) -> float:
    """The true Jaccard similarity of two texts, as the kernel compares them."""
    first, second = text.encode(), other.encode()
    data = np.frombuffer(first + second, np.uint8)
    return float(fuzzy_kernel.jaccard(data, 0, len(first), len(first), len(data)))
