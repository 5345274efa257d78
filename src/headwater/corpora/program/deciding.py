"""The part of a corpus for which all documents are looked at together: copies, near copies, the mixture.

Documents are numbered through all sources, in order. Memory: about 100 bytes a document, and for fuzzy de-duplication 450 more for each that is
still in; texts and signatures are mapped from files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headwater.corpora import recipe as recipes
from headwater.corpora.program import steps
from headwater.corpora.program.operators import exact, fuzzy, mixing
from headwater.corpora.program.problems import CannotBuild
from headwater.corpora.program.work import Work

S = TypeVar("S", bound=np.generic)
STAYS, EARLIER, EXACT, FUZZY, LEFT_OUT = range(5)
REASONS = {EXACT: "exact:copy", FUZZY: "fuzzy:near", LEFT_OUT: "mix:left_out"}


@dataclass(frozen=True)
class Decisions:
    """For each document why it goes (``EARLIER``: by a step before); ``twins`` is the document it is a copy of, or -1."""

    why: npt.NDArray[np.int8]
    twins: npt.NDArray[np.int64]
    jaccards: npt.NDArray[np.float32]
    sources: npt.NDArray[np.int32]
    n_verified: int = 0

    @property
    def stays(self) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = self.why == STAYS
        return found


def decide(
    work: Work, n_segments: int, recipe: recipes.CorpusRecipe, *, seed: int, tell: Callable[[str], None]
) -> Decisions:
    """What of the finished batches stays.

    Raises:
        CannotBuild: the mixture would be empty.
    """
    why_parts, source_parts, high_parts, low_parts = [], [], [], []
    for table in work.batches(n_segments):
        why_parts.append(np.where(_is_null(table["reason"]), STAYS, EARLIER).astype(np.int8))
        source_parts.append(table["source"].to_numpy())
        high_parts.append(table["key_high"].to_numpy())
        low_parts.append(table["key_low"].to_numpy())
    why = _joined(why_parts, np.int8)
    sources = _joined(source_parts, np.int32)
    twins = np.full(len(why), -1, np.int64)
    jaccards = np.zeros(len(why), np.float32)
    verified = 0
    if any(isinstance(step, recipes.Exact) for step in recipe.steps):
        tell("exact de-duplication")
        # What is out already has no key, so that nothing is a copy of it.
        firsts = exact.first_of_equal_pairs(_joined(high_parts, np.uint64), _joined(low_parts, np.uint64))
        copies = (firsts >= 0) & (why == STAYS)
        why[copies], twins[copies], jaccards[copies] = EXACT, firsts[copies], 1
    settings = steps.fuzzy_settings(recipe)
    if settings is not None:
        tell("fuzzy de-duplication")
        verified = _fuzzy(work, n_segments, settings, why, twins, jaccards)
    mix = next((step for step in recipe.steps if isinstance(step, recipes.Mix)), None)
    if mix is not None:
        tell("mixing")
        _mix(work, n_segments, recipe, mix, why, sources, seed)
    return Decisions(why, twins, jaccards, sources, verified)


def _is_null(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = column.is_null().to_numpy()
    return found


def _joined(parts: Sequence[npt.NDArray[S]], kind: type[S]) -> npt.NDArray[S]:
    return np.concatenate(parts) if parts else np.zeros(0, kind)


def _fuzzy(
    work: Work,
    n_segments: int,
    settings: fuzzy.FuzzySettings,
    why: npt.NDArray[np.int8],
    twins: npt.NDArray[np.int64],
    jaccards: npt.NDArray[np.float32],
) -> int:
    asked = np.flatnonzero(why == STAYS)
    if not len(asked):
        return 0
    folder = work.folder / "fuzzy"
    folder.mkdir(exist_ok=True)
    offsets, n_shingles = _lay_out(work, n_segments, why, folder, len(asked), settings.permutations)
    data = np.memmap(folder / "texts", np.uint8, "r") if offsets[-1] else np.zeros(0, np.uint8)
    signatures = np.memmap(folder / "signatures", np.uint32, "r", shape=(len(asked), settings.permutations))
    found = fuzzy.find_twins(data, offsets, fuzzy.Signatures(signatures, n_shingles), settings)
    near = found.twins_N >= 0
    why[asked[near]] = FUZZY
    twins[asked[near]] = asked[found.twins_N[near]]
    jaccards[asked[near]] = found.jaccards_N[near]
    del data, signatures
    for name in ("texts", "signatures"):
        (folder / name).unlink(missing_ok=True)
    return found.n_verified


def _lay_out(
    work: Work, n_segments: int, why: npt.NDArray[np.int8], folder: Path, n: int, permutations: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
    """Write the texts that are still in one behind the other, and their signatures, as the kernel reads them."""
    offsets = np.zeros(n + 1, np.int64)
    n_shingles = np.zeros(n, np.uint32)
    at = begin = 0
    with (folder / "texts").open("wb") as texts, (folder / "signatures").open("wb") as signatures:
        for table in work.batches(n_segments):
            rows = np.flatnonzero(why[begin : begin + len(table)] == STAYS)
            begin += len(table)
            if not len(rows):
                continue
            some = table.select(["text", "signature", "n_shingles"]).take(pa.array(rows)).combine_chunks()
            data, own = fuzzy.buffers_of(some["text"])
            texts.write(data[own[0] : own[-1]].data)
            offsets[at + 1 : at + 1 + len(rows)] = offsets[at] + own[1:] - own[0]
            n_shingles[at : at + len(rows)] = some["n_shingles"].to_numpy()
            empty = bytes(4 * permutations)
            signatures.writelines(cell or empty for cell in some["signature"].to_pylist())
            at += len(rows)
    return offsets, n_shingles


def _mix(
    work: Work,
    n_segments: int,
    recipe: recipes.CorpusRecipe,
    mix: recipes.Mix,
    why: npt.NDArray[np.int8],
    sources: npt.NDArray[np.int32],
    seed: int,
) -> None:
    tokens = np.zeros(len(why), np.int64)
    ranks = np.zeros(len(why), np.uint64)
    begin = 0
    for table in work.batches(n_segments):
        end = begin + len(table)
        rows = np.flatnonzero(why[begin:end] == STAYS)
        counts = table["n_tokens"].to_pylist()
        ids = table["id"].to_pylist()
        for row in rows:
            tokens[begin + row] = counts[row] or 0
            ranks[begin + row] = mixing.rank(seed, ids[row])
        begin = end
    names = [source.name for source in recipe.sources]
    totals = {name: int(tokens[(sources == n) & (why == STAYS)].sum()) for n, name in enumerate(names)}
    weights = {source.name: source.weight or 0.0 for source in recipe.sources}
    try:
        shares = mixing.shares(totals, weights, total=mix.max_tokens)
    except ValueError as exc:
        raise CannotBuild("mixture_empty", str(exc)) from exc
    for n, name in enumerate(names):
        rows = np.flatnonzero((sources == n) & (why == STAYS))
        chosen = np.array(mixing.choose(ranks[rows].tolist(), tokens[rows].tolist(), shares[name]), np.bool_)
        why[rows[~chosen]] = LEFT_OUT
