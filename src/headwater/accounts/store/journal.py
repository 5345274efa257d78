"""Accounts' own logs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, insert, select, update

from headwater.accounts.models import AccountEvent
from headwater.accounts.tables import account_event
from headwater.db import Tx
from headwater.kernel import AccountId


def insert_event(
    tx: Tx,
    account_id: int,
    kind: str,
    *,
    is_alert: bool,
    address: str,
    user_agent: str,
    place: str,
    facts: dict[str, Any],
    now: datetime,
) -> None:
    tx.execute(
        insert(account_event).values(
            account_id=account_id,
            kind=kind,
            is_alert=is_alert,
            address=address[:64],
            user_agent=user_agent[:300],
            place=place,
            facts=facts,
            created_at=now,
        )
    )


def add_to_event(tx: Tx, account_id: int, kind: str, *, place: str, since: datetime, now: datetime) -> bool:
    """Count one more into a line of this kind and place that began after ``since``; False when there is none."""
    found = tx.execute(
        select(account_event.c.id)
        .where(
            account_event.c.account_id == account_id,
            account_event.c.place == place,
            account_event.c.kind == kind,
            account_event.c.created_at >= since,
            account_event.c.seen_at.is_(None),
        )
        .order_by(account_event.c.id.desc())
        .limit(1)
    ).scalar()
    if found is None:
        return False
    tx.execute(update(account_event).where(account_event.c.id == found).values(n=account_event.c.n + 1, created_at=now))
    return True


def knows_place(tx: Tx, account_id: int, place: str) -> tuple[bool, bool]:
    """Whether the account was signed in to at all before, and from this place."""
    mine = and_(account_event.c.account_id == account_id, account_event.c.kind == "signed_in")
    here = tx.execute(select(account_event.c.id).where(mine, account_event.c.place == place).limit(1)).first()
    if here is not None:
        return True, True
    return tx.execute(select(account_event.c.id).where(mine).limit(1)).first() is not None, False


def events_of(tx: Tx, account_id: int, *, before: int | None, limit: int) -> list[AccountEvent]:
    """Newest first."""
    query = select(account_event).where(account_event.c.account_id == account_id)
    if before is not None:
        query = query.where(account_event.c.id < before)
    return [_event(row) for row in tx.execute(query.order_by(account_event.c.id.desc()).limit(limit))]


def count_alerts(tx: Tx, account_id: int) -> int:
    """Alerts that the person has not said they saw."""
    found: int = tx.execute(select(func.count()).select_from(account_event).where(_unseen(account_id))).scalar_one()
    return found


def mark_seen(tx: Tx, account_id: int, *, up_to: int, now: datetime) -> None:
    tx.execute(update(account_event).where(_unseen(account_id), account_event.c.id <= up_to).values(seen_at=now))


def _unseen(account_id: int) -> ColumnElement[bool]:
    return and_(
        account_event.c.account_id == account_id,
        account_event.c.is_alert.is_(True),
        account_event.c.seen_at.is_(None),
    )


def _event(row: Row[Any]) -> AccountEvent:
    return AccountEvent(
        id=row.id,
        account_id=AccountId(row.account_id),
        kind=row.kind,
        is_alert=row.is_alert,
        n=row.n,
        address=row.address,
        user_agent=row.user_agent,
        facts=row.facts,
        created_at=row.created_at,
        seen_at=row.seen_at,
    )
