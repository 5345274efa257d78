"""SQL of conversions; nothing else."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from headwater.db import Tx, insert
from headwater.hub.converting.models import Conversion
from headwater.hub.tables.converting import conversion
from headwater.kernel import AccountId, RepoId


def put(tx: Tx, repo_id: RepoId, path: str, *, by: AccountId | None, now: datetime) -> None:
    """Asked for, anew too."""
    values = {"state": "queued", "why": None, "pull": None, "asked_by": by, "asked_at": now, "ended_at": None}
    tx.execute(
        insert(conversion)
        .values(repo_id=repo_id, path=path, **values)
        .on_conflict_do_update(index_elements=["repo_id", "path"], set_=values)
    )


def find(tx: Tx, repo_id: RepoId, path: str) -> Conversion | None:
    row = tx.execute(select(conversion).where(conversion.c.repo_id == repo_id, conversion.c.path == path)).first()
    return None if row is None else _of(row)


def list_of(tx: Tx, repo_id: RepoId, limit: int) -> list[Conversion]:
    """The latest first."""
    rows = tx.execute(
        select(conversion)
        .where(conversion.c.repo_id == repo_id)
        .order_by(conversion.c.asked_at.desc(), conversion.c.path)
        .limit(limit)
    )
    return [_of(row) for row in rows]


def end(tx: Tx, repo_id: RepoId, path: str, state: str, *, why: str | None, pull: int | None, now: datetime) -> None:
    tx.execute(
        update(conversion)
        .where(conversion.c.repo_id == repo_id, conversion.c.path == path)
        .values(state=state, why=why, pull=pull, ended_at=now)
    )


def _of(row: Any) -> Conversion:
    return Conversion(row.path, row.state, row.why, row.pull, row.asked_by, row.asked_at, row.ended_at)
