"""Runs, their inputs, outputs and commits."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, exists, func, or_, select, update

from headwater.accounts import Visibility
from headwater.compute.models import Need, RunId, State
from headwater.compute.rows import Commit, Output, Run, RunHost, RunInput
from headwater.compute.tables import run, run_commit, run_input, run_output
from headwater.db import Tx, insert
from headwater.hub.tables.repositories import repository
from headwater.kernel import AccountId, CommitId, RepoId


def _has_repository(which: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether such a repository is among what the run reads and writes, or holds its recipe."""
    return or_(
        exists().where(run_input.c.run_id == run.c.id, run_input.c.repo_id == repository.c.id, which),
        exists().where(run_output.c.run_id == run.c.id, run_output.c.repo_id == repository.c.id, which),
        exists().where(repository.c.id == run.c.recipe_repo_id, which),
    )


# A run is private while any repository of it is.
_HAS_PRIVATE = or_(run.c.is_private, _has_repository(repository.c.is_private))
_WITH_PRIVACY = select(run, _HAS_PRIVATE.label("is_hidden"))


def from_row(row: Row[Any]) -> Run:
    return Run(
        id=RunId(row.id),
        kind=row.kind,
        name=row.name,
        state=State(row.state),
        owner_id=AccountId(row.owner_id),
        created_by=AccountId(row.created_by),
        is_private=bool(row.is_hidden),
        priority=row.priority,
        recipe_text=row.recipe_text,
        recipe_digest=row.recipe_digest,
        recipe_repo_id=None if row.recipe_repo_id is None else RepoId(row.recipe_repo_id),
        recipe_commit=None if row.recipe_commit is None else CommitId(row.recipe_commit),
        recipe_path=row.recipe_path,
        resolved=row.resolved,
        need=Need(row.cpus, row.memory_bytes, row.gpus, row.chip, row.time_limit_s),
        retries=row.retries,
        n_attempts=row.n_attempts,
        n_losses=row.n_losses,
        parent_id=None if row.parent_id is None else RunId(row.parent_id),
        reason_code=row.reason_code,
        reason=row.reason,
        result=row.result,
        progress=row.progress,
        energy=row.energy,
        environment=row.environment,
        usage=row.usage,
        n_points=row.n_points,
        n_log_bytes=row.n_log_bytes,
        cancel_requested_at=row.cancel_requested_at,
        created_at=row.created_at,
        due_at=row.due_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )


def insert_run(tx: Tx, values: Mapping[str, Any]) -> RunId:
    made = tx.execute(insert(run).values(**values).returning(run.c.id)).scalar_one()
    return RunId(made)


def insert_parts(tx: Tx, run_id: RunId, inputs: Sequence[RunInput], outputs: Sequence[Output]) -> None:
    for each in inputs:
        tx.execute(
            insert(run_input).values(
                run_id=run_id,
                name=each.name,
                repo_id=each.repo_id,
                repo_path=each.repo_path,
                revision=each.revision,
                commit_id=each.commit,
            )
        )
    for one in outputs:
        tx.execute(
            insert(run_output).values(
                run_id=run_id, name=one.name, repo_id=one.repo_id, repo_path=one.repo_path, is_private=one.is_private
            )
        )


def find_run(tx: Tx, run_id: int) -> Run | None:
    row = tx.execute(_WITH_PRIVACY.where(run.c.id == run_id)).first()
    return None if row is None else from_row(row)


def update_run(tx: Tx, run_id: RunId, **values: Any) -> None:
    tx.execute(update(run).where(run.c.id == run_id).values(**values))


def list_runs(
    tx: Tx,
    seen: Visibility,
    *,
    states: Collection[State] = (),
    kind: str | None = None,
    owner_id: int | None = None,
    repo_id: int | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Run]:
    """The latest first."""
    query = _WITH_PRIVACY.where(_is_seen(seen))
    if states:
        query = query.where(run.c.state.in_([state.value for state in states]))
    if kind is not None:
        query = query.where(run.c.kind == kind)
    if owner_id is not None:
        query = query.where(run.c.owner_id == owner_id)
    if repo_id is not None:
        query = query.where(
            or_(
                exists().where(run_input.c.run_id == run.c.id, run_input.c.repo_id == repo_id),
                exists().where(run_output.c.run_id == run.c.id, run_output.c.repo_id == repo_id),
            )
        )
    if before is not None:
        query = query.where(run.c.id < before)
    return [from_row(row) for row in tx.execute(query.order_by(run.c.id.desc()).limit(limit))]


def find_many(tx: Tx, seen: Visibility, ids: Collection[int]) -> list[Run]:
    """Those of these that may be seen, in the order asked for."""
    rows = tx.execute(_WITH_PRIVACY.where(run.c.id.in_(list(ids)), _is_seen(seen)))
    found = {row.id: from_row(row) for row in rows}
    return [found[number] for number in ids if number in found]


def _is_seen(seen: Visibility) -> ColumnElement[bool]:
    # A run is no repository: of a fine-grained token's grants only those on whole accounts reach it.
    if seen.owner_ids is None:
        return and_(True)
    # What a private repository is read for says what is in it: whoever may not see all of them does not see the run.
    shown = seen.where(owner_id=repository.c.owner_id, repo_id=repository.c.id, is_private=repository.c.is_private)
    return or_(~_HAS_PRIVATE, and_(run.c.owner_id.in_(sorted(seen.owner_ids)), ~_has_repository(~shown)))


def has_foreign(tx: Tx, run_id: int, owner_id: int) -> bool:
    """Whether a private repository of the run belongs to somebody else than this owner."""
    query = select(run.c.id).where(
        run.c.id == run_id, _has_repository(and_(repository.c.is_private, repository.c.owner_id != owner_id))
    )
    return tx.execute(query).first() is not None


def inputs_of(tx: Tx, ids: Collection[int]) -> dict[int, list[RunInput]]:
    found: dict[int, list[RunInput]] = {number: [] for number in ids}
    rows = tx.execute(select(run_input).where(run_input.c.run_id.in_(list(ids))).order_by(run_input.c.name))
    for row in rows:
        found[row.run_id].append(
            RunInput(row.name, RepoId(row.repo_id), row.repo_path, row.revision, CommitId(row.commit_id))
        )
    return found


def outputs_of(tx: Tx, ids: Collection[int]) -> dict[int, list[Output]]:
    found: dict[int, list[Output]] = {number: [] for number in ids}
    rows = tx.execute(select(run_output).where(run_output.c.run_id.in_(list(ids))).order_by(run_output.c.name))
    for row in rows:
        repo_id = None if row.repo_id is None else RepoId(row.repo_id)
        found[row.run_id].append(Output(row.name, repo_id, row.repo_path, bool(row.is_private)))
    return found


def set_output_repository(tx: Tx, run_id: RunId, name: str, repo_id: int) -> None:
    tx.execute(
        update(run_output).where(run_output.c.run_id == run_id, run_output.c.name == name).values(repo_id=repo_id)
    )


def insert_commit(tx: Tx, made: Commit) -> None:
    tx.execute(
        insert(run_commit).values(
            run_id=made.run_id,
            output=made.output,
            attempt=made.attempt,
            repo_id=made.repo_id,
            commit_id=made.commit,
            revision=made.revision,
            files=made.files,
            made_at=made.made_at,
        )
    )


def commits_of(tx: Tx, run_id: RunId) -> list[Commit]:
    rows = tx.execute(select(run_commit).where(run_commit.c.run_id == run_id).order_by(run_commit.c.id))
    return [_commit(row) for row in rows]


def commits_in(tx: Tx, repo_id: int, commits: Iterable[str]) -> list[Commit]:
    """What runs have put into a repository, of these commits."""
    rows = tx.execute(
        select(run_commit)
        .where(run_commit.c.repo_id == repo_id, run_commit.c.commit_id.in_(list(commits)))
        .order_by(run_commit.c.id)
    )
    return [_commit(row) for row in rows]


def latest_commits(tx: Tx, repo_id: int, limit: int) -> list[Commit]:
    rows = tx.execute(
        select(run_commit).where(run_commit.c.repo_id == repo_id).order_by(run_commit.c.id.desc()).limit(limit)
    )
    return [_commit(row) for row in rows]


def numbers_around(tx: Tx, repo_ids: Collection[int], limit: int) -> list[int]:
    """Runs that read one of these repositories, or put something into it, the latest first."""
    ids = list(repo_ids)
    made = select(run_commit.c.run_id).where(run_commit.c.repo_id.in_(ids))
    read = select(run_input.c.run_id).where(run_input.c.repo_id.in_(ids))
    found = made.union(read).subquery()
    return [row.run_id for row in tx.execute(select(found.c.run_id).order_by(found.c.run_id.desc()).limit(limit))]


def made_by_many(tx: Tx, ids: Collection[int]) -> dict[int, list[RepoId]]:
    """Of each run the repositories that it has put something into."""
    found: dict[int, list[RepoId]] = {number: [] for number in ids}
    query = select(run_commit.c.run_id, run_commit.c.repo_id).where(run_commit.c.run_id.in_(list(ids))).distinct()
    for row in tx.execute(query):
        found[row.run_id].append(RepoId(row.repo_id))
    return found


def _commit(row: Row[Any]) -> Commit:
    return Commit(
        RunId(row.run_id),
        row.output,
        row.attempt,
        RepoId(row.repo_id),
        CommitId(row.commit_id),
        row.revision,
        row.files,
        row.made_at,
    )


def count_active(tx: Tx) -> dict[str, int]:
    """How many wait and how many are at work, by state."""
    going = [state.value for state in State if not state.is_over]
    rows = tx.execute(select(run.c.state, func.count().label("n")).where(run.c.state.in_(going)).group_by(run.c.state))
    return {row.state: row.n for row in rows}


@dataclass(frozen=True)
class Waiting:
    """Of a run that waits, what the queue looks at."""

    id: RunId
    owner_id: AccountId
    priority: int
    need: Need
    due_at: datetime


def count_waiting(tx: Tx, column: str, account_id: int) -> int:
    """How many wait of those that have this account as their ``owner_id`` or ``created_by``."""
    query = select(func.count()).where(run.c.state == State.QUEUED.value, run.c[column] == account_id)
    return int(tx.execute(query).scalar_one())


def due(tx: Tx, host: RunHost, now: datetime, *, each: int = 100, limit: int = 2000) -> list[Waiting]:
    """Those that wait, may begin and fit on this host where it is empty: of each owner the first ones, so that nobody's
    queue hides another's.
    """
    columns = (
        run.c.id,
        run.c.owner_id,
        run.c.priority,
        run.c.cpus,
        run.c.memory_bytes,
        run.c.gpus,
        run.c.chip,
        run.c.due_at,
    )
    order = (run.c.priority.desc(), run.c.id)
    place = func.row_number().over(partition_by=run.c.owner_id, order_by=order).label("place")
    waiting = (
        select(*columns, place)
        .where(
            run.c.state == State.QUEUED.value,
            run.c.due_at <= now,
            run.c.cpus <= host.cpus,
            run.c.memory_bytes <= host.memory_bytes,
            run.c.gpus <= host.gpus,
            or_(run.c.chip.is_(None), run.c.chip == host.chip),
        )
        .subquery()
    )
    rows = tx.execute(
        select(waiting)
        .where(waiting.c.place <= each)
        .order_by(waiting.c.place, waiting.c.priority.desc(), waiting.c.id)
        .limit(limit)
    )
    return [
        Waiting(
            RunId(row.id),
            AccountId(row.owner_id),
            row.priority,
            Need(row.cpus, row.memory_bytes, row.gpus, row.chip),
            row.due_at,
        )
        for row in rows
    ]


def has_due(tx: Tx, now: datetime) -> bool:
    query = select(run.c.id).where(run.c.state == State.QUEUED.value, run.c.due_at <= now).limit(1)
    return tx.execute(query).first() is not None


def over_before(tx: Tx, ids: Collection[int], moment: datetime) -> list[RunId]:
    """Those of these that ended before this moment, or that are not known."""
    rows = {
        row.id: row for row in tx.execute(select(run.c.id, run.c.state, run.c.ended_at).where(run.c.id.in_(list(ids))))
    }
    return [
        RunId(number)
        for number in ids
        if number not in rows
        or (State(rows[number].state).is_over and rows[number].ended_at is not None and rows[number].ended_at < moment)
    ]
