"""From a secret to an actor. Runs on every request with a credential: one indexed look-up, which the snapshot may remember."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row

from headwater.accounts import credentials
from headwater.accounts.errors import BadCredential
from headwater.accounts.models import Session
from headwater.accounts.rights import INFER_ANYWHERE
from headwater.accounts.store import secrets
from headwater.db import Tx
from headwater.kernel import AccountId, Actor, TokenLimits

TOUCH_EVERY = timedelta(minutes=5)  # how old "last used" may be before it is written again
SESSION_IDLE = timedelta(days=14)
SESSION_LONGEST = timedelta(days=90)


class Identified(NamedTuple):
    """Who a credential stands for. ``is_stale`` asks the caller to have its last use written, later and aside."""

    actor: Actor
    is_stale: bool
    session: Session | None = None


@dataclass(frozen=True)
class _Token:
    """What a row says of a token, whenever it is asked."""

    actor: Actor
    expires_at: datetime | None
    last_used_at: datetime | None


def identify_token(tx: Tx, token: str, *, now: datetime) -> Identified:
    """The owner of a token, bounded by what the token may do.

    Raises:
        BadCredential: wrong, expired or revoked, or its owner is suspended.
    """
    if not credentials.looks_like_token(token):
        raise BadCredential
    digest = credentials.digest_of(token)
    found = tx.remembered(("token", digest), lambda: _find_token(tx, digest))
    if found is None or (found.expires_at is not None and found.expires_at <= now):
        raise BadCredential
    return Identified(found.actor, is_stale=found.last_used_at is None or now - found.last_used_at > TOUCH_EVERY)


def _find_token(tx: Tx, digest: str) -> _Token | None:
    """A token that was not revoked, of an owner who is not suspended."""
    row = secrets.token_with_owner(tx, digest)
    if row is None or row.revoked_at is not None or row.suspended_at is not None:
        return None
    actor = Actor(
        account_id=AccountId(row.account_id),
        name=row.account_name,
        is_site_admin=row.is_site_admin,
        limits=_limits_of(row),
    )
    return _Token(actor, row.expires_at, row.last_used_at)


def _limits_of(row: Row[Any]) -> TokenLimits:
    """A key for endpoints alone is a fine-grained token to all the rest: it reaches nothing that is not open to everyone."""
    if row.role == "infer":
        return TokenLimits(row.id, row.name, "fine", (INFER_ANYWHERE,))
    return TokenLimits(row.id, row.name, row.role, secrets.grants_of(row.grants))


def identify_session(tx: Tx, secret: str, *, now: datetime) -> Identified | None:
    """The person of a browser's cookie, or None: an old cookie makes a stranger, not an error."""
    row = secrets.session_with_owner(tx, credentials.digest_of(secret))
    if row is None or row.suspended_at is not None or row.expires_at <= now:
        return None
    actor = Actor(
        account_id=AccountId(row.account_id),
        name=row.account_name,
        is_site_admin=row.is_site_admin,
        session_id=row.digest,
    )
    return Identified(actor, is_stale=now - row.last_seen_at > TOUCH_EVERY, session=secrets.session_of(row))


def still_stands(tx: Tx, actor: Actor, *, now: datetime) -> bool:
    """Whether an actor that was written into a link some time ago may still act: for those, no credential comes along."""
    if actor.account_id is None:
        return True
    row = secrets.standing(tx, actor.account_id, None if actor.limits is None else actor.limits.token_id)
    if row is None or row.suspended_at is not None or row.revoked_at is not None:
        return False
    if actor.is_site_admin and not row.is_site_admin:
        return False
    return row.expires_at is None or row.expires_at > now


def note_token_use(tx: Tx, token_id: int, *, now: datetime) -> None:
    """Write when a token was last used."""
    secrets.touch_token(tx, token_id, now=now)


def note_session_use(tx: Tx, session: Session, *, address: str = "", now: datetime) -> None:
    """Write when and where a browser was last seen, and let its session live on."""
    until = min(now + SESSION_IDLE, session.created_at + SESSION_LONGEST)
    secrets.touch_session(tx, session.id, address=address, expires_at=until, now=now)
