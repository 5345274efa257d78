"""Attempts, the leases they are held by, hosts and quotas."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select, update

from headwater.compute.models import RunId, State
from headwater.compute.rows import Attempt, RunHost
from headwater.compute.tables import run, run_attempt, run_host, run_quota
from headwater.db import Tx, insert

_ACTIVE = (State.STARTING.value, State.RUNNING.value)


def insert_attempt(tx: Tx, run_id: RunId, values: dict[str, Any]) -> None:
    tx.execute(insert(run_attempt).values(run_id=run_id, **values))


def _attempt(row: Row[Any]) -> Attempt:
    return Attempt(
        number=row.number,
        state=State(row.state),
        runner=row.runner,
        host_id=row.host_id,
        token_id=row.token_id,
        remote_id=row.remote_id,
        lease_until=row.lease_until,
        reason_code=row.reason_code,
        reason=row.reason,
        exit_code=row.exit_code,
        usage=row.usage,
        reported_at=row.reported_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
    )


def attempts_of(tx: Tx, run_id: RunId) -> list[Attempt]:
    rows = tx.execute(select(run_attempt).where(run_attempt.c.run_id == run_id).order_by(run_attempt.c.number))
    return [_attempt(row) for row in rows]


def find_attempt(tx: Tx, run_id: RunId, number: int) -> Attempt | None:
    row = tx.execute(select(run_attempt).where(run_attempt.c.run_id == run_id, run_attempt.c.number == number)).first()
    return None if row is None else _attempt(row)


def find_by_token(tx: Tx, run_id: int, token_id: int) -> Attempt | None:
    """The active attempt of this run that this token was given to."""
    row = tx.execute(
        select(run_attempt).where(
            run_attempt.c.run_id == run_id, run_attempt.c.token_id == token_id, run_attempt.c.state.in_(_ACTIVE)
        )
    ).first()
    return None if row is None else _attempt(row)


def update_attempt(tx: Tx, run_id: RunId, number: int, **values: Any) -> None:
    tx.execute(
        update(run_attempt).where(run_attempt.c.run_id == run_id, run_attempt.c.number == number).values(**values)
    )


def delete_attempt(tx: Tx, run_id: RunId, number: int) -> None:
    """One of which nothing ever began."""
    tx.execute(delete(run_attempt).where(run_attempt.c.run_id == run_id, run_attempt.c.number == number))


def active_of_host(tx: Tx, host_id: str) -> list[tuple[RunId, Attempt]]:
    rows = tx.execute(select(run_attempt).where(run_attempt.c.host_id == host_id, run_attempt.c.state.in_(_ACTIVE)))
    return [(RunId(row.run_id), _attempt(row)) for row in rows]


def expired(tx: Tx, now: datetime) -> list[tuple[RunId, Attempt]]:
    rows = tx.execute(
        select(run_attempt).where(run_attempt.c.state.in_(_ACTIVE), run_attempt.c.lease_until < now).limit(100)
    )
    return [(RunId(row.run_id), _attempt(row)) for row in rows]


def cancelled_among(tx: Tx, ids: Sequence[RunId]) -> set[int]:
    """Those of these runs that somebody wants to end."""
    query = select(run.c.id).where(run.c.id.in_(list(ids)), run.c.cancel_requested_at.is_not(None))
    return set(tx.execute(query).scalars())


def in_use(tx: Tx) -> list[Row[Any]]:
    """What each active attempt holds, of whom and where."""
    rows: list[Row[Any]] = tx.execute(
        select(run.c.id, run.c.owner_id, run.c.cpus, run.c.memory_bytes, run.c.gpus, run_attempt.c.host_id)
        .join(run_attempt, (run_attempt.c.run_id == run.c.id) & (run_attempt.c.number == run.c.n_attempts))
        .where(run_attempt.c.state.in_(_ACTIVE))
    ).all()
    return rows


def save_host(tx: Tx, host: RunHost) -> None:
    values = {
        "name": host.name,
        "runner": host.runner,
        "cpus": host.cpus,
        "memory_bytes": host.memory_bytes,
        "gpus": host.gpus,
        "chip": host.chip,
        "extras": host.extras,
        "seen_at": host.seen_at,
    }
    made = insert(run_host).values(id=host.id, **values)
    tx.execute(made.on_conflict_do_update(index_elements=["id"], set_=values))


def hosts_seen_since(tx: Tx, moment: datetime) -> list[RunHost]:
    rows = tx.execute(select(run_host).where(run_host.c.seen_at >= moment).order_by(run_host.c.name, run_host.c.id))
    return [
        RunHost(row.id, row.name, row.runner, row.cpus, row.memory_bytes, row.gpus, row.chip, row.extras, row.seen_at)
        for row in rows
    ]


def quotas(tx: Tx) -> dict[int, Row[Any]]:
    return {row.account_id: row for row in tx.execute(select(run_quota))}


def save_quota(tx: Tx, account_id: int, **values: Any) -> None:
    made = insert(run_quota).values(account_id=account_id, **values)
    tx.execute(made.on_conflict_do_update(index_elements=["account_id"], set_=values))
