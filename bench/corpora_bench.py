"""Fuzzy de-duplication of real Chinese and English text with injected copies: speed from Arrow in memory to which rows stay, and how right that is.

Recall: of the injected pairs whose true similarity is at least 0.7, how many do not both stay. Precision: of the rows that go, how many have a row that stays with
a true similarity of at least 0.7. What is true is computed with Python's sets. Compiling is not counted: it happens once a machine.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from bench import corpus_text, near_copies
from bench.harness import Report
from headwater.corpora.program.operators import fuzzy

GOAL_MB, GOAL_RECALL, GOAL_PRECISION = 40.0, 0.95, 0.998
THRESHOLD = 0.7
ROUNDS = 3


@dataclass(frozen=True)
class Measured:
    documents: int
    mb: float
    mb_per_cpu_s: list[float]
    recall: float
    precision: float
    near_pairs: int
    gone: int
    verified: int


def measure(limit_mb: float | None = None) -> Measured:
    base = corpus_text.documents(None if limit_mb is None else int(limit_mb * 1e6))
    injected = near_copies.inject(base)
    column = pa.array(injected.texts, pa.large_string())
    mb = sum(len(text.encode()) for text in injected.texts) / 1e6
    fuzzy.deduplicate(column.slice(0, 50))  # compiles
    speeds = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        found = fuzzy.deduplicate(column)
        speeds.append(mb / (time.process_time() - begun))
    near = [(i, j) for i, j, similarity in injected.pairs if similarity >= THRESHOLD]
    stays = found.twins_N < 0
    recall = sum(not (stays[i] and stays[j]) for i, j in near) / max(1, len(near))
    gone = np.flatnonzero(~stays)
    right = sum(
        stays[found.twins_N[row]]
        and near_copies.jaccard(injected.texts[row], injected.texts[found.twins_N[row]]) >= THRESHOLD
        for row in gone
    )
    return Measured(
        len(injected.texts), mb, speeds, recall, right / max(1, len(gone)), len(near), len(gone), found.n_verified
    )


def run(report: Report) -> None:
    found = measure()
    speed = statistics.median(found.mb_per_cpu_s)
    report.add(
        f"Fuzzy de-duplication, {found.mb:.0f} MB of zh and en text ({found.documents:,} documents, {found.near_pairs:,} injected pairs)",
        f"{speed:.0f} MB per CPU s ({min(found.mb_per_cpu_s):.0f} to {max(found.mb_per_cpu_s):.0f})",
        f"≥ {GOAL_MB:.0f}",
        met=speed >= GOAL_MB,
    )
    report.add(
        "… its recall at similarity ≥ 0.7", f"{found.recall:.4f}", f"≥ {GOAL_RECALL}", met=found.recall >= GOAL_RECALL
    )
    report.add(
        "… its precision", f"{found.precision:.4f}", f"≥ {GOAL_PRECISION}", met=found.precision >= GOAL_PRECISION
    )


if __name__ == "__main__":
    own = Report()
    run(own)
    print(own.markdown())
