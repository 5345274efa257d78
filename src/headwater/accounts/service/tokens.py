"""Tokens: made, listed, revoked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from headwater.accounts import credentials
from headwater.accounts.errors import BadTokenRequest, NotAllowed, NotSignedIn, TokenNotFound
from headwater.accounts.models import Action, Resource, TokenInfo
from headwater.accounts.rights import require
from headwater.accounts.service import journal
from headwater.accounts.service.freshness import require_fresh
from headwater.accounts.service.lookup import get_person
from headwater.accounts.store import secrets
from headwater.db import Database, Tx
from headwater.kernel import SYSTEM, AccountId, Actor, Grant, utcnow

ROLES = ("read", "write", "admin", "fine", "infer")
GRANT_ACTIONS = ("read", "contribute", "write", "admin", "infer")
MAX_TOKENS, MAX_GRANTS = 500, 200
PASSING_TOKEN_LIVES = timedelta(hours=12)


@dataclass(frozen=True)
class NewToken:
    """``secret`` is shown to the owner now and never again."""

    info: TokenInfo
    secret: str


def create_token(
    tx: Tx,
    actor: Actor,
    *,
    name: str,
    role: str,
    grants: Iterable[Grant] = (),
    expires_at: datetime | None = None,
    now: datetime,
    owner: str | None = None,
) -> NewToken:
    """A token for ``owner``, or for the actor. It can never do more than its owner may at the time of use.

    One made by a token ends with that at the latest, and a fine-grained one makes none.

    Raises:
        NotAllowed: the actor may not manage that person's tokens.
        ProofNeeded: in a browser whose person has not shown for a while who they are.
        BadTokenRequest: unknown role, a "fine" token without grants, grants on another role, a moment in the past.
    """
    account_id = _owner_id(tx, actor, owner)
    require_fresh(tx, actor, now=now)
    lines = tuple(grants)
    expires_at = _within_own(tx, actor, expires_at)
    _check(name, role, lines, expires_at, now=now)
    if len(secrets.tokens_of(tx, account_id)) >= MAX_TOKENS:
        raise BadTokenRequest(f"There are {MAX_TOKENS} tokens already. Revoke those that are no longer used.")
    secret = credentials.new_token()
    info = secrets.insert_token(
        tx,
        account_id,
        name=name.strip(),
        digest=credentials.digest_of(secret),
        hint=credentials.hint_of(secret),
        role=role,
        grants=lines,
        expires_at=expires_at,
        now=now,
    )
    journal.note(tx, account_id, "token_made", facts={"name": info.name, "role": role, "by": actor.name}, now=now)
    return NewToken(info, secret)


def list_tokens(tx: Tx, actor: Actor, *, owner: str | None = None) -> list[TokenInfo]:
    """Tokens that were not revoked, newest first."""
    return secrets.tokens_of(tx, _owner_id(tx, actor, owner))


def revoke_token(tx: Tx, actor: Actor, token_id: int, *, now: datetime) -> None:
    """End a token at once; repeating it is harmless.

    Raises:
        TokenNotFound: there is none of this number, or it is someone else's.
    """
    if actor.account_id is None and not actor.is_system:
        raise NotSignedIn
    found = secrets.find_token(tx, token_id)
    if found is None or (not actor.is_system and not actor.is_site_admin and found.account_id != actor.account_id):
        raise TokenNotFound
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=found.account_id))
    if found.revoked_at is None:
        secrets.revoke_token(tx, token_id, now=now)
        journal.note(tx, found.account_id, "token_revoked", facts={"name": found.name, "by": actor.name}, now=now)


@contextlib.contextmanager
def passing_token(db: Database, owner: str, *, name: str) -> Iterator[str]:
    """The secret of a token of ``owner`` that writes, for as long as the block takes: for commands of whoever has the data folder.

    It is revoked at the end, and runs out by itself after ``PASSING_TOKEN_LIVES`` where the command is killed.
    """
    now = utcnow()
    expires_at = now + PASSING_TOKEN_LIVES
    made = db.write(create_token, SYSTEM, owner=owner, name=name, role="write", expires_at=expires_at, now=now)
    try:
        yield made.secret
    finally:
        db.write(revoke_token, SYSTEM, made.info.id, now=utcnow())


def _owner_id(tx: Tx, actor: Actor, owner: str | None) -> AccountId:
    account_id = actor.account_id if owner is None else get_person(tx, owner).id
    if account_id is None:
        raise NotSignedIn
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=account_id))
    return account_id


def _within_own(tx: Tx, actor: Actor, expires_at: datetime | None) -> datetime | None:
    """When a token that this actor makes ends."""
    if actor.limits is None:
        return expires_at
    if actor.limits.role == "fine":
        raise NotAllowed("A fine-grained token makes no other tokens: they could do more than it may.")
    own = secrets.find_token(tx, actor.limits.token_id)
    if own is None or own.expires_at is None:
        return expires_at
    return own.expires_at if expires_at is None else min(expires_at, own.expires_at)


def _check(name: str, role: str, grants: tuple[Grant, ...], expires_at: datetime | None, *, now: datetime) -> None:
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise BadTokenRequest("Give the token a name of 1 to 200 printable characters, to tell it from others.")
    if role not in ROLES:
        raise BadTokenRequest(f"{role!r} is no scope of a token. Use one of: {', '.join(ROLES)}.")
    if role == "fine" and not grants:
        raise BadTokenRequest("A fine-grained token needs at least one repository or namespace that it may act on.")
    if role != "fine" and grants:
        raise BadTokenRequest("Only a fine-grained token names repositories or namespaces.")
    if len(grants) > MAX_GRANTS:
        raise BadTokenRequest(f"A token may name at most {MAX_GRANTS} repositories and namespaces.")
    for grant in grants:
        if grant.action not in GRANT_ACTIONS or (grant.account_id is None and grant.repo_id is None):
            raise BadTokenRequest(f"{grant.action!r} is nothing that a token can allow on one thing.")
    if expires_at is not None and expires_at <= now:
        raise BadTokenRequest("The token would have expired already. Give a moment in the future.")


def create_run_token(
    tx: Tx, account_id: AccountId, *, name: str, grants: Iterable[Grant], expires_at: datetime, now: datetime
) -> NewToken:
    """A token for the process of a run, in the name of who submitted it; who asks has made sure that they may.

    Its grants may be none: it then reads what every stranger reads. It is in its owner's list, and they may revoke it.
    """
    secret = credentials.new_token()
    info = secrets.insert_token(
        tx,
        account_id,
        name=name,
        digest=credentials.digest_of(secret),
        hint=credentials.hint_of(secret),
        role="fine",
        grants=tuple(grants),
        expires_at=expires_at,
        now=now,
    )
    return NewToken(info, secret)


def set_run_grants(tx: Tx, token_id: int, grants: Iterable[Grant]) -> None:
    """What a run's token reaches from now on: an output repository that was just created."""
    secrets.set_grants(tx, token_id, grants)


def end_run_token(tx: Tx, token_id: int, *, now: datetime) -> None:
    """The run is over; nothing asks with its token any more."""
    secrets.revoke_token(tx, token_id, now=now)
