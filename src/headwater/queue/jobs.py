"""Putting, claiming and ending jobs. At least once: a handler must stand being run again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, delete, func, or_, select, text, update

from headwater.db import Prepared, Tx, insert, prepared, row_locked
from headwater.kernel import JobId, utcnow
from headwater.queue.leases import LEASE_S
from headwater.queue.tables import job

MAX_ATTEMPTS = 12
FIRST_RETRY_S = 2
LONGEST_RETRY_S = 3600

# Built once: every commit puts jobs, and building a statement costs more than running it.
_WAITING = prepared(select(job.c.id).where(job.c.unique_key == bindparam("unique_key"), job.c.state == "waiting"))
_INSERT = prepared(insert(job))
# Where several write at once, the job that waits already is locked until they commit: nobody may begin it before, and miss what
# they have written. (To look for it first would lock nothing.)
_INSERT_OR_LOCK = prepared(
    insert(job).on_conflict_do_update(
        index_elements=["unique_key"],
        index_where=text("state = 'waiting' and unique_key is not null"),
        set_={"state": "waiting"},
    )
)
_CLAIM = prepared(
    update(job)
    .where(job.c.id == bindparam("job_id"))
    .values(state="running", attempts=bindparam("attempt"), lease_until=bindparam("until"))
)
_FINISH = prepared(delete(job).where(job.c.id == bindparam("job_id")))
_FINISH_MINE = prepared(delete(job).where(job.c.id == bindparam("job_id"), job.c.attempts == bindparam("attempt")))


@dataclass(frozen=True)
class Job:
    id: JobId
    kind: str
    payload: dict[str, Any]
    attempts: int  # with this one


def put(
    tx: Tx,
    kind: str,
    payload: dict[str, Any],
    *,
    unique: str | None = None,
    delay_s: float = 0,
    now: datetime | None = None,
) -> None:
    """Add a job to the transaction that makes it necessary.

    Args:
        unique: with a key, a job of this kind and key that still waits is enough, and nothing is added.
    """
    now = now or utcnow()
    key = None if unique is None else f"{kind}:{unique}"
    others_write = tx.dialect != "sqlite"
    if key is not None and not others_write and tx.execute(_WAITING, {"unique_key": key}).first() is not None:
        return
    tx.execute(
        _INSERT_OR_LOCK if key is not None and others_write else _INSERT,
        {
            "kind": kind,
            "payload": payload,
            "unique_key": key,
            "state": "waiting",
            "run_at": now + timedelta(seconds=delay_s),
            "created_at": now,
        },
    )


def find_due(tx: Tx, now: datetime, kinds: Collection[str]) -> bool:
    """Whether ``claim`` would find something: a read, so that idle workers write nothing."""
    return tx.execute(_find_due(tuple(kinds)), {"now": now}).first() is not None


@row_locked
def claim(tx: Tx, now: datetime, kinds: Collection[str]) -> Job | None:
    """Take the job of these kinds that has been due longest, or one whose worker died, under a lease."""
    while True:
        row = tx.execute(_find_due(tuple(kinds), to_claim=True), {"now": now}).first()
        if row is None:
            return None
        if row.attempts < MAX_ATTEMPTS:
            break
        # Its worker died every time: one job must not take every worker with it for ever.
        tx.execute(
            update(job)
            .where(job.c.id == row.id)
            .values(
                state="failed", lease_until=None, finished_at=now, last_error="Its worker ended each time it was tried."
            )
        )
    until = now + timedelta(seconds=LEASE_S)
    tx.execute(_CLAIM, {"job_id": row.id, "attempt": row.attempts + 1, "until": until})
    return Job(JobId(row.id), row.kind, row.payload, row.attempts + 1)


@row_locked
def renew(tx: Tx, held: Job, now: datetime) -> None:
    """Hold on to a running job, unless another worker has taken it over."""
    tx.execute(
        update(job)
        .where(job.c.id == held.id, job.c.state == "running", job.c.attempts == held.attempts)
        .values(lease_until=now + timedelta(seconds=LEASE_S))
    )


@row_locked
def finish(tx: Tx, job_id: JobId, attempt: int | None = None) -> None:
    """A job that is done leaves no row; what it did is recorded where it did it.

    ``attempt``: leave it where another worker has taken it over, and is not done.
    """
    if attempt is None:
        tx.execute(_FINISH, {"job_id": job_id})
    else:
        tx.execute(_FINISH_MINE, {"job_id": job_id, "attempt": attempt})


def fail(tx: Tx, failed: Job, error: str, now: datetime) -> bool:
    """Put a failed job back with a growing delay, or give it up; returns whether it will run again."""
    again = failed.attempts < MAX_ATTEMPTS
    delay_s = min(FIRST_RETRY_S * 2 ** (failed.attempts - 1), LONGEST_RETRY_S)
    row = tx.execute(select(job.c.unique_key, job.c.attempts).where(job.c.id == failed.id)).first()
    if row is None or row.attempts != failed.attempts:  # another worker has taken it over
        return row is not None
    successor = (
        row.unique_key is not None
        and tx.execute(select(job.c.id).where(job.c.unique_key == row.unique_key, job.c.state == "waiting")).first()
    )
    if successor:  # the same work already waits
        finish(tx, failed.id)
        return True
    tx.execute(
        update(job)
        .where(job.c.id == failed.id)
        .values(
            state="waiting" if again else "failed",
            run_at=now + timedelta(seconds=delay_s),
            lease_until=None,
            last_error=error[:2000].replace("\0", "\ufffd"),
            finished_at=None if again else now,
        )
    )
    return again


@dataclass(frozen=True)
class FailedJob:
    """One that was given up after ``attempts``."""

    id: JobId
    kind: str
    payload: dict[str, Any]
    attempts: int
    error: str
    at: datetime


def list_failed(tx: Tx, limit: int = 50) -> list[FailedJob]:
    """Those given up, the latest first."""
    query = select(job).where(job.c.state == "failed").order_by(job.c.finished_at.desc()).limit(limit)
    return [
        FailedJob(JobId(row.id), row.kind, row.payload, row.attempts, row.last_error or "", row.finished_at)
        for row in tx.execute(query)
    ]


def retry_failed(tx: Tx, now: datetime) -> int:
    """Give every job that was given up another full round of attempts; returns how many."""
    failed = tx.execute(select(job.c.id, job.c.unique_key).where(job.c.state == "failed").order_by(job.c.id)).all()
    for row in failed:
        if row.unique_key and tx.execute(_WAITING, {"unique_key": row.unique_key}).first() is not None:
            finish(tx, JobId(row.id))  # the same work already waits
            continue
        values = {"state": "waiting", "attempts": 0, "run_at": now, "finished_at": None}
        tx.execute(update(job).where(job.c.id == row.id).values(values))
    return len(failed)


def count_by_state(tx: Tx) -> dict[str, int]:
    """How many jobs wait, run and have failed for good."""
    rows = tx.execute(select(job.c.state, func.count().label("n")).group_by(job.c.state))
    return {row.state: row.n for row in rows}


@lru_cache
def _find_due(kinds: tuple[str, ...], *, to_claim: bool = False) -> Prepared:
    """The job of these kinds that has been due longest; a process asks for few sets of kinds, very often.

    ``to_claim``: that nobody else is about to claim, or to put again.
    """
    now: Any = bindparam("now")
    is_due = or_(
        (job.c.state == "waiting") & (job.c.run_at <= now),
        (job.c.state == "running") & (job.c.lease_until < now),
    )
    query = select(job).where(is_due, or_(*(job.c.kind == kind for kind in kinds)))
    query = query.order_by(job.c.run_at, job.c.id).limit(1)
    return prepared(query.with_for_update(skip_locked=True) if to_claim else query)
