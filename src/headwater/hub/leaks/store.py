"""SQL of found secrets; nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from headwater.db import Tx, insert
from headwater.hub.leaks.models import FoundSecret
from headwater.hub.tables.leaks import found_secret
from headwater.kernel import AccountId, RepoId


def find_allowed(tx: Tx, repo_id: RepoId, marks: Iterable[str]) -> set[str]:
    wanted = select(found_secret.c.mark).where(
        found_secret.c.repo_id == repo_id, found_secret.c.mark.in_(set(marks)), found_secret.c.allowed_at.is_not(None)
    )
    return set(tx.execute(wanted).scalars())


def put_found(tx: Tx, repo_id: RepoId, rows: Iterable[dict[str, Any]]) -> None:
    """Those that are known already stay as they are."""
    for row in rows:
        tx.execute(insert(found_secret).values(repo_id=repo_id, **row).on_conflict_do_nothing())


def list_found(tx: Tx, repo_id: RepoId, limit: int) -> list[FoundSecret]:
    """The latest first."""
    rows = tx.execute(
        select(found_secret)
        .where(found_secret.c.repo_id == repo_id)
        .order_by(found_secret.c.found_at.desc(), found_secret.c.mark)
        .limit(limit)
    )
    return [_found(row) for row in rows]


def allow(
    tx: Tx, repo_id: RepoId, mark: str, *, by: AccountId | None, reason: str, now: datetime
) -> FoundSecret | None:
    """The secret, now allowed; None where there is no such, or it was allowed before."""
    row = tx.execute(
        update(found_secret)
        .where(found_secret.c.repo_id == repo_id, found_secret.c.mark == mark, found_secret.c.allowed_at.is_(None))
        .values(allowed_by=by, allowed_at=now, reason=reason)
        .returning(*found_secret.c)
    ).first()
    return None if row is None else _found(row)


def _found(row: Any) -> FoundSecret:
    return FoundSecret(
        row.mark, row.kind, row.path, row.line, row.found_by, row.found_at, row.allowed_by, row.allowed_at, row.reason
    )
