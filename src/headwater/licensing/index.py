"""The prebuilt index: which licences have which shingle. Hashes alone; no text can be got back from it.

``index.bin``: 8 bytes magic, three 32-bit little-endian counts (hashes, postings, licences), the sorted hashes (32 bits each), how many
licences have each (8 bits), and which ones (16 bits each, after one another). ``licences.json`` names them in that order.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from headwater.licensing.words import Hashes

MAGIC = b"HWLICX01"
HEAD = struct.Struct("<8sIII")
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Licence:
    """One text that the index knows.

    Args:
        spdx: its SPDX id, or an own ``LicenseRef-…``.
        category: as the source sorts it: "Permissive", "Copyleft", "Proprietary Free" …
        is_osi: the Open Source Initiative has approved it.
        part_of: the licence that this text is only a part of (its appendix, its Chinese half); "" for a whole one.
        n_shingles: how many different ones it has.
    """

    key: str
    spdx: str
    name: str
    category: str
    is_osi: bool
    homepage: str
    part_of: str
    n_shingles: int


@dataclass(frozen=True, eq=False)
class Index:
    """``first`` has the place of each hash's first posting, and one more at the end."""

    licences: Sequence[Licence]
    by_key: Mapping[str, Licence]
    hashes: Hashes
    first: Hashes
    postings: Hashes
    source: str


@lru_cache(maxsize=1)
def described() -> tuple[Sequence[Licence], Mapping[str, Licence], str]:
    """What the licences are called, by their places and by key, and whose texts were read: without their shingles, which need more memory."""
    found: dict[str, Any] = orjson.loads((FOLDER / "licences.json").read_bytes())
    licences = tuple(Licence(**each) for each in found["licences"])
    return licences, {each.key: each for each in licences}, found["source"]


@lru_cache(maxsize=1)
def load() -> Index:
    """Read once for each process, when a text is first compared."""
    import numpy as np

    licences, by_key, source = described()
    data = (FOLDER / "index.bin").read_bytes()
    magic, n_hashes, n_postings, n_licences = HEAD.unpack_from(data)
    if magic != MAGIC or n_licences != len(licences):
        raise ValueError("index.bin and licences.json were not made together: run tools/license_index.py")
    at = HEAD.size
    hashes = np.frombuffer(data, "<u4", n_hashes, at)
    counts = np.frombuffer(data, "u1", n_hashes, at + 4 * n_hashes)
    postings = np.frombuffer(data, "<u2", n_postings, at + 5 * n_hashes)
    first = np.zeros(n_hashes + 1, dtype=np.int64)
    np.cumsum(counts, out=first[1:])
    return Index(licences, by_key, hashes, first, postings, source)


def find_licence(key: str) -> Licence | None:
    return described()[1].get(key)
