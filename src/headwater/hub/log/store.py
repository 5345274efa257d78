"""What the log's pages ask of repositories that may be gone."""

from __future__ import annotations

from sqlalchemy import select

from headwater.db import Tx
from headwater.hub.tables.repositories import repository
from headwater.kernel import RepoId


def find_deleted(tx: Tx, repo_id: RepoId) -> bool | None:
    """Whether a deleted repository was private; None where it is not deleted."""
    columns = repository.c.is_private, repository.c.deleted_at
    row = tx.execute(select(*columns).where(repository.c.id == repo_id)).first()
    return None if row is None or row.deleted_at is None else bool(row.is_private)
