"""What is known of evaluations, as services give it out; and what tables are made of, which is arithmetic alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from headwater.compute import RunId
from headwater.kernel import CommitId, RepoId

CONFIDENCE = 0.95
Z = 1.959963984540054  # of the normal distribution, at (1 + CONFIDENCE) / 2: `statistics` takes long to import


@dataclass(frozen=True)
class Score:
    """One number of an evaluation. ``stderr`` is None where the harness gives none."""

    task: str
    metric: str
    filter: str
    is_group: bool
    is_main: bool
    ability: str
    version: str
    n_items: int | None
    value: float
    stderr: float | None
    is_higher_better: bool

    @property
    def key(self) -> tuple[str, str, str]:
        return self.task, self.metric, self.filter


@dataclass(frozen=True)
class Evaluation:
    """``endpoint`` where one was asked; the model is then what it served for the whole run, or None."""

    run_id: RunId
    model_repo_id: RepoId | None
    model_commit: CommitId | None
    endpoint: str | None
    suite_repo_id: RepoId
    suite_commit: CommitId
    results_repo_id: RepoId | None
    results_commit: CommitId | None
    results_folder: str
    command: str
    harness: str
    few_shot: int | None
    item_limit: int | None
    seed: int
    is_cut: bool
    reproduces: RunId | None
    ended_at: datetime
    scores: Sequence[Score] = field(default=())

    @property
    def subject(self) -> tuple[object, ...]:
        """What two evaluations must share to be of the same thing."""
        return (
            self.model_repo_id,
            self.model_commit,
            self.endpoint,
            self.suite_repo_id,
            self.suite_commit,
            self.few_shot,
            self.item_limit,
        )


@dataclass(frozen=True)
class Mean:
    """A mean with half the width of its confidence interval; None where a part of it has no standard error."""

    value: float
    stderr: float | None
    n_parts: int = 1

    @property
    def margin(self) -> float | None:
        return None if self.stderr is None else Z * self.stderr

    @property
    def low(self) -> float | None:
        """Scores are never below 0, whatever the interval is."""
        return None if self.margin is None else max(0.0, self.value - self.margin)

    @property
    def high(self) -> float | None:
        if self.margin is None:
            return None
        high = self.value + self.margin
        return min(1.0, high) if self.value <= 1 else high


def mean_of(score: Score) -> Mean:
    """A score as a mean of one part.

    Where every item got the same, the harness finds no error at all, which ten items of ten do not show. The error is then that
    of the interval that adds two items passed and two failed.

    Source: Agresti and Coull 1998, The American Statistician 52(2), 119-126 (for 95 %).
    """
    if score.stderr == 0 and score.n_items and score.value in (0.0, 1.0):
        n = score.n_items + 4
        share = (score.value * score.n_items + 2) / n
        return Mean(score.value, math.sqrt(share * (1 - share) / n))
    return Mean(score.value, score.stderr)


def unweighted(parts: Iterable[Mean]) -> Mean | None:
    """Each part counts the same, however many items it has; their errors are taken as independent. None of none."""
    found = list(parts)
    if not found:
        return None
    n = len(found)
    errors = [part.stderr for part in found]
    stderr = (
        None
        if any(each is None for each in errors)
        else math.sqrt(math.fsum(each**2 for each in errors if each is not None)) / n
    )
    return Mean(math.fsum(part.value for part in found) / n, stderr, n)


def by_ability(scores: Sequence[Score]) -> dict[str, Mean]:
    """The unweighted mean of the tasks of each ability; a task without one stands for itself.

    Only what is higher when it is better, and lies from 0 to 1, can be meant over: perplexities are left out.
    """
    parts: dict[str, list[Mean]] = {}
    for score in scores:
        if score.is_main and not score.is_group and score.is_higher_better and 0 <= score.value <= 1:
            parts.setdefault(score.ability or score.task, []).append(mean_of(score))
    return {name: mean for name, each in parts.items() if (mean := unweighted(each)) is not None}


def overall(abilities: Mapping[str, Mean]) -> Mean | None:
    """The unweighted mean of groups, as SuperCLUE takes it: each ability counts the same.

    Source: Xu et al. 2023, SuperCLUE, arXiv:2307.15020.
    """
    return unweighted(abilities.values())


@dataclass(frozen=True)
class Compared:
    """One score twice. ``deviations`` is their difference in standard errors of the difference; None where these are not known."""

    score: Score
    other: Score | None

    @property
    def difference(self) -> float | None:
        return None if self.other is None else self.other.value - self.score.value

    @property
    def is_same(self) -> bool:
        return self.other is not None and self.other.value == self.score.value

    @property
    def deviations(self) -> float | None:
        if self.other is None or self.score.stderr is None or self.other.stderr is None:
            return None
        error = math.hypot(self.score.stderr, self.other.stderr)
        return None if error == 0 else (self.other.value - self.score.value) / error

    @property
    def verdict(self) -> str:
        """``same``, ``close`` (within the confidence interval of the difference), ``differs``, or ``missing``."""
        if self.other is None:
            return "missing"
        if self.is_same:
            return "same"
        away = self.deviations
        return "close" if away is not None and abs(away) <= Z else "differs"


def compare(one: Sequence[Score], other: Sequence[Score]) -> list[Compared]:
    """Every score of the first beside that of the second; then those that only the second has, as missing ones are."""
    there = {score.key: score for score in other}
    return [Compared(score, there.get(score.key)) for score in one]
