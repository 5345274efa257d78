"""Tokens, sessions, one-time links and failed sign-ins, all found by the digest of their secret."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, update

from headwater.accounts.models import OneTimeLink, Role, Session, TokenInfo
from headwater.accounts.tables import (
    account,
    account_event,
    one_time_link,
    session,
    sign_in_failure,
    spent_challenge,
    token,
)
from headwater.db import Tx, prepared
from headwater.kernel import AccountId, Grant

# Built once: these two run on every request that carries a credential.
_TOKEN_WITH_OWNER = prepared(
    select(
        token.c.id,
        token.c.name,
        token.c.role,
        token.c.grants,
        token.c.expires_at,
        token.c.revoked_at,
        token.c.last_used_at,
        account.c.id.label("account_id"),
        account.c.name.label("account_name"),
        account.c.is_site_admin,
        account.c.suspended_at,
    )
    .join(account, account.c.id == token.c.account_id)
    .where(token.c.digest == bindparam("digest"))
)
_STANDING = prepared(
    select(account.c.suspended_at, account.c.is_site_admin, token.c.revoked_at, token.c.expires_at)
    .select_from(account)
    .outerjoin(token, token.c.id == bindparam("token_id"))
    .where(account.c.id == bindparam("account_id"))
)
_SESSION_WITH_OWNER = prepared(
    select(
        session,
        account.c.name.label("account_name"),
        account.c.is_site_admin,
        account.c.suspended_at,
    )
    .join(account, account.c.id == session.c.account_id)
    .where(session.c.digest == bindparam("digest"))
)


def token_with_owner(tx: Tx, digest: str) -> Row[Any] | None:
    row: Row[Any] | None = tx.execute(_TOKEN_WITH_OWNER, {"digest": digest}).first()
    return row


def standing(tx: Tx, account_id: AccountId, token_id: int | None) -> Row[Any] | None:
    """What could have ended an actor's power since it was last looked at."""
    row: Row[Any] | None = tx.execute(_STANDING, {"account_id": account_id, "token_id": token_id}).first()
    return row


def session_with_owner(tx: Tx, digest: str) -> Row[Any] | None:
    row: Row[Any] | None = tx.execute(_SESSION_WITH_OWNER, {"digest": digest}).first()
    return row


def grants_of(value: Iterable[dict[str, Any]]) -> tuple[Grant, ...]:
    return tuple(Grant(g["action"], g.get("account_id"), g.get("repo_id")) for g in value)


def token_of(row: Row[Any]) -> TokenInfo:
    return TokenInfo(
        id=row.id,
        account_id=AccountId(row.account_id),
        name=row.name,
        hint=row.hint,
        role=row.role,
        grants=grants_of(row.grants),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )


def insert_token(
    tx: Tx,
    account_id: int,
    *,
    name: str,
    digest: str,
    hint: str,
    role: str,
    grants: Iterable[Grant],
    expires_at: datetime | None,
    now: datetime,
) -> TokenInfo:
    row = tx.execute(
        insert(token)
        .values(
            account_id=account_id,
            name=name,
            digest=digest,
            hint=hint,
            role=role,
            grants=_lines(grants),
            expires_at=expires_at,
            created_at=now,
        )
        .returning(*token.c)
    ).one()
    return token_of(row)


def _lines(grants: Iterable[Grant]) -> list[dict[str, Any]]:
    return [{"action": g.action, "account_id": g.account_id, "repo_id": g.repo_id} for g in grants]


def set_grants(tx: Tx, token_id: int, grants: Iterable[Grant]) -> None:
    tx.execute(update(token).where(token.c.id == token_id).values(grants=_lines(grants)))


def tokens_of(tx: Tx, account_id: int) -> list[TokenInfo]:
    """Tokens that were not revoked, newest first; expired ones too, so that their owner sees why they fail."""
    rows = tx.execute(
        select(token).where(token.c.account_id == account_id, token.c.revoked_at.is_(None)).order_by(token.c.id.desc())
    )
    return [token_of(row) for row in rows]


def find_token(tx: Tx, token_id: int) -> TokenInfo | None:
    row = tx.execute(select(token).where(token.c.id == token_id)).first()
    return None if row is None else token_of(row)


def revoke_token(tx: Tx, token_id: int, *, now: datetime) -> None:
    tx.execute(update(token).where(token.c.id == token_id, token.c.revoked_at.is_(None)).values(revoked_at=now))


def touch_token(tx: Tx, token_id: int, *, now: datetime) -> None:
    tx.execute(update(token).where(token.c.id == token_id).values(last_used_at=now))


def session_of(row: Row[Any]) -> Session:
    return Session(
        id=row.digest,
        account_id=AccountId(row.account_id),
        csrf=row.csrf,
        user_agent=row.user_agent,
        address=row.address,
        how=row.how,
        created_at=row.created_at,
        proved_at=row.proved_at,
        last_seen_at=row.last_seen_at,
        expires_at=row.expires_at,
    )


def insert_session(
    tx: Tx,
    account_id: int,
    *,
    digest: str,
    csrf: str,
    user_agent: str,
    address: str,
    how: str,
    proved_at: datetime,
    expires_at: datetime,
    now: datetime,
) -> None:
    tx.execute(delete(session).where(session.c.account_id == account_id, session.c.expires_at < now))
    tx.execute(
        insert(session).values(
            digest=digest,
            account_id=account_id,
            csrf=csrf,
            user_agent=user_agent[:300],
            address=address[:64],
            how=how,
            created_at=now,
            proved_at=proved_at,
            last_seen_at=now,
            expires_at=expires_at,
        )
    )


def sessions_of(tx: Tx, account_id: int, *, now: datetime) -> list[Session]:
    rows = tx.execute(
        select(session)
        .where(session.c.account_id == account_id, session.c.expires_at >= now)
        .order_by(session.c.last_seen_at.desc())
    )
    return [session_of(row) for row in rows]


def touch_session(tx: Tx, digest: str, *, address: str, expires_at: datetime, now: datetime) -> None:
    values: dict[str, Any] = {"last_seen_at": now, "expires_at": expires_at}
    if address:
        values["address"] = address[:64]
    tx.execute(update(session).where(session.c.digest == digest).values(**values))


def proved_at(tx: Tx, digest: str) -> datetime | None:
    """When the person of a session last showed who they are; None once it has ended."""
    found: datetime | None = tx.execute(select(session.c.proved_at).where(session.c.digest == digest)).scalar()
    return found


def renew_session(tx: Tx, account_id: int, digest: str, *, new_digest: str, proved_at: datetime | None) -> bool:
    """Give a session another secret, and note a fresh proof; False when it has ended."""
    values: dict[str, Any] = {"digest": new_digest}
    if proved_at is not None:
        values["proved_at"] = proved_at
    changed = tx.execute(
        update(session).where(session.c.digest == digest, session.c.account_id == account_id).values(**values)
    )
    return bool(changed.rowcount)


def delete_session(tx: Tx, account_id: int, digest: str) -> None:
    tx.execute(delete(session).where(session.c.account_id == account_id, session.c.digest == digest))


def end_session(tx: Tx, digest: str) -> None:
    """Whosever it is: the browser that had it brought it."""
    tx.execute(delete(session).where(session.c.digest == digest))


def delete_sessions_of(tx: Tx, account_id: int, *, keep: str | None = None) -> int:
    query = delete(session).where(session.c.account_id == account_id)
    if keep is not None:
        query = query.where(session.c.digest != keep)
    found: int = tx.execute(query).rowcount
    return found


def link_of(row: Row[Any]) -> OneTimeLink:
    return OneTimeLink(
        id=row.digest,
        purpose=row.purpose,
        account_id=None if row.account_id is None else AccountId(row.account_id),
        org_id=None if row.org_id is None else AccountId(row.org_id),
        role=None if row.role is None else Role(row.role),
        note=row.note,
        created_by=None if row.created_by is None else AccountId(row.created_by),
        created_at=row.created_at,
        expires_at=row.expires_at,
        used_at=row.used_at,
    )


def insert_link(
    tx: Tx,
    purpose: str,
    *,
    digest: str,
    expires_at: datetime,
    now: datetime,
    account_id: int | None = None,
    org_id: int | None = None,
    role: Role | None = None,
    note: str = "",
    created_by: int | None = None,
) -> None:
    tx.execute(
        insert(one_time_link).values(
            digest=digest,
            purpose=purpose,
            account_id=account_id,
            org_id=org_id,
            role=None if role is None else int(role),
            note=note,
            created_by=created_by,
            created_at=now,
            expires_at=expires_at,
        )
    )


def find_link(tx: Tx, digest: str) -> OneTimeLink | None:
    row = tx.execute(select(one_time_link).where(one_time_link.c.digest == digest)).first()
    return None if row is None else link_of(row)


def use_link(tx: Tx, digest: str, *, now: datetime) -> bool:
    """Mark as used; False when someone else was first."""
    changed = tx.execute(
        update(one_time_link)
        .where(one_time_link.c.digest == digest, one_time_link.c.used_at.is_(None))
        .values(used_at=now)
    )
    return bool(changed.rowcount)


def delete_link(tx: Tx, digest: str) -> None:
    tx.execute(delete(one_time_link).where(one_time_link.c.digest == digest))


def delete_unused_links(tx: Tx, purpose: str, *, account_id: int | None = None) -> None:
    query = delete(one_time_link).where(one_time_link.c.purpose == purpose, one_time_link.c.used_at.is_(None))
    if account_id is not None:
        query = query.where(one_time_link.c.account_id == account_id)
    tx.execute(query)


def open_links(
    tx: Tx, *, purpose: str, now: datetime, org_id: int | None = None, created_by: int | None = None
) -> list[OneTimeLink]:
    query = (
        select(one_time_link)
        .where(one_time_link.c.purpose == purpose, one_time_link.c.used_at.is_(None), one_time_link.c.expires_at >= now)
        .order_by(one_time_link.c.created_at.desc())
        .limit(200)
    )
    if org_id is not None:
        query = query.where(one_time_link.c.org_id == org_id)
    if created_by is not None:
        query = query.where(one_time_link.c.created_by == created_by)
    return [link_of(row) for row in tx.execute(query)]


def failures(tx: Tx, keys: Iterable[str], *, now: datetime) -> dict[str, tuple[int, datetime]]:
    rows = tx.execute(
        select(sign_in_failure).where(sign_in_failure.c.key.in_(list(keys)), sign_in_failure.c.expires_at >= now)
    )
    return {row.key: (row.n, row.expires_at) for row in rows}


def count_failure(tx: Tx, keys: Iterable[str], *, expires_at: datetime, now: datetime) -> None:
    """One more failure for each key; a window starts with its first. Dead windows are swept on the way."""
    tx.execute(delete(sign_in_failure).where(sign_in_failure.c.expires_at < now))
    for key in keys:
        changed = tx.execute(
            update(sign_in_failure).where(sign_in_failure.c.key == key).values(n=sign_in_failure.c.n + 1)
        )
        if changed.rowcount == 0:
            tx.execute(insert(sign_in_failure).values(key=key, n=1, expires_at=expires_at))


def forget_failures(tx: Tx, keys: Iterable[str]) -> None:
    tx.execute(delete(sign_in_failure).where(sign_in_failure.c.key.in_(list(keys))))


def uncount_failure(tx: Tx, keys: Iterable[str]) -> None:
    tx.execute(
        update(sign_in_failure)
        .where(sign_in_failure.c.key.in_(list(keys)), sign_in_failure.c.n > 0)
        .values(n=sign_in_failure.c.n - 1)
    )


def sweep(tx: Tx, *, now: datetime, links_before: datetime, events_before: datetime) -> None:
    tx.execute(delete(spent_challenge).where(spent_challenge.c.expires_at < now))
    tx.execute(delete(account_event).where(account_event.c.created_at < events_before))
    tx.execute(delete(session).where(session.c.expires_at < now))
    tx.execute(delete(one_time_link).where(one_time_link.c.expires_at < links_before))
    tx.execute(delete(sign_in_failure).where(sign_in_failure.c.expires_at < now))
