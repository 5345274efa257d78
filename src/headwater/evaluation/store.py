"""Evaluations and their scores in SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, select

from headwater.compute import RunId
from headwater.db import Tx, insert
from headwater.evaluation.models import Evaluation, Score
from headwater.evaluation.tables import evaluation, evaluation_score
from headwater.kernel import CommitId, RepoId


def insert_evaluation(tx: Tx, found: Evaluation) -> None:
    values = {name: value for name, value in vars(found).items() if name != "scores"}
    tx.execute(insert(evaluation).values(**values))
    rows = [{"run_id": found.run_id, "place": place, **vars(score)} for place, score in enumerate(found.scores)]
    if rows:
        tx.execute(insert(evaluation_score), rows)


def exists(tx: Tx, run_id: int) -> bool:
    return tx.execute(select(evaluation.c.run_id).where(evaluation.c.run_id == run_id)).first() is not None


def list_evaluations(
    tx: Tx,
    *,
    run_ids: Collection[int] | None = None,
    model_repo_id: int | None = None,
    suite_repo_id: int | None = None,
    reproduces: Collection[int] | None = None,
    before: int | None = None,
    limit: int,
) -> list[Evaluation]:
    """The latest first, with their scores: two queries, whoever may see them."""
    query = select(evaluation)
    for column, value in (
        (evaluation.c.model_repo_id, model_repo_id),
        (evaluation.c.suite_repo_id, suite_repo_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if run_ids is not None:
        query = query.where(evaluation.c.run_id.in_(list(run_ids)))
    if reproduces is not None:
        query = query.where(evaluation.c.reproduces.in_(list(reproduces)))
    if before is not None:
        query = query.where(evaluation.c.run_id < before)
    rows = list(tx.execute(query.order_by(evaluation.c.run_id.desc()).limit(limit)))
    scores = _scores(tx, [row.run_id for row in rows])
    return [_from_row(row, scores[row.run_id]) for row in rows]


def _scores(tx: Tx, run_ids: Sequence[int]) -> dict[int, list[Score]]:
    found: dict[int, list[Score]] = {number: [] for number in run_ids}
    if not found:
        return found
    query = select(evaluation_score).where(evaluation_score.c.run_id.in_(list(found)))
    for row in tx.execute(query.order_by(evaluation_score.c.run_id, evaluation_score.c.place)):
        found[row.run_id].append(
            Score(
                task=row.task,
                metric=row.metric,
                filter=row.filter,
                is_group=bool(row.is_group),
                is_main=bool(row.is_main),
                ability=row.ability,
                version=row.version,
                n_items=row.n_items,
                value=row.value,
                stderr=row.stderr,
                is_higher_better=bool(row.is_higher_better),
            )
        )
    return found


def _from_row(row: Row[Any], scores: Sequence[Score]) -> Evaluation:
    def commit(value: str | None) -> CommitId | None:
        return None if value is None else CommitId(value)

    def repo(value: int | None) -> RepoId | None:
        return None if value is None else RepoId(value)

    return Evaluation(
        run_id=RunId(row.run_id),
        model_repo_id=repo(row.model_repo_id),
        model_commit=commit(row.model_commit),
        endpoint=row.endpoint,
        suite_repo_id=RepoId(row.suite_repo_id),
        suite_commit=CommitId(row.suite_commit),
        results_repo_id=repo(row.results_repo_id),
        results_commit=commit(row.results_commit),
        results_folder=row.results_folder,
        command=row.command,
        harness=row.harness,
        few_shot=row.few_shot,
        item_limit=row.item_limit,
        seed=row.seed,
        is_cut=bool(row.is_cut),
        reproduces=None if row.reproduces is None else RunId(row.reproduces),
        ended_at=row.ended_at,
        scores=scores,
    )
