"""What runs say: metrics, logs, notes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select

from headwater.compute.models import RunId
from headwater.compute.rows import LogPiece
from headwater.compute.tables import run_log, run_metric, run_note
from headwater.db import Tx, insert

Point = tuple[str, int, float | None]


def put_points(tx: Tx, run_id: RunId, points: Sequence[Point], now: datetime) -> None:
    """The last word for a step holds, also within one call."""
    last = {(name, step): value for name, step, value in points}
    if not last:
        return
    rows = [
        {"run_id": run_id, "name": name, "step": step, "value": value, "said_at": now}
        for (name, step), value in last.items()
    ]
    for start in range(0, len(rows), 500):
        made = insert(run_metric).values(rows[start : start + 500])
        tx.execute(
            made.on_conflict_do_update(
                index_elements=["run_id", "name", "step"],
                set_={"value": made.excluded.value, "said_at": made.excluded.said_at},
            )
        )


def count_points(tx: Tx, run_id: RunId) -> int:
    found: int = tx.execute(select(func.count()).where(run_metric.c.run_id == run_id)).scalar_one()
    return found


def metric_names(tx: Tx, run_id: RunId) -> list[str]:
    """From one name to the next: of thousands of points, one look at each name's first."""
    found: list[str] = []
    query = select(func.min(run_metric.c.name)).where(run_metric.c.run_id == run_id)
    name: str | None = tx.execute(query).scalar()
    while name is not None:
        found.append(name)
        name = tx.execute(query.where(run_metric.c.name > name)).scalar()
    return found


def points_of(
    tx: Tx, ids: Collection[int], names: Collection[str] = (), *, every: int = 1
) -> dict[int, dict[str, list[tuple[int, float | None]]]]:
    """By run and name, in the order of steps; ``every``: of the steps, those that are divisible by it."""
    query = select(run_metric).where(run_metric.c.run_id.in_(list(ids)))
    if names:
        query = query.where(run_metric.c.name.in_(list(names)))
    if every > 1:
        query = query.where(run_metric.c.step % every == 0)
    found: dict[int, dict[str, list[tuple[int, float | None]]]] = {number: {} for number in ids}
    for row in tx.execute(query.order_by(run_metric.c.run_id, run_metric.c.name, run_metric.c.step)):
        found[row.run_id].setdefault(row.name, []).append((row.step, row.value))
    return found


def put_log(tx: Tx, run_id: RunId, attempt: int, start: int, end: int, text: str, now: datetime) -> int:
    """Append a piece; returns its number."""
    number = (tx.execute(select(func.max(run_log.c.number)).where(run_log.c.run_id == run_id)).scalar() or 0) + 1
    values: dict[str, Any] = {"number": number, "attempt": attempt, "start": start, "end": end, "text": text}
    tx.execute(insert(run_log).values(run_id=run_id, said_at=now, **values))
    return number


def shipped(tx: Tx, run_id: RunId, attempt: int) -> int:
    """How many bytes of an attempt's log have come."""
    query = select(func.max(run_log.c.end)).where(run_log.c.run_id == run_id, run_log.c.attempt == attempt)
    found: int | None = tx.execute(query).scalar()
    return found or 0


def drop_middle(tx: Tx, run_id: RunId, keep_head: int, excess: int) -> int:
    """Leave out the oldest pieces beyond the first ``keep_head`` bytes, until ``excess`` bytes are gone; how many went."""
    rows = tx.execute(
        select(run_log.c.number, run_log.c.start, run_log.c.end)
        .where(run_log.c.run_id == run_id)
        .order_by(run_log.c.number)
    ).all()
    kept, gone, numbers = 0, 0, []
    for row in rows[:-1]:
        size = row.end - row.start
        if kept + size <= keep_head:
            kept += size
            continue
        kept = keep_head  # what follows is no head any more
        if gone >= excess:
            break
        gone += size
        numbers.append(row.number)
    if numbers:
        tx.execute(delete(run_log).where(run_log.c.run_id == run_id, run_log.c.number.in_(numbers)))
    return gone


def log_after(tx: Tx, run_id: RunId, number: int, limit: int = 64) -> list[LogPiece]:
    rows = tx.execute(
        select(run_log)
        .where(run_log.c.run_id == run_id, run_log.c.number > number)
        .order_by(run_log.c.number)
        .limit(limit)
    )
    return [LogPiece(row.number, row.attempt, row.start, row.end, row.text, row.said_at) for row in rows]


def log_tail(tx: Tx, run_id: RunId, most_bytes: int) -> list[LogPiece]:
    """The last pieces, so many that they have about ``most_bytes``."""
    rows = tx.execute(select(run_log).where(run_log.c.run_id == run_id).order_by(run_log.c.number.desc()).limit(512))
    found: list[LogPiece] = []
    size = 0
    for row in rows:
        if found and size + row.end - row.start > most_bytes:
            break
        size += row.end - row.start
        found.append(LogPiece(row.number, row.attempt, row.start, row.end, row.text, row.said_at))
    return found[::-1]


def put_note(tx: Tx, run_id: RunId, attempt: int, text: str, now: datetime) -> None:
    tx.execute(insert(run_note).values(run_id=run_id, attempt=attempt, text=text, said_at=now))


def notes_of(tx: Tx, run_id: RunId, limit: int = 200) -> list[tuple[int, str, datetime]]:
    rows = tx.execute(select(run_note).where(run_note.c.run_id == run_id).order_by(run_note.c.id.desc()).limit(limit))
    return [(row.attempt, row.text, row.said_at) for row in rows][::-1]


def count_notes(tx: Tx, run_id: RunId) -> int:
    found: int = tx.execute(select(func.count()).where(run_note.c.run_id == run_id)).scalar_one()
    return found
