"""Decontamination: documents that hold what models are to be tested with.

An item of an evaluation dataset contaminates a document when a run of ``n`` of its units (``units``: words, or characters of Chinese) stands there. An item
shorter than that counts as a whole if it has at least ``min_units``; shorter ones would match anything, and how many there were is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headwater.corpora.program.operators.compiled import kernel
from headwater.corpora.program.operators.documents import Documents
from headwater.corpora.program.operators.units import run_hash, texts_units, units


@kernel
def _first_hit(data: Any, start: int, end: int, lengths: Any, keys: Any, owners: Any, hashes: Any, sizes: Any) -> int:
    n_units = units(data, start, end, hashes, sizes)
    mask = np.uint64(keys.shape[0] - 1)
    for which in range(lengths.shape[0]):
        n = lengths[which]
        for at in range(n_units - n + 1):
            key = run_hash(hashes, at, n)
            slot = (key >> np.uint64(7)) & mask
            while keys[slot] != 0:
                if keys[slot] == key:
                    return int(owners[slot])
                slot = (slot + np.uint64(1)) & mask
    return -1


@kernel
def _insert(hashes: Any, n: int, owner: int, keys: Any, owners: Any) -> None:
    mask = np.uint64(keys.shape[0] - 1)
    for at in range(hashes.shape[0] - n + 1):
        key = run_hash(hashes, at, n)
        slot = (key >> np.uint64(7)) & mask
        while keys[slot] != 0 and keys[slot] != key:
            slot = (slot + np.uint64(1)) & mask
        if keys[slot] == 0:
            keys[slot] = key
            owners[slot] = owner


@dataclass(frozen=True)
class Item:
    """One text of an evaluation dataset, and where it stands there."""

    name: str
    text: str


class Contamination:
    """Reason: ``contamination:<dataset>``; the fact ``contaminated_by`` names the item."""

    def __init__(self, dataset: str, items: Iterable[Item], *, n: int = 13, min_units: int = 8) -> None:
        self.dataset = dataset
        self.name = "contamination"
        self.n_too_short = 0
        self._names: list[str] = []
        rows: list[tuple[npt.NDArray[np.uint64], int, int]] = []
        for item in items:
            data = np.frombuffer(item.text.encode("utf-8", "replace"), np.uint8)
            hashes, _ = texts_units(data, 0, len(data))
            if len(hashes) < min_units:
                self.n_too_short += 1
                continue
            rows.append((hashes, min(n, len(hashes)), len(self._names)))
            self._names.append(item.name)
        self.n_items = len(self._names)
        if not rows:
            raise ValueError(
                f"The evaluation dataset {dataset!r} has no text of at least {min_units} words or characters "
                f"({self.n_too_short} shorter ones): decontamination would find nothing."
            )
        runs = sum(len(hashes) - length + 1 for hashes, length, _ in rows)
        room = 1024
        while room < 2 * runs:
            room *= 2
        self._keys = np.zeros(room, np.uint64)
        self._owners = np.zeros(room, np.int64)
        for hashes, length, owner in rows:
            _insert(hashes, length, owner, self._keys, self._owners)
        # The usual length first: most hits are of that one.
        self._lengths = np.array(sorted({length for _, length, _ in rows}, reverse=True), np.int64)

    def __call__(self, documents: Documents) -> None:
        found = documents.fact("contaminated_by")
        for row in documents.staying():
            item = self.item_in(documents.texts[row])
            if item is not None:
                found[row] = f"{self.dataset}#{item}"
                documents.drop(row, f"{self.name}:{self.dataset}")

    def item_in(self, text: str) -> str | None:
        data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
        hashes = np.empty(len(data) + 1, np.uint64)
        sizes = np.empty(len(data) + 1, np.int64)
        owner = _first_hit(data, 0, len(data), self._lengths, self._keys, self._owners, hashes, sizes)
        return None if owner < 0 else self._names[owner]
