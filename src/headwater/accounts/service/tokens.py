"""Tokens: made, listed, revoked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from headwater.accounts import credentials
from headwater.accounts.errors import BadTokenRequest, NotSignedIn, TokenNotFound
from headwater.accounts.models import Action, Resource, TokenInfo
from headwater.accounts.rights import require
from headwater.accounts.service.lookup import get_person
from headwater.accounts.store import secrets
from headwater.db import Tx
from headwater.kernel import AccountId, Actor, Grant

ROLES = ("read", "write", "admin", "fine")
GRANT_ACTIONS = ("read", "contribute", "write", "admin")
MAX_TOKENS, MAX_GRANTS = 500, 200


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

    Raises:
        NotAllowed: the actor may not manage that person's tokens.
        BadTokenRequest: unknown role, a "fine" token without grants, grants on another role, a moment in the past.
    """
    account_id = _owner_id(tx, actor, owner)
    lines = tuple(grants)
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
    secrets.revoke_token(tx, token_id, now=now)


def _owner_id(tx: Tx, actor: Actor, owner: str | None) -> AccountId:
    account_id = actor.account_id if owner is None else get_person(tx, owner).id
    if account_id is None:
        raise NotSignedIn
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=account_id))
    return account_id


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
