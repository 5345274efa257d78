"""SQL of programs that wait for their person's approval, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from headwater.accounts.tables import device_code
from headwater.db import Tx
from headwater.kernel import AccountId


@dataclass(frozen=True)
class DeviceCode:
    """``approved`` is None until somebody answers."""

    digest: str
    user_code: str
    client: str
    address: str
    account_id: AccountId | None
    approved: bool | None
    created_at: datetime
    expires_at: datetime

    @property
    def is_answered(self) -> bool:
        return self.approved is not None


def insert_code(
    tx: Tx,
    digest: str,
    *,
    user_code: str,
    client: str,
    address: str,
    network: str,
    now: datetime,
    expires_at: datetime,
) -> None:
    values = {
        "digest": digest,
        "user_code": user_code,
        "client": client,
        "address": address,
        "network": network,
        "created_at": now,
        "expires_at": expires_at,
    }
    tx.execute(insert(device_code).values(values))


def find_by_digest(tx: Tx, digest: str) -> DeviceCode | None:
    return _one(tx.execute(select(device_code).where(device_code.c.digest == digest)).first())


def find_by_user_code(tx: Tx, user_code: str) -> DeviceCode | None:
    return _one(tx.execute(select(device_code).where(device_code.c.user_code == user_code)).first())


def count_waiting(tx: Tx, network: str) -> tuple[int, int]:
    """In all, and from that network."""
    of_network = select(func.count()).select_from(device_code).where(device_code.c.network == network)
    return (
        tx.execute(select(func.count()).select_from(device_code)).scalar() or 0,
        tx.execute(of_network).scalar() or 0,
    )


def answer(tx: Tx, digest: str, *, account_id: AccountId | None, approved: bool) -> None:
    """Once only: a code that was answered stays as it is."""
    here = (device_code.c.digest == digest) & device_code.c.approved.is_(None)
    tx.execute(update(device_code).where(here).values(account_id=account_id, approved=approved))


def delete_code(tx: Tx, digest: str) -> None:
    tx.execute(delete(device_code).where(device_code.c.digest == digest))


def delete_approved(tx: Tx, account_id: AccountId) -> None:
    """What this person has approved, and no program has fetched yet."""
    tx.execute(delete(device_code).where(device_code.c.account_id == account_id, device_code.c.approved))


def delete_ended(tx: Tx, now: datetime) -> None:
    tx.execute(delete(device_code).where(device_code.c.expires_at <= now))


def _one(row: Row[Any] | None) -> DeviceCode | None:
    if row is None:
        return None
    return DeviceCode(
        row.digest,
        row.user_code,
        row.client,
        row.address,
        None if row.account_id is None else AccountId(row.account_id),
        None if row.approved is None else bool(row.approved),
        row.created_at,
        row.expires_at,
    )
