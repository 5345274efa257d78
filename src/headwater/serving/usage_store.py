"""SQL of what was used, of the limits on it, and of contents that an owner has chosen to keep."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import and_, case, delete, func, literal_column, or_, select

from headwater.accounts.tables import account, token
from headwater.db import Tx, insert, row_locked
from headwater.serving.models import Limits, Used
from headwater.serving.tables import endpoint, gateway_exchange, gateway_usage, serving_limit

KEPT_DAYS, CONTENTS_DAYS = 400, 30
MOST_KEPT_CHARS = 64 * 1024
NAMES_AT_ONCE = 10_000  # PostgreSQL takes 65,535 values with a question
TOKEN, ACCOUNT, OWNER = "token", "account", "owner"
_SUMS = tuple(
    func.coalesce(func.sum(gateway_usage.c[name]), 0)
    for name in ("n_requests", "n_errors", "prompt_tokens", "completion_tokens", "first_ms", "whole_ms")
)


class UsageLine(NamedTuple):
    """Sums of a group: by day or minute, endpoint, person, key; None where it is not told apart."""

    moment: int  # seconds since 1970
    model: str
    person: str
    token_id: int
    token: str | None
    used: Used


@row_locked
def add_usage(
    tx: Tx, endpoint_id: int, account_id: int, token_id: int, minute: int, used: Used, *, now: datetime
) -> None:
    """One more request, and that somebody uses the endpoint now."""
    table = gateway_usage.c
    values = {
        "n_requests": used.n_requests,
        "n_errors": used.n_errors,
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "first_ms": used.first_ms,
        "whole_ms": used.whole_ms,
    }
    added = insert(gateway_usage).values(
        minute=minute, endpoint_id=endpoint_id, account_id=account_id, token_id=token_id, **values
    )
    tx.execute(
        added.on_conflict_do_update(
            index_elements=[table.minute, table.endpoint_id, table.account_id, table.token_id],
            set_={name: table[name] + added.excluded[name] for name in values},
        )
    )
    from headwater.serving import store

    store.note_use(tx, endpoint_id, now=now, wakes=False)


def list_usage(
    tx: Tx,
    *,
    since: int,
    until: int,
    account_id: int,
    by_s: int = 86_400,
    limit: int,
    keys_of: int | None = None,
) -> list[UsageLine]:
    """Sums from minute ``since`` to before ``until``, newest first: of what an account used, and of what its endpoints gave.

    ``by_s``: how long each line's time is, in seconds; whole minutes. ``keys_of``: the account whose keys are told apart, and named;
    of all others each line is the sum. Without one, everybody's are.
    """
    table = gateway_usage.c
    every: Any = literal_column(str(int(by_s // 60)))  # in the statement itself: PostgreSQL compares what it groups by
    moment = (table.minute - table.minute % every).label("moment")
    own: Any = literal_column(str(int(keys_of or 0)))
    key: Any = (
        table.token_id
        if keys_of is None
        else case((table.account_id == own, table.token_id), else_=literal_column("0"))
    )
    query = (
        select(
            moment,
            endpoint.c.name,
            endpoint.c.owner_id,
            table.account_id,
            key,
            token.c.name.label("token_name"),
            *_SUMS,
        )
        .join(endpoint, endpoint.c.id == table.endpoint_id)
        .outerjoin(token, and_(token.c.id == key, key > 0))
        .where(table.minute >= since, table.minute < until)
        .group_by(moment, endpoint.c.id, endpoint.c.name, endpoint.c.owner_id, table.account_id, key, token.c.name)
        .order_by(moment.desc(), endpoint.c.name, table.account_id, key)
        .limit(limit)
    )
    rows = tx.execute(query.where(_is_of(account_id))).all()
    ids = sorted({row[2] for row in rows} | {row[3] for row in rows})
    names: dict[int, str] = {}
    for start in range(0, len(ids), NAMES_AT_ONCE):
        some = account.c.id.in_(ids[start : start + NAMES_AT_ONCE])
        names |= {row.id: row.name for row in tx.execute(select(account.c.id, account.c.name).where(some))}
    return [
        UsageLine(
            row[0] * 60,
            f"{names[row[2]]}/{row[1]}",
            names[row[3]],
            row[4],
            row[5],
            Used(*(int(value) for value in row[6:12])),
        )
        for row in rows
    ]


def total(tx: Tx, *, since: int, until: int, account_id: int) -> Used:
    """The sum of all lines that ``list_usage`` has."""
    table = gateway_usage.c
    query = select(*_SUMS).join(endpoint, endpoint.c.id == table.endpoint_id)
    row = tx.execute(query.where(table.minute >= since, table.minute < until, _is_of(account_id))).one()
    return Used(*(int(value) for value in row))


def _is_of(account_id: int) -> Any:
    return or_(gateway_usage.c.account_id == account_id, endpoint.c.owner_id == account_id)


def sums_of(tx: Tx, endpoint_id: int, *, since: int) -> Used:
    """What an endpoint gave from minute ``since`` on."""
    table = gateway_usage.c
    row = tx.execute(select(*_SUMS).where(table.endpoint_id == endpoint_id, table.minute >= since)).one()
    return Used(*(int(value) for value in row))


def limits_of(tx: Tx, subjects: Collection[tuple[str, int]]) -> dict[tuple[str, int], Limits]:
    """Those that somebody has set, of these subjects."""
    if not subjects:
        return {}
    table = serving_limit.c
    wanted = or_(*(and_(table.subject == subject, table.subject_id == number) for subject, number in subjects))
    return {
        (row.subject, row.subject_id): Limits(row.requests_minute, row.requests_day, row.tokens_minute, row.tokens_day)
        for row in tx.execute(select(serving_limit).where(wanted))
    }


def put_limits(tx: Tx, subject: str, number: int, limits: Limits | None, *, by: str, now: datetime) -> None:
    """None takes back what was set."""
    table = serving_limit.c
    if limits is None:
        tx.execute(delete(serving_limit).where(table.subject == subject, table.subject_id == number))
        return
    values: dict[str, Any] = {
        "requests_minute": limits.requests_minute,
        "requests_day": limits.requests_day,
        "tokens_minute": limits.tokens_minute,
        "tokens_day": limits.tokens_day,
        "set_by": by,
        "set_at": now,
    }
    made = insert(serving_limit).values(subject=subject, subject_id=number, **values)
    tx.execute(made.on_conflict_do_update(index_elements=[table.subject, table.subject_id], set_=values))


def add_exchange(tx: Tx, endpoint_id: int, account_id: int, request: str, answer: str, *, now: datetime) -> None:
    tx.execute(
        insert(gateway_exchange).values(
            endpoint_id=endpoint_id,
            account_id=account_id,
            at=now,
            request=_storable(request),
            answer=_storable(answer),
        )
    )


def _storable(text: str) -> str:
    return text[:MOST_KEPT_CHARS].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def list_exchanges(tx: Tx, endpoint_id: int, *, limit: int = 50) -> list[tuple[str, datetime, str, str]]:
    """The last that were kept: who, when, what was asked and answered."""
    table = gateway_exchange.c
    query = (
        select(account.c.name, table.at, table.request, table.answer)
        .join(account, account.c.id == table.account_id)
        .where(table.endpoint_id == endpoint_id)
        .order_by(table.id.desc())
        .limit(limit)
    )
    return [tuple(row) for row in tx.execute(query)]


def forget_exchanges(tx: Tx, *, endpoint_id: int) -> None:
    tx.execute(delete(gateway_exchange).where(gateway_exchange.c.endpoint_id == endpoint_id))


def sweep(tx: Tx, *, now: datetime) -> None:
    """What is too old to be kept goes."""
    tx.execute(delete(gateway_exchange).where(gateway_exchange.c.at < now - timedelta(days=CONTENTS_DAYS)))
    oldest = int((now - timedelta(days=KEPT_DAYS)).timestamp()) // 60
    tx.execute(delete(gateway_usage).where(gateway_usage.c.minute < oldest))
