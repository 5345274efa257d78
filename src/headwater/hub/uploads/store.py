"""SQL of uploads in parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from headwater.db import Tx
from headwater.hub.tables.uploads import upload_session
from headwater.kernel import AccountId, RepoId, Sha256

BATCH = 400


@dataclass(frozen=True)
class Upload:
    """One file on its way in. ``sha256`` is None until the whole of it has come and was hashed here."""

    id: str
    repo_id: RepoId
    account_id: AccountId
    path: str
    size_bytes: int
    stamp: int
    sha256: Sha256 | None
    created_at: datetime


def insert_uploads(tx: Tx, uploads: Iterable[Upload]) -> None:
    rows = [vars(upload) for upload in uploads]
    if rows:
        tx.execute(insert(upload_session), rows)


def list_uploads(tx: Tx, account_id: AccountId, repo_id: RepoId, *, limit: int) -> list[Upload]:
    query = (
        select(upload_session)
        .where(upload_session.c.account_id == account_id, upload_session.c.repo_id == repo_id)
        .order_by(upload_session.c.path)
        .limit(limit)
    )
    return [_from_row(row) for row in tx.execute(query)]


def count_uploads(tx: Tx, account_id: AccountId) -> int:
    query = select(func.count()).select_from(upload_session).where(upload_session.c.account_id == account_id)
    return int(tx.execute(query).scalar_one())


def find_uploads(tx: Tx, account_id: AccountId, ids: list[str]) -> dict[str, Upload]:
    """Of ``ids``, those that are this account's."""
    found: dict[str, Upload] = {}
    for at in range(0, len(ids), BATCH):
        query = select(upload_session).where(
            upload_session.c.id.in_(ids[at : at + BATCH]), upload_session.c.account_id == account_id
        )
        found.update((row.id, _from_row(row)) for row in tx.execute(query))
    return found


def set_digest(tx: Tx, upload_id: str, sha256: Sha256) -> None:
    tx.execute(update(upload_session).where(upload_session.c.id == upload_id).values(sha256=sha256))


def delete_uploads(tx: Tx, ids: list[str]) -> None:
    for at in range(0, len(ids), BATCH):
        tx.execute(delete(upload_session).where(upload_session.c.id.in_(ids[at : at + BATCH])))


def list_older(tx: Tx, than: datetime, *, limit: int) -> list[str]:
    query = select(upload_session.c.id).where(upload_session.c.created_at < than).limit(limit)
    return list(tx.execute(query).scalars())


def existing_ids(tx: Tx, ids: list[str]) -> set[str]:
    found: set[str] = set()
    for at in range(0, len(ids), BATCH):
        query = select(upload_session.c.id).where(upload_session.c.id.in_(ids[at : at + BATCH]))
        found.update(tx.execute(query).scalars())
    return found


def _from_row(row: Row[Any]) -> Upload:
    return Upload(
        id=row.id,
        repo_id=RepoId(row.repo_id),
        account_id=AccountId(row.account_id),
        path=row.path,
        size_bytes=row.size_bytes,
        stamp=row.stamp,
        sha256=None if row.sha256 is None else Sha256(row.sha256),
        created_at=row.created_at,
    )
