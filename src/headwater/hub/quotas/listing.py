"""Who uses what: lists out of the counters, in the order of their indexes, however many there are."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, tuple_

from headwater import accounts
from headwater.accounts import Account, Action, Resource
from headwater.db import Tx
from headwater.hub.access import from_row
from headwater.hub.models import Repository
from headwater.hub.quotas import store
from headwater.hub.quotas.models import Limits, Quota, Usage
from headwater.hub.tables.quotas import account_usage, pull_usage, repository_usage
from headwater.hub.tables.repositories import repository
from headwater.kernel import Actor, BadCursor, Page, decode_cursor, encode_cursor

PULLS_SHOWN = 50


@dataclass(frozen=True)
class AccountLine:
    account: Account
    quota: Quota


@dataclass(frozen=True)
class RepositoryLine:
    """``pull_pack_bytes`` of its packs are charged to authors of pull requests."""

    repo: Repository
    file_bytes: int
    pack_bytes: int
    pull_pack_bytes: int
    used_bytes: int


@dataclass(frozen=True)
class PullLine:
    repo: Repository
    num: int
    n_bytes: int


def list_accounts(
    tx: Tx, actor: Actor, *, search: str = "", smallest_first: bool = False, cursor: str | None = None, limit: int = 50
) -> Page[AccountLine]:
    """Accounts by what they are charged; with ``search`` those whose names begin so.

    Raises:
        NotSignedIn, NotAllowed: for the site's administrators.
    """
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    default = store.find_default(tx)[0].limits
    used = account_usage.c
    query = select(account_usage)
    if search:
        found = accounts.find_by_prefix(tx, search, limit=limit)
        query = query.where(used.account_id.in_([each.id for each in found]))
    here = tuple_(used.used_bytes, used.account_id)
    if cursor is not None:
        after = tuple_(*_place(cursor))
        query = query.where(here > after if smallest_first else here < after)
    order = (used.used_bytes, used.account_id) if smallest_first else (used.used_bytes.desc(), used.account_id.desc())
    rows = tx.execute(query.order_by(*order).limit(limit + 1)).all()
    known = accounts.get_accounts(tx, [row.account_id for row in rows[:limit]])
    lines = []
    for row in rows[:limit]:
        usage = Usage.from_row(row)
        own = Limits(row.max_bytes, row.max_private_bytes, row.max_repositories)
        lines.append(AccountLine(known[row.account_id], Quota(usage, own, own.over(default))))
    if search and cursor is None:  # those who have nothing yet are found by name, too
        shown = {line.account.id for line in lines}
        lines += [
            AccountLine(each, Quota(Usage(), Limits(), Limits().over(default)))
            for each in found
            if each.id not in shown
        ]
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(lines, None if last is None else encode_cursor([last.used_bytes, last.account_id]))


def list_repositories(
    tx: Tx,
    actor: Actor,
    owner_name: str | None,
    *,
    smallest_first: bool = False,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[RepositoryLine]:
    """Repositories by what their owner is charged for each; of one owner, or (None) of the whole site.

    Raises:
        AccountNotFound, NotSignedIn, NotAllowed: for the owner, or the site's administrators.
    """
    of = repository_usage.c
    query = select(repository, of.file_bytes, of.pack_bytes, of.pull_pack_bytes, of.used_bytes).join(
        repository_usage, of.repo_id == repository.c.id
    )
    if owner_name is None:
        accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    else:
        owner = accounts.get_account(tx, owner_name)
        accounts.require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=owner.id))
        query = query.where(of.owner_id == owner.id)
    here = tuple_(of.used_bytes, of.repo_id)
    if cursor is not None:
        after = tuple_(*_place(cursor))
        query = query.where(here > after if smallest_first else here < after)
    order = (of.used_bytes, of.repo_id) if smallest_first else (of.used_bytes.desc(), of.repo_id.desc())
    rows = tx.execute(query.order_by(*order).limit(limit + 1)).all()
    lines = [
        RepositoryLine(from_row(row), row.file_bytes, row.pack_bytes, row.pull_pack_bytes, row.used_bytes)
        for row in rows[:limit]
    ]
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(lines, None if last is None else encode_cursor([last.used_bytes, last.id]))


def list_pulls(tx: Tx, actor: Actor, owner_name: str) -> list[PullLine]:
    """What an account is charged for pull requests, the largest first; repositories that it may no longer see left out.

    Raises:
        AccountNotFound, NotSignedIn, NotAllowed.
    """
    owner = accounts.get_account(tx, owner_name)
    accounts.require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=owner.id))
    size = pull_usage.c.file_bytes + pull_usage.c.pack_bytes
    query = (
        select(repository, pull_usage.c.num, size.label("n_bytes"))
        .join(pull_usage, pull_usage.c.repo_id == repository.c.id)
        .where(pull_usage.c.account_id == owner.id, size > 0)
        .order_by(size.desc(), pull_usage.c.repo_id, pull_usage.c.num)
        .limit(PULLS_SHOWN)
    )
    lines = [PullLine(from_row(row), row.num, int(row.n_bytes)) for row in tx.execute(query)]
    return [line for line in lines if accounts.allows(tx, actor, Action.READ, on=line.repo.resource)]


def _place(cursor: str) -> tuple[int, int]:
    found = decode_cursor(cursor)
    if not isinstance(found, list) or [type(each) for each in found] != [int, int]:
        raise BadCursor
    if not all(0 <= each < 1 << 63 for each in found):
        raise BadCursor
    return found[0], found[1]
