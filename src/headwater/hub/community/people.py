"""Follows, and what an account shows of itself. Accounts are public; what they own or like may be hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headwater import accounts
from headwater.accounts import Account, Action, Resource
from headwater.db import Tx
from headwater.hub.community.errors import StatusRefused
from headwater.hub.community.store import discussions as discussion_store
from headwater.hub.community.store import people as store
from headwater.hub.models import RepoKind, Repository
from headwater.kernel import AccountId, Actor, BadCursor, Page, decode_cursor, encode_cursor

PAGE_SIZE = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Overview:
    """An account and the numbers beside its name, as far as the one who asks may see what is counted."""

    account: Account
    n_repositories: dict[RepoKind, int]
    n_discussions: int
    n_likes: int
    n_followers: int
    n_following: int
    is_following: bool
    organisations: tuple[Account, ...]  # of a person
    n_members: int  # of an organisation


@dataclass(frozen=True)
class Known:
    """Somebody in a list, and whether the one who asks follows them."""

    account: Account
    since: datetime


def follow(tx: Tx, actor: Actor, name: str, *, now: datetime) -> Account:
    """Follow a person or an organisation; following twice is following once.

    Raises:
        StatusRefused: nobody follows themselves.
    """
    me, account = _require_self(tx, actor), accounts.get_account(tx, name)
    if account.id == me:
        raise StatusRefused("Nobody can follow themselves.")
    store.insert_follow(tx, me, account.id, now=now)
    return account


def unfollow(tx: Tx, actor: Actor, name: str) -> Account:
    me, account = _require_self(tx, actor), accounts.get_account(tx, name)
    store.delete_follow(tx, me, account.id)
    return account


def list_followers(
    tx: Tx, actor: Actor, name: str, *, cursor: str | None = None, limit: int = PAGE_SIZE
) -> Page[Known]:
    """Who follows an account, newest first."""
    return _follows(tx, store.list_followers, name, cursor, limit)


def list_following(
    tx: Tx, actor: Actor, name: str, *, cursor: str | None = None, limit: int = PAGE_SIZE
) -> Page[Known]:
    """Whom an account follows, newest first."""
    return _follows(tx, store.list_following, name, cursor, limit)


def get_overview(tx: Tx, actor: Actor, name: str, *, organisation: bool | None = None) -> Overview:
    """An account's numbers.

    Args:
        organisation: with True or False, only an account of that kind is found.
    """
    account = accounts.get_account(tx, name)
    is_organisation = account.kind is accounts.AccountKind.ORGANISATION
    if organisation is not None and organisation is not is_organisation:
        raise accounts.AccountNotFound(name)
    seen = readable(tx, actor)
    n_followers, n_following = store.count_follows(tx, account.id)
    me = actor.account_id
    return Overview(
        account=account,
        n_repositories=store.count_repositories(tx, account.id, seen),
        n_discussions=discussion_store.count_by_author(tx, account.id, seen),
        n_likes=store.count_likes(tx, account.id, seen),
        n_followers=n_followers,
        n_following=n_following,
        is_following=me is not None and store.is_following(tx, me, account.id),
        organisations=()
        if is_organisation
        else tuple(space.account for space in accounts.organisations_of(tx, account.id)),
        n_members=accounts.count_members(tx, [account.id]).get(account.id, 0) if is_organisation else 0,
    )


def list_repositories(tx: Tx, actor: Actor, account: Account, kind: RepoKind, *, limit: int) -> list[Repository]:
    """Those of ``account`` that the one who asks may see, changed last first."""
    return store.list_repositories(tx, account.id, kind, readable(tx, actor), limit=limit)


def readable(tx: Tx, actor: Actor) -> store.Readable:
    """Which repositories ``actor`` may see in lists."""
    return store.Readable(accounts.readable_owner_ids(tx, actor))


def self_id(actor: Actor) -> AccountId:
    """Whose act it is, for acts that need somebody."""
    if actor.account_id is None:
        raise accounts.NotSignedIn
    return actor.account_id


def _require_self(tx: Tx, actor: Actor) -> AccountId:
    """The actor's own id, if their credential may do more than read."""
    me = self_id(actor)
    accounts.require(tx, actor, Action.DISCUSS, on=Resource(owner_id=me))
    return me


def _follows(
    tx: Tx, find: Callable[..., list[tuple[AccountId, datetime]]], name: str, cursor: str | None, limit: int
) -> Page[Known]:
    account = accounts.get_account(tx, name)
    return known_page(tx, find(tx, account.id, before=position_before(cursor), limit=limit + 1), limit)


def known_page(tx: Tx, found: Sequence[tuple[AccountId, datetime]], limit: int) -> Page[Known]:
    """The first ``limit`` of (account, moment) pairs with the accounts filled in; one pair more means another page."""
    kept = found[:limit]
    people = accounts.get_accounts(tx, _ids(kept))
    more = encode_cursor(position_of(kept[-1][1], kept[-1][0])) if len(found) > limit else None
    return Page([Known(people[account_id], since) for account_id, since in kept], more)


def _ids(found: Iterable[tuple[AccountId, datetime]]) -> set[AccountId]:
    return {account_id for account_id, _ in found}


def position_of(moment: datetime, key: int) -> list[int]:
    """What a cursor of a list in order of time holds."""
    return [(moment - _EPOCH) // timedelta(microseconds=1), key]


def position_before(cursor: str | None) -> list[int] | None:
    """The inverse of ``position_of``, out of a cursor.

    Raises:
        BadCursor: it is none of these lists'.
    """
    if cursor is None:
        return None
    position = decode_cursor(cursor)
    if not (
        isinstance(position, list)
        and len(position) == 2
        and all(type(part) is int and abs(part) < 1 << 63 for part in position)
    ):
        raise BadCursor
    return position
