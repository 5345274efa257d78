"""Rows of likes and follows, and what of an account's others may count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Select, and_, delete, exists, func, insert, or_, select, update

from headwater.accounts.tables import account
from headwater.db import Tx
from headwater.hub.access import from_row
from headwater.hub.community.models import Like
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.tables.community import follow, repo_like
from headwater.hub.tables.repositories import repository
from headwater.kernel import AccountId, RepoId


class Readable:
    """Which repositories someone may see, who has the private things of ``owners`` (None: everyone's).

    A condition that is asked row by row: a list of all ids would be as long as the site is large.
    """

    def __init__(self, owners: set[int] | None) -> None:
        self._owners = owners

    def rows(self, of: FromClause = repository) -> ColumnElement[bool]:
        """For statements that read repositories themselves."""
        if self._owners is None:
            return of.c.deleted_at.is_(None)
        return and_(of.c.deleted_at.is_(None), or_(of.c.is_private.is_(False), of.c.owner_id.in_(self._owners)))

    def ids(self, repo_id: ColumnElement[Any]) -> ColumnElement[bool]:
        """For columns of other tables that name one."""
        seen = repository.alias("seen")
        return exists().where(seen.c.id == repo_id, self.rows(seen))


def insert_like(tx: Tx, repo_id: RepoId, account_id: AccountId, *, now: datetime) -> bool:
    """Whether it was new; the repository's counter follows."""
    known = tx.execute(
        select(repo_like.c.repo_id).where(repo_like.c.repo_id == repo_id, repo_like.c.account_id == account_id)
    ).first()
    if known is not None:
        return False
    tx.execute(insert(repo_like).values(repo_id=repo_id, account_id=account_id, created_at=now))
    _count_likes(tx, repo_id)
    return True


def delete_like(tx: Tx, repo_id: RepoId, account_id: AccountId) -> bool:
    gone = tx.execute(
        delete(repo_like).where(repo_like.c.repo_id == repo_id, repo_like.c.account_id == account_id)
    ).rowcount
    if gone:
        _count_likes(tx, repo_id)
    return bool(gone)


def _count_likes(tx: Tx, repo_id: RepoId) -> None:
    count = select(func.count()).select_from(repo_like).where(repo_like.c.repo_id == repo_id).scalar_subquery()
    tx.execute(update(repository).where(repository.c.id == repo_id).values(n_likes=count))


def has_liked(tx: Tx, repo_id: RepoId, account_id: AccountId) -> bool:
    query = select(repo_like.c.repo_id).where(repo_like.c.repo_id == repo_id, repo_like.c.account_id == account_id)
    return tx.execute(query).first() is not None


def list_likers(
    tx: Tx, repo_id: RepoId, *, before: Sequence[int] | None, limit: int
) -> list[tuple[AccountId, datetime]]:
    """Newest first; ``before`` is (microseconds, account id) of the last one seen."""
    query = select(repo_like.c.account_id, repo_like.c.created_at).where(repo_like.c.repo_id == repo_id)
    return _newest(tx, query, repo_like.c.created_at, repo_like.c.account_id, before, limit)


def list_likes(
    tx: Tx, account_id: AccountId, readable: Readable, *, before: Sequence[int] | None, limit: int
) -> list[Like]:
    query = (
        select(
            repo_like.c.repo_id,
            repo_like.c.created_at,
            repository.c.kind,
            repository.c.namespace,
            repository.c.name,
        )
        .join(repository, repository.c.id == repo_like.c.repo_id)
        .where(repo_like.c.account_id == account_id, readable.ids(repo_like.c.repo_id))
        .order_by(repo_like.c.created_at.desc(), repo_like.c.repo_id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(_older(repo_like.c.created_at, repo_like.c.repo_id, before))
    return [
        Like(RepoId(row.repo_id), RepoKind(row.kind), RepoName(row.namespace, row.name), row.created_at)
        for row in tx.execute(query)
    ]


def count_likes(tx: Tx, account_id: AccountId, readable: Readable) -> int:
    found: int = tx.execute(
        select(func.count())
        .select_from(repo_like)
        .where(repo_like.c.account_id == account_id, readable.ids(repo_like.c.repo_id))
    ).scalar_one()
    return found


def liked_among(tx: Tx, account_id: AccountId, repo_ids: Sequence[RepoId]) -> set[RepoId]:
    rows = tx.execute(
        select(repo_like.c.repo_id).where(repo_like.c.account_id == account_id, repo_like.c.repo_id.in_(repo_ids))
    )
    return {RepoId(row.repo_id) for row in rows}


def insert_follow(tx: Tx, follower: AccountId, followed: AccountId, *, now: datetime) -> bool:
    if is_following(tx, follower, followed):
        return False
    tx.execute(insert(follow).values(follower_id=follower, followed_id=followed, created_at=now))
    return True


def delete_follow(tx: Tx, follower: AccountId, followed: AccountId) -> bool:
    gone = tx.execute(delete(follow).where(follow.c.follower_id == follower, follow.c.followed_id == followed))
    return bool(gone.rowcount)


def is_following(tx: Tx, follower: AccountId, followed: AccountId) -> bool:
    query = select(follow.c.follower_id).where(follow.c.follower_id == follower, follow.c.followed_id == followed)
    return tx.execute(query).first() is not None


def list_followers(
    tx: Tx, followed: AccountId, *, before: Sequence[int] | None, limit: int
) -> list[tuple[AccountId, datetime]]:
    query = select(follow.c.follower_id, follow.c.created_at).where(follow.c.followed_id == followed)
    return _newest(tx, query, follow.c.created_at, follow.c.follower_id, before, limit)


def list_following(
    tx: Tx, follower: AccountId, *, before: Sequence[int] | None, limit: int
) -> list[tuple[AccountId, datetime]]:
    query = select(follow.c.followed_id, follow.c.created_at).where(follow.c.follower_id == follower)
    return _newest(tx, query, follow.c.created_at, follow.c.followed_id, before, limit)


def count_follows(tx: Tx, account_id: AccountId) -> tuple[int, int]:
    """How many follow the account, how many it follows."""
    n_followers = select(func.count()).select_from(follow).where(follow.c.followed_id == account_id).scalar_subquery()
    n_following = select(func.count()).select_from(follow).where(follow.c.follower_id == account_id).scalar_subquery()
    row = tx.execute(select(n_followers.label("followers"), n_following.label("following"))).one()
    return row.followers, row.following


def count_repositories(tx: Tx, owner_id: AccountId, readable: Readable) -> dict[RepoKind, int]:
    rows = tx.execute(
        select(repository.c.kind, func.count().label("n"))
        .where(repository.c.owner_id == owner_id, readable.rows())
        .group_by(repository.c.kind)
    )
    return {RepoKind(row.kind): row.n for row in rows}


def list_repositories(
    tx: Tx, owner_id: AccountId, kind: RepoKind, readable: Readable, *, limit: int
) -> list[Repository]:
    """Those changed last, first."""
    rows = tx.execute(
        select(repository)
        .where(repository.c.owner_id == owner_id, repository.c.kind == kind.value, readable.rows())
        .order_by(repository.c.updated_at.desc(), repository.c.id.desc())
        .limit(limit)
    )
    return [from_row(row) for row in rows]


def repositories_by_id(tx: Tx, ids: Sequence[int], readable: Readable | None = None) -> dict[RepoId, Repository]:
    query = select(repository).where(repository.c.id.in_(ids), repository.c.deleted_at.is_(None))
    if readable is not None:
        query = query.where(readable.rows())
    return {RepoId(row.id): from_row(row) for row in tx.execute(query)}


def account_exists(tx: Tx, account_id: AccountId) -> bool:
    return tx.execute(select(account.c.id).where(account.c.id == account_id)).first() is not None


def _newest(
    tx: Tx, query: Select[Any], moment: Any, key: Any, before: Sequence[int] | None, limit: int
) -> list[tuple[AccountId, datetime]]:
    if before is not None:
        query = query.where(_older(moment, key, before))
    rows = tx.execute(query.order_by(moment.desc(), key.desc()).limit(limit))
    return [(AccountId(row[0]), row[1]) for row in rows]


def _older(moment: Any, key: Any, before: Sequence[int]) -> Any:
    from datetime import UTC, timedelta
    from datetime import datetime as moment_type

    at = moment_type(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=before[0])
    return or_(moment < at, (moment == at) & (key < before[1]))
