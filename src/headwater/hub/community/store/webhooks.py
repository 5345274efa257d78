"""Rows of webhooks, what they watch, and their deliveries."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, or_, select, update

from headwater.accounts.models import AccountKind
from headwater.accounts.tables import account
from headwater.db import Tx, prepared
from headwater.hub.community.models import Delivery, Watched, Webhook
from headwater.hub.community.store.discussions import new_public_id
from headwater.hub.models import Repository
from headwater.hub.tables.community import webhook, webhook_delivery, webhook_watch
from headwater.hub.tables.repositories import repository
from headwater.kernel import AccountId, Grant

# Built once: every commit asks, and building a statement costs more than running it.
_WATCHING = prepared(
    select(webhook).where(
        webhook.c.id.in_(
            select(webhook_watch.c.webhook_id).where(
                or_(
                    webhook_watch.c.repo_id == bindparam("of_repo"),
                    webhook_watch.c.account_id == bindparam("of_owner"),
                )
            )
        ),
        webhook.c.is_disabled.is_(False),
    )
)


def insert_webhook(
    tx: Tx,
    account_id: AccountId,
    *,
    url: str,
    secret: str | None,
    domains: Sequence[str],
    watched: Iterable[Watched],
    grants: Sequence[Grant] | None,
    now: datetime,
) -> Webhook:
    row = tx.execute(
        insert(webhook)
        .values(
            public_id=new_public_id(),
            account_id=account_id,
            url=url,
            secret=secret,
            domains=list(domains),
            grants=pack_grants(grants),
            created_at=now,
        )
        .returning(webhook)
    ).one()
    set_watched(tx, row.id, watched)
    return _webhooks(tx, [row])[0]


def pack_grants(grants: Sequence[Grant] | None) -> list[list[Any]] | None:
    """As they lie in the row."""
    return None if grants is None else [[grant.action, grant.account_id, grant.repo_id] for grant in grants]


def set_watched(tx: Tx, webhook_id: int, watched: Iterable[Watched]) -> None:
    tx.execute(delete(webhook_watch).where(webhook_watch.c.webhook_id == webhook_id))
    rows = [
        {"webhook_id": webhook_id, "position": at, "account_id": item.account_id, "repo_id": item.repo_id}
        for at, item in enumerate(watched)
    ]
    if rows:
        tx.execute(insert(webhook_watch), rows)


def update_webhook(tx: Tx, webhook_id: int, **values: Any) -> None:
    tx.execute(update(webhook).where(webhook.c.id == webhook_id).values(**values))


def delete_webhook(tx: Tx, webhook_id: int) -> None:
    tx.execute(delete(webhook_delivery).where(webhook_delivery.c.webhook_id == webhook_id))
    tx.execute(delete(webhook_watch).where(webhook_watch.c.webhook_id == webhook_id))
    tx.execute(delete(webhook).where(webhook.c.id == webhook_id))


def list_webhooks(tx: Tx, account_id: AccountId) -> list[Webhook]:
    return _webhooks(tx, tx.execute(select(webhook).where(webhook.c.account_id == account_id).order_by(webhook.c.id)))


def count_webhooks(tx: Tx, account_id: AccountId) -> int:
    found: int = tx.execute(
        select(func.count()).select_from(webhook).where(webhook.c.account_id == account_id)
    ).scalar_one()
    return found


def find_webhook(tx: Tx, account_id: AccountId, public_id: str) -> Webhook | None:
    rows = tx.execute(select(webhook).where(webhook.c.account_id == account_id, webhook.c.public_id == public_id))
    return next(iter(_webhooks(tx, rows)), None)


def find_webhook_by_id(tx: Tx, webhook_id: int) -> Webhook | None:
    return next(iter(_webhooks(tx, tx.execute(select(webhook).where(webhook.c.id == webhook_id)))), None)


def list_watching(tx: Tx, repo: Repository) -> list[Webhook]:
    """Enabled webhooks that watch the repository or its owner."""
    return _webhooks(tx, tx.execute(_WATCHING, {"of_repo": repo.id, "of_owner": repo.owner_id}))


def insert_delivery(tx: Tx, webhook_id: int, event: str, facts: dict[str, Any], *, keep: int, now: datetime) -> int:
    """Add one that waits, and forget all that are done but the newest ``keep`` of this webhook."""
    found: int = tx.execute(
        insert(webhook_delivery)
        .values(
            webhook_id=webhook_id,
            public_id=new_public_id(),
            event=event,
            body=json.dumps(facts, ensure_ascii=False),
            state="waiting",
            created_at=now,
        )
        .returning(webhook_delivery.c.id)
    ).scalar_one()
    newest = (
        select(webhook_delivery.c.id)
        .where(webhook_delivery.c.webhook_id == webhook_id)
        .order_by(webhook_delivery.c.id.desc())
        .limit(keep)
    )
    tx.execute(
        delete(webhook_delivery).where(
            webhook_delivery.c.webhook_id == webhook_id, webhook_delivery.c.id.not_in(newest)
        )
    )
    return found


def find_delivery(tx: Tx, delivery_id: int) -> Delivery | None:
    row = tx.execute(select(webhook_delivery).where(webhook_delivery.c.id == delivery_id)).first()
    return None if row is None else _delivery(row)


def list_deliveries(tx: Tx, webhook_id: int, *, limit: int) -> list[Delivery]:
    rows = tx.execute(
        select(webhook_delivery)
        .where(webhook_delivery.c.webhook_id == webhook_id)
        .order_by(webhook_delivery.c.id.desc())
        .limit(limit)
    )
    return [_delivery(row) for row in rows]


def find_delivery_of(tx: Tx, webhook_id: int, public_id: str) -> Delivery | None:
    row = tx.execute(
        select(webhook_delivery).where(
            webhook_delivery.c.webhook_id == webhook_id, webhook_delivery.c.public_id == public_id
        )
    ).first()
    return None if row is None else _delivery(row)


def record_attempt(
    tx: Tx, delivery: Delivery, *, state: str, http_status: int | None, answer: str, duration_ms: int, now: datetime
) -> None:
    tx.execute(
        update(webhook_delivery)
        .where(webhook_delivery.c.id == delivery.id)
        .values(
            state=state,
            n_attempts=webhook_delivery.c.n_attempts + 1,
            http_status=http_status,
            answer=answer,
            attempted_at=now,
            duration_ms=duration_ms,
        )
    )


def record_outcome(tx: Tx, webhook_id: int, *, delivered: bool, disable_after: int) -> None:
    """Count given-up deliveries in a row; a receiver that has been dead for long is not called any more."""
    if delivered:
        tx.execute(update(webhook).where(webhook.c.id == webhook_id, webhook.c.n_failures > 0).values(n_failures=0))
        return
    tx.execute(update(webhook).where(webhook.c.id == webhook_id).values(n_failures=webhook.c.n_failures + 1))
    tx.execute(
        update(webhook)
        .where(webhook.c.id == webhook_id, webhook.c.n_failures >= disable_after)
        .values(is_disabled=True)
    )


def _webhooks(tx: Tx, rows: Iterable[Row[Any]]) -> list[Webhook]:
    rows = list(rows)
    watched: dict[int, list[Watched]] = defaultdict(list)
    if rows:
        query = (
            select(
                webhook_watch,
                account.c.name.label("account_name"),
                account.c.kind.label("account_kind"),
                repository.c.kind.label("repo_kind"),
                repository.c.namespace,
                repository.c.name.label("repo_name"),
            )
            .outerjoin(account, account.c.id == webhook_watch.c.account_id)
            .outerjoin(repository, repository.c.id == webhook_watch.c.repo_id)
            .where(webhook_watch.c.webhook_id.in_([row.id for row in rows]))
            .order_by(webhook_watch.c.webhook_id, webhook_watch.c.position)
        )
        for row in tx.execute(query):
            watched[row.webhook_id].append(_watched(row))
    return [
        Webhook(
            id=row.id,
            public_id=row.public_id,
            account_id=AccountId(row.account_id),
            url=row.url,
            secret=row.secret,
            domains=tuple(row.domains),
            watched=tuple(watched[row.id]),
            is_disabled=bool(row.is_disabled),
            n_failures=row.n_failures,
            created_at=row.created_at,
            grants=None if row.grants is None else tuple(Grant(*grant) for grant in row.grants),
        )
        for row in rows
    ]


def _watched(row: Row[Any]) -> Watched:
    if row.repo_id is not None:
        return Watched(row.repo_kind, f"{row.namespace}/{row.repo_name}", repo_id=row.repo_id)
    kind = "org" if row.account_kind == AccountKind.ORGANISATION.value else "user"
    return Watched(kind, row.account_name, account_id=row.account_id)


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        public_id=row.public_id,
        webhook_id=row.webhook_id,
        event=row.event,
        facts=json.loads(row.body),
        state=row.state,
        n_attempts=row.n_attempts,
        http_status=row.http_status,
        answer=row.answer,
        created_at=row.created_at,
        attempted_at=row.attempted_at,
        duration_ms=row.duration_ms,
    )
