"""Requests for access to gated repositories."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, insert, select, update

from headwater.accounts.models import AccessRequest
from headwater.accounts.store.people import account_of
from headwater.accounts.tables import access_request, account
from headwater.db import Tx

_WITH_ACCOUNT: Select[Any] = select(
    account,
    access_request.c.id.label("request_id"),
    access_request.c.repo_id,
    access_request.c.status,
    access_request.c.fields,
    access_request.c.rejection_reason,
    access_request.c.by_grant,
    access_request.c.created_at.label("asked_at"),
    access_request.c.handled_at,
).join(access_request, access_request.c.account_id == account.c.id)


def request_of(row: Row[Any]) -> AccessRequest:
    return AccessRequest(
        id=row.request_id,
        repo_id=row.repo_id,
        account=account_of(row),
        status=row.status,
        fields=row.fields,
        rejection_reason=row.rejection_reason,
        created_at=row.asked_at,
        handled_at=row.handled_at,
        by_grant=row.by_grant,
    )


def find_request(tx: Tx, repo_id: int, account_id: int) -> AccessRequest | None:
    row = tx.execute(
        _WITH_ACCOUNT.where(access_request.c.repo_id == repo_id, access_request.c.account_id == account_id)
    ).first()
    return None if row is None else request_of(row)


def find_request_by_id(tx: Tx, repo_id: int, request_id: int) -> AccessRequest | None:
    row = tx.execute(
        _WITH_ACCOUNT.where(access_request.c.repo_id == repo_id, access_request.c.id == request_id)
    ).first()
    return None if row is None else request_of(row)


def requests_page(tx: Tx, repo_id: int, status: str, *, after_id: int, limit: int) -> tuple[list[AccessRequest], bool]:
    rows = tx.execute(
        _WITH_ACCOUNT.where(
            access_request.c.repo_id == repo_id, access_request.c.status == status, access_request.c.id > after_id
        )
        .order_by(access_request.c.id)
        .limit(limit + 1)
    ).all()
    return [request_of(row) for row in rows[:limit]], len(rows) > limit


def requests_by(tx: Tx, account_id: int, *, limit: int) -> list[AccessRequest]:
    rows = tx.execute(
        _WITH_ACCOUNT.where(access_request.c.account_id == account_id).order_by(access_request.c.id.desc()).limit(limit)
    )
    return [request_of(row) for row in rows]


def insert_request(
    tx: Tx,
    repo_id: int,
    account_id: int,
    *,
    status: str,
    fields: dict[str, str],
    by_grant: bool,
    handled_by: int | None,
    now: datetime,
) -> None:
    tx.execute(
        insert(access_request).values(
            repo_id=repo_id,
            account_id=account_id,
            status=status,
            fields=fields,
            by_grant=by_grant,
            created_at=now,
            handled_at=None if status == "pending" else now,
            handled_by=handled_by,
        )
    )


def set_status(
    tx: Tx, request_id: int, status: str, *, reason: str | None, handled_by: int | None, now: datetime
) -> None:
    is_open = status == "pending"
    tx.execute(
        update(access_request)
        .where(access_request.c.id == request_id)
        .values(
            status=status,
            rejection_reason=reason,
            handled_at=None if is_open else now,
            handled_by=None if is_open else handled_by,
        )
    )


def delete_request(tx: Tx, request_id: int) -> None:
    tx.execute(delete(access_request).where(access_request.c.id == request_id))
