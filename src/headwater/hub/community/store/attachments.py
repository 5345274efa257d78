"""SQL of pictures in comments."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, exists, select, update
from sqlalchemy import insert as plain_insert

from headwater import accounts
from headwater.db import Tx, insert
from headwater.hub.tables.attachments import attachment, attachment_use
from headwater.hub.tables.repositories import repository
from headwater.kernel import AccountId, Actor, RepoId, Sha256

BATCH = 500


@dataclass(frozen=True)
class Attachment:
    id: str
    account_id: AccountId
    sha256: Sha256
    media_type: str
    size_bytes: int
    created_at: datetime


def insert_attachment(tx: Tx, made: Attachment) -> None:
    tx.execute(plain_insert(attachment).values(**vars(made)))


def find_attachment(tx: Tx, attachment_id: str) -> Attachment | None:
    row = tx.execute(select(attachment).where(attachment.c.id == attachment_id)).first()
    if row is None:
        return None
    return Attachment(
        row.id, AccountId(row.account_id), Sha256(row.sha256), row.media_type, row.size_bytes, row.created_at
    )


def is_used(tx: Tx, attachment_id: str) -> bool:
    """Whether any comment names it, seen or not."""
    query = select(attachment_use.c.repo_id).where(attachment_use.c.attachment_id == attachment_id)
    return tx.execute(query.limit(1)).first() is not None


def find_most_open(tx: Tx, actor: Actor, attachment_id: str) -> bool | None:
    """Through the repositories that name it and ``actor`` may read: whether one is public; None when there is none.

    Those that the site's administrators closed show it to nobody else, as they show no file.
    """
    seen = accounts.visible(tx, actor).where(
        owner_id=repository.c.owner_id, repo_id=repository.c.id, is_private=repository.c.is_private
    )
    query = (
        select(repository.c.is_private)
        .join(attachment_use, attachment_use.c.repo_id == repository.c.id)
        .where(attachment_use.c.attachment_id == attachment_id, repository.c.deleted_at.is_(None), seen)
    )
    if not actor.is_site_admin:
        query = query.where(repository.c.is_disabled.is_(False))
    found = tx.execute(query.order_by(repository.c.is_private).limit(1)).first()
    return None if found is None else not found.is_private


def insert_uses(tx: Tx, ids: Collection[str], *, event_id: int, repo_id: RepoId, of: AccountId) -> None:
    """Note which of these, brought by ``of``, a comment names.

    Comments do not take their turn, and the collector does: their rows are written, so that it looks again before it takes one.
    """
    own = update(attachment).where(attachment.c.id.in_(ids), attachment.c.account_id == of).values(account_id=of)
    rows = [
        {"attachment_id": each, "event_id": event_id, "repo_id": repo_id}
        for each in tx.execute(own.returning(attachment.c.id)).scalars().all()
    ]
    if rows:
        tx.execute(insert(attachment_use).on_conflict_do_nothing(), rows)


def delete_uses_by(tx: Tx, event_id: int) -> None:
    tx.execute(delete(attachment_use).where(attachment_use.c.event_id == event_id))


def delete_uses_in_deleted(tx: Tx, before: datetime) -> int:
    """Of a batch of uses in repositories that were deleted long enough ago."""
    gone = select(repository.c.id).where(repository.c.deleted_at < before)
    query = select(attachment_use.c.event_id).where(attachment_use.c.repo_id.in_(gone)).distinct().limit(BATCH)
    events = list(tx.execute(query).scalars())
    tx.execute(delete(attachment_use).where(attachment_use.c.event_id.in_(events)))
    return len(events)


def delete_unused(tx: Tx, before: datetime) -> list[tuple[AccountId, int]]:
    """A batch of those that no comment names, brought before ``before``; returns whose each was, and its size."""
    named = exists().where(attachment_use.c.attachment_id == attachment.c.id)
    query = select(attachment.c.id).where(attachment.c.created_at < before, ~named).limit(BATCH)
    ids = list(tx.execute(query).scalars())
    gone = delete(attachment).where(attachment.c.id.in_(ids))
    rows = tx.execute(gone.returning(attachment.c.account_id, attachment.c.size_bytes))
    return [(AccountId(row.account_id), row.size_bytes) for row in rows]
