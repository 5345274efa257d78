"""What tables are made of: means with their errors, comparisons, and the lines of a leaderboard."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.compute import RunId
from headwater.evaluation.models import Evaluation, Mean, Score, by_ability, compare, overall, unweighted
from headwater.evaluation.program import judging
from headwater.evaluation.program.problems import CannotEvaluate
from headwater.evaluation.ranking import Asked, board
from headwater.evaluation.service import Shown
from headwater.kernel import CommitId, RepoId, utcnow

NOW = utcnow()


def score(task: str, value: float, stderr: float | None = 0.1, **more: Any) -> Score:
    given = {"metric": "acc", "filter": "none", "is_group": False, "is_main": True, "ability": task.partition("_")[0]}
    given |= {"version": "1", "n_items": 10, "is_higher_better": True}
    return Score(task=task, value=value, stderr=stderr, **(given | more))


def shown(number: int, name: str, scores: list[Score], **more: Any) -> Shown:
    facts: dict[str, Any] = {
        "run_id": RunId(number),
        "model_repo_id": RepoId(hash(name) % 1000 + 1),
        "model_commit": CommitId("1" * 40),
        "endpoint": None,
        "suite_repo_id": RepoId(1),
        "suite_commit": CommitId("a" * 40),
        "results_repo_id": None,
        "results_commit": None,
        "results_folder": "",
        "command": "",
        "harness": "",
        "few_shot": None,
        "item_limit": None,
        "seed": 1,
        "is_cut": False,
        "reproduces": None,
        "ended_at": NOW + timedelta(minutes=number),
        "scores": scores,
    }
    found = Evaluation(**(facts | more))
    return Shown(found, SimpleNamespace(id=number), SimpleNamespace(name=name), SimpleNamespace(), None)  # type: ignore[arg-type]


def test_groups_count_the_same_however_many_tasks_they_have() -> None:
    scores = [score("a_1", 1.0), score("a_2", 0.0), score("b_1", 1.0), score("ppl", 17.0, is_higher_better=False)]
    abilities = by_ability(scores)
    assert {name: mean.value for name, mean in abilities.items()} == {"a": 0.5, "b": 1.0}
    total = overall(abilities)
    assert total is not None
    assert total.value == 0.75
    assert abilities["a"].stderr == pytest.approx(math.sqrt(0.02) / 2)
    assert total.stderr == pytest.approx(math.sqrt(abilities["a"].stderr ** 2 + 0.01) / 2)
    assert total.high - total.value == pytest.approx(1.96 * total.stderr, rel=1e-3)


def test_items_that_all_got_the_same_are_no_certainty() -> None:
    (mean,) = by_ability([score("a_1", 1.0, 0.0)]).values()
    share = 12 / 14
    assert mean.value == 1.0
    assert mean.stderr == pytest.approx(math.sqrt(share * (1 - share) / 14))
    assert mean.high == 1.0
    assert mean.low == pytest.approx(1 - 1.96 * mean.stderr, rel=1e-3)


def test_an_unknown_error_makes_that_of_the_mean_unknown() -> None:
    assert unweighted([Mean(0.5, None), Mean(0.7, 0.1)]) == Mean(0.6, None, 2)
    assert unweighted([]) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.5)), min_size=1, max_size=30))
def test_a_mean_lies_within_its_parts_and_is_no_less_sure_than_they_are(parts: list[tuple[float, float]]) -> None:
    mean = unweighted([Mean(*part) for part in parts])
    assert mean is not None
    assert min(value for value, _ in parts) - 1e-9 <= mean.value <= max(value for value, _ in parts) + 1e-9
    assert mean.stderr is not None
    assert mean.stderr <= max(error for _, error in parts) + 1e-9


def test_a_comparison_says_whether_both_are_the_same() -> None:
    one = [score("a", 0.5), score("b", 0.5), score("c", 0.5), score("d", 0.5, None), score("e", 0.5)]
    other = [score("a", 0.5), score("b", 0.6), score("c", 0.9), score("d", 0.6)]
    assert [each.verdict for each in compare(one, other)] == ["same", "close", "differs", "differs", "missing"]


def test_a_board_sorts_filters_and_ranks_what_was_asked_alike() -> None:
    good, bad = [score("a_1", 0.9), score("b_1", 0.8)], [score("a_1", 0.2), score("b_1", 0.9)]
    found = [
        shown(5, "ada/part", [score("a_1", 1.0), score("b_1", 1.0)], item_limit=2),
        shown(4, "ada/other-tasks", [score("a_2", 1.0), score("b_2", 1.0)]),
        shown(3, "ada/good", good),
        shown(2, "bob/bad", bad),
        shown(1, "ada/good", bad),
    ]
    made = board(found, Asked())
    assert [(line.place, line.shown.name) for line in made.lines] == [(1, "ada/good"), (2, "bob/bad")]
    assert made.n_partial == 1
    assert [(len(each.tasks), each.n_lines) for each in made.sets] == [(2, 2), (2, 1)]
    assert list(made.columns) == ["a", "b"]
    by_b = board(found, Asked(sort="b"))
    assert [line.shown.name for line in by_b.lines] == ["bob/bad", "ada/good"]
    assert [line.place for line in by_b.lines] == [2, 1]
    assert [line.shown.name for line in board(found, Asked(sort="name", ascending=True)).lines] == [
        "ada/good",
        "bob/bad",
    ]
    assert [line.shown.run.id for line in board(found, Asked(every=True)).lines] == [3, 2, 1]
    assert [line.place for line in board(found, Asked(partial=True)).lines] == [None, 1, 2]
    assert [line.shown.name for line in board(found, Asked(name="BOB")).lines] == ["bob/bad"]
    assert list(board(found, Asked(by="task")).columns) == ["a_1", "b_1"]
    other = board(found, Asked(tasks=made.sets[1].key))
    assert [line.shown.name for line in other.lines] == ["ada/other-tasks"]
    newer = [shown(9, "bob/bad", good, suite_commit=CommitId("b" * 40)), *found]
    assert [line.shown.run.id for line in board(newer, Asked()).lines] == [9]
    assert [line.shown.run.id for line in board(newer, Asked(commit="a" * 40)).lines] == [3, 2]
    assert {line.place for line in board(newer, Asked(commit="all")).lines} == {None}
    assert board([], Asked()).lines == []


def test_lines_of_equal_value_share_their_place() -> None:
    same = [score("a_1", 0.5)]
    found = [shown(1, "x/x", same), shown(2, "y/y", same), shown(3, "z/z", [score("a_1", 0.4)])]
    assert sorted(line.place or 0 for line in board(found, Asked()).lines) == [1, 1, 3]


def test_two_ways_of_asking_one_model_are_two_lines() -> None:
    first = shown(1, "x/x", [score("a_1", 0.5)])
    five = replace(first.evaluation, run_id=RunId(2), few_shot=5)
    made = board([first, replace(first, evaluation=five, run=SimpleNamespace(id=2))], Asked())  # type: ignore[arg-type]
    assert len(made.lines) == 2


@pytest.mark.parametrize(
    "target", ["no JSON", "[]", "{}", '{"form": "open", "check": {"kind": "magic"}}', '{"form": "open"}']
)
def test_an_item_without_a_check_ends_the_run_with_its_reason(target: str) -> None:
    with pytest.raises(CannotEvaluate, match="no check that is known"):
        judging.checked([target], ["an answer"])


def test_an_item_is_judged_by_its_own_check() -> None:
    target = '{"form": "open", "check": {"kind": "number", "value": 4}}'
    assert judging.checked([target], ["2 + 2 = 4"]) == 1
    assert judging.checked([target], ["5"]) == 0
