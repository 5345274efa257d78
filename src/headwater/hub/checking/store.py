"""SQL of what was checked and what is wrong, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, or_, select

from headwater import ledger
from headwater.db import Tx, insert
from headwater.hub.checking.models import Problem
from headwater.hub.tables.upkeep import upkeep_problem, upkeep_run
from headwater.kernel import Actor

KINDS = ("backup", "drill", "check", "scrub", "repair")
KEPT_RUNS = 200  # of each kind
MOST_PROBLEMS = 10_000  # that are kept; a site that has more has lost a disk


@dataclass(frozen=True)
class Run:
    kind: str
    is_good: bool
    started_at: datetime
    ended_at: datetime
    facts: dict[str, Any]


@dataclass(frozen=True)
class Known:
    """A problem that is known, and since when."""

    code: str
    where: str
    what: str
    mend: str
    key: str | None
    found_at: datetime
    seen_at: datetime


def insert_run(tx: Tx, kind: str, *, is_good: bool, started_at: datetime, now: datetime, facts: dict[str, Any]) -> None:
    """Note an act; of each kind only the latest stay."""
    values = {"kind": kind, "is_good": is_good, "started_at": started_at, "ended_at": now, "facts": facts}
    tx.execute(insert(upkeep_run).values(values))
    old = (
        select(upkeep_run.c.id)
        .where(upkeep_run.c.kind == kind, upkeep_run.c.is_good == is_good)
        .order_by(upkeep_run.c.id.desc())
        .offset(KEPT_RUNS)
    )
    ids = tx.execute(old).scalars().all()
    if ids:
        tx.execute(delete(upkeep_run).where(upkeep_run.c.id.in_(ids)))


def find_last(tx: Tx, kind: str, *, is_good: bool | None = None) -> Run | None:
    """The latest of a kind, or the latest that went well (or did not)."""
    query = select(upkeep_run).where(upkeep_run.c.kind == kind)
    if is_good is not None:
        query = query.where(upkeep_run.c.is_good == is_good)
    row = tx.execute(query.order_by(upkeep_run.c.id.desc()).limit(1)).first()
    return None if row is None else Run(row.kind, row.is_good, row.started_at, row.ended_at, row.facts)


def put_problems(tx: Tx, problems: Sequence[Problem], now: datetime) -> None:
    """Note what is wrong; what was known already stays known since then."""
    for problem in problems[:MOST_PROBLEMS]:
        values = {"what": problem.what, "mend": problem.mend, "object_key": problem.key, "seen_at": now}
        statement = insert(upkeep_problem).values(code=problem.code, place=problem.where[:2048], found_at=now, **values)
        tx.execute(statement.on_conflict_do_update(index_elements=["code", "place"], set_=values))


def drop_problems(
    tx: Tx,
    *,
    seen_before: datetime | None = None,
    key: str | None = None,
    place: str | None = None,
    codes: Sequence[str] = (),
) -> None:
    """What a whole check has not met again, or what is right with one object, or with one place and those in it, now."""
    statement = delete(upkeep_problem)
    if seen_before is not None:
        statement = statement.where(upkeep_problem.c.seen_at < seen_before)
    if key is not None:
        statement = statement.where(upkeep_problem.c.object_key == key)
    if place is not None:
        within = [upkeep_problem.c.place.startswith(f"{place}{sep}", autoescape=True) for sep in (" ", "/")]
        statement = statement.where(or_(upkeep_problem.c.place == place, *within))
    if codes:
        statement = statement.where(upkeep_problem.c.code.in_(codes))
    tx.execute(statement)


def list_problems(tx: Tx, limit: int = 100) -> list[Known]:
    """The latest found first."""
    query = select(upkeep_problem).order_by(upkeep_problem.c.found_at.desc(), upkeep_problem.c.id.desc()).limit(limit)
    return [
        Known(row.code, row.place, row.what, row.mend, row.object_key, row.found_at, row.seen_at)
        for row in tx.execute(query)
    ]


def count_problems(tx: Tx) -> int:
    found: int = tx.execute(select(func.count()).select_from(upkeep_problem)).scalar_one()
    return found


def note_check(
    tx: Tx,
    actor: Actor,
    problems: Sequence[Problem],
    facts: dict[str, Any],
    *,
    is_whole: bool,
    started_at: datetime,
    now: datetime,
) -> None:
    """What a check found. Only a whole one says that what it has not met is mended, and stands in the record."""
    put_problems(tx, problems, now)
    if not is_whole:
        return
    drop_problems(tx, seen_before=now)
    insert_run(tx, "check", is_good=not problems, started_at=started_at, now=now, facts=facts)
    told = {"problems": len(problems), "repositories": facts["repositories"], "files": facts["files"]}
    ledger.record(tx, actor, "site.checked", "site", {**told, "codes": sorted({p.code for p in problems})}, now=now)
