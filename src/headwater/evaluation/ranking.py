"""Leaderboards: the lines of a suite's table out of its evaluations; sorting, grouping and filtering, and no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from headwater.compute.models import RunId
from headwater.evaluation.models import Mean, by_ability, mean_of, overall
from headwater.evaluation.service import Shown, latest_of_each

TOTAL = "total"
BY = ("ability", "task")


@dataclass(frozen=True)
class Line:
    """``place`` counts only what is whole: a line on some of the items has None."""

    shown: Shown
    place: int | None
    total: Mean | None
    cells: Mapping[str, Mean]


@dataclass(frozen=True)
class Asked:
    """What a reader wants to see. ``commit`` is of the suite: "" is the latest that was evaluated, "all" every one."""

    by: str = BY[0]
    sort: str = TOTAL
    ascending: bool = False
    name: str = ""
    commit: str = ""
    tasks: str = ""  # key of a set of tasks; "" is the one that most lines have
    every: bool = False  # not only the latest of each
    partial: bool = False  # those on some of the items, too


@dataclass(frozen=True)
class Tasks:
    """Tasks with their versions that several lines were asked: only these can be put into an order."""

    key: str
    tasks: Sequence[str]
    n_lines: int


@dataclass(frozen=True)
class Board:
    asked: Asked
    columns: Sequence[str]
    lines: Sequence[Line]
    commits: Sequence[str] = field(default=())
    sets: Sequence[Tasks] = field(default=())
    n_partial: int = 0


def cells_of(shown: Shown, by: str) -> dict[str, Mean]:
    """Columns of one line: abilities, or each task by itself."""
    scores = shown.evaluation.scores
    if by == "ability":
        return by_ability(scores)
    return {score.task: mean_of(score) for score in scores if score.is_main and not score.is_group}


def key_of(shown: Shown) -> str:
    """Of the tasks and versions that were asked; evaluations with the same key asked the same."""
    asked = sorted(f"{score.task}\0{score.version}" for score in shown.evaluation.scores if not score.is_group)
    return hashlib.sha256("\n".join(dict.fromkeys(asked)).encode()).hexdigest()[:12]


def _sets(lines: Sequence[Shown]) -> list[Tasks]:
    """Those that most lines have first; of as many, the larger ones."""
    by_key: dict[str, list[Shown]] = {}
    for each in lines:
        by_key.setdefault(key_of(each), []).append(each)
    found = [
        Tasks(key, sorted({score.task for score in each[0].evaluation.scores if not score.is_group}), len(each))
        for key, each in by_key.items()
    ]
    return sorted(found, key=lambda one: (-one.n_lines, -len(one.tasks), one.key))


def board(found: Sequence[Shown], asked: Asked) -> Board:
    """The table. ``total`` is the unweighted mean of abilities however the columns are chosen.

    Its lines were all asked the same tasks in the same versions: an order of others would be of different things. Places are given
    among the lines of one commit of the suite.
    """
    commits = list(dict.fromkeys(each.evaluation.suite_commit for each in found))
    chosen = asked.commit or (commits[0] if commits else "")
    lines = [each for each in found if chosen in ("all", each.evaluation.suite_commit)]
    n_partial = sum(each.evaluation.item_limit is not None for each in lines)
    if not asked.partial:
        lines = [each for each in lines if each.evaluation.item_limit is None]
    if not asked.every:
        lines = latest_of_each(lines)
    sets = _sets(lines)
    wanted = asked.tasks if asked.tasks in {one.key for one in sets} else sets[0].key if sets else ""
    asked = replace(asked, tasks=wanted)
    lines = [each for each in lines if key_of(each) == wanted]
    totals = {each.run.id: overall(by_ability(each.evaluation.scores)) for each in lines}
    cells = {each.run.id: cells_of(each, asked.by) for each in lines}
    columns = sorted({name for each in cells.values() for name in each})
    ranked = sorted(
        (each for each in lines if _has_place(each, totals) and chosen != "all"),
        key=lambda each: -(totals[each.run.id] or Mean(0, None)).value,
    )
    values = [(totals[each.run.id] or Mean(0, None)).value for each in ranked]
    places = {each.run.id: 1 + values.index(value) for each, value in zip(ranked, values, strict=True)}
    lines = [each for each in lines if asked.name.casefold() in each.name.casefold()]

    def key(each: Shown) -> tuple[bool, float | str]:
        if asked.sort == "name":
            return False, each.name.casefold()
        if asked.sort == "date":
            return False, each.evaluation.ended_at.timestamp()
        mean = totals[each.run.id] if asked.sort == TOTAL else cells[each.run.id].get(asked.sort)
        if mean is None:
            return True, 0.0
        return False, mean.value

    known = [each for each in lines if not key(each)[0]]
    unknown = [each for each in lines if key(each)[0]]
    known.sort(key=lambda each: key(each)[1], reverse=not asked.ascending)
    return Board(
        asked,
        columns,
        [Line(each, places.get(each.run.id), totals[each.run.id], cells[each.run.id]) for each in [*known, *unknown]],
        commits,
        sets,
        n_partial,
    )


def _has_place(each: Shown, totals: Mapping[RunId, Mean | None]) -> bool:
    return totals[each.run.id] is not None and each.evaluation.item_limit is None
