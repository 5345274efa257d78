"""SQL of uploads in parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from headwater.db import Tx
from headwater.hub import quotas
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


def insert_uploads(tx: Tx, uploads: Iterable[Upload], payer: quotas.Payer | None) -> None:
    """Announced bytes are charged from here on, until they are placed or given up.

    Raises:
        QuotaExceeded: the payer has no room for them.
    """
    charged_to = None if payer is None else payer.account_id
    rows = [{**vars(upload), "charged_to": charged_to} for upload in uploads]
    if rows:
        tx.execute(insert(upload_session), rows)
    if rows and payer is not None:
        bill = quotas.Bill()
        bill.pending(payer.account_id, sum(row["size_bytes"] for row in rows), is_guest=payer.is_guest)
        bill.settle(tx)


def release_uploads(tx: Tx, ids: Sequence[str]) -> dict[AccountId, list[str]]:
    """Their bytes are about to be charged as what they become; returns who paid for which, for ``charge_again``."""
    released: dict[AccountId, list[str]] = {}
    bill = quotas.Bill()
    for at in range(0, len(ids), BATCH):
        charged = upload_session.c.id.in_(ids[at : at + BATCH]) & upload_session.c.charged_to.is_not(None)
        query = select(upload_session.c.id, upload_session.c.charged_to, upload_session.c.size_bytes)
        for row in tx.execute(query.where(charged)):
            bill.pending(row.charged_to, -row.size_bytes)
            released.setdefault(row.charged_to, []).append(row.id)
        tx.execute(update(upload_session).where(charged).values(charged_to=None))
    bill.settle(tx)
    return released


def charge_again(tx: Tx, released: dict[AccountId, list[str]]) -> None:
    """What they were to become did not come about; the bytes are still here, so this is never refused."""
    bill = quotas.Bill()
    for account_id, ids in released.items():
        for at in range(0, len(ids), BATCH):
            free = upload_session.c.id.in_(ids[at : at + BATCH]) & upload_session.c.charged_to.is_(None)
            query = select(func.coalesce(func.sum(upload_session.c.size_bytes), 0)).where(free)
            bill.pending(account_id, int(tx.execute(query).scalar_one()))
            tx.execute(update(upload_session).where(free).values(charged_to=account_id))
    bill.settle(tx, check=False)


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


def set_digest(tx: Tx, upload_id: str, sha256: Sha256 | None) -> None:
    """Of a file that has come whole; None for one that turns out not to be."""
    tx.execute(update(upload_session).where(upload_session.c.id == upload_id).values(sha256=sha256))


def delete_uploads(tx: Tx, ids: list[str]) -> None:
    release_uploads(tx, ids)
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
