"""From a name to a repository the actor may act on: the one ``require`` for repositories."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, bindparam, select

from headwater import accounts
from headwater.accounts import Action
from headwater.db import Tx, prepared
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.tables.repositories import repository, repository_name
from headwater.kernel import AccountId, Actor, CommitId, RepoId

# Built once: each request begins with it, and building a statement costs more than running it.
_BY_NAME = prepared(
    select(repository)
    .join(repository_name, repository_name.c.repo_id == repository.c.id)
    .where(
        repository_name.c.kind == bindparam("of_kind"),
        repository_name.c.name_key == bindparam("key"),
        repository_name.c.state != "deleted",
        repository.c.deleted_at.is_(None),
    )
)
_BY_ID = prepared(select(repository).where(repository.c.id == bindparam("repo_id"), repository.c.deleted_at.is_(None)))


def get_repository(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, action: Action) -> Repository:
    """The repository now known by ``name`` (old names lead on to it), if ``actor`` may do ``action`` on it.

    Compare ``result.name`` with what was asked in order to redirect.

    Raises:
        RepositoryNotFound: absent or hidden.
        NotSignedIn, NotAllowed, GateClosed: visible, but not theirs to do.
    """
    found = find_by_name(tx, kind, name)
    return check_repository(tx, actor, found, action)


def get_repository_by_id(tx: Tx, actor: Actor, repo_id: RepoId, action: Action) -> Repository:
    """As ``get_repository``, for an id out of a signed link or a job."""
    row = tx.execute(_BY_ID, {"repo_id": repo_id}).first()
    return check_repository(tx, actor, None if row is None else from_row(row), action)


def check_repository(tx: Tx, actor: Actor, found: Repository | None, action: Action) -> Repository:
    if found is None:
        raise RepositoryNotFound
    try:
        accounts.require(tx, actor, action, on=found.resource)
    except accounts.Hidden as exc:
        raise RepositoryNotFound from exc
    return found


def find_by_name(tx: Tx, kind: RepoKind, name: RepoName) -> Repository | None:
    """By present or former name, whoever asks: for services that check rights themselves."""
    key = name.key
    return tx.remembered(("repository", kind, key), lambda: _find_by_key(tx, kind, key))


def _find_by_key(tx: Tx, kind: RepoKind, key: str) -> Repository | None:
    row = tx.execute(_BY_NAME, {"of_kind": kind.value, "key": key}).first()
    return None if row is None else from_row(row)


def visible_among(tx: Tx, actor: Actor, ids: Iterable[int]) -> set[int]:
    """Those of these repositories that still are, and that ``actor`` may know of: one query for all."""
    seen = accounts.visible(tx, actor).where(
        owner_id=repository.c.owner_id, repo_id=repository.c.id, is_private=repository.c.is_private
    )
    wanted = select(repository.c.id).where(repository.c.id.in_(set(ids)), repository.c.deleted_at.is_(None), seen)
    return set(tx.execute(wanted).scalars())


def get_visible(tx: Tx, actor: Actor, ids: Iterable[int]) -> dict[int, Repository]:
    """As ``visible_among``, with the repositories themselves."""
    seen = accounts.visible(tx, actor).where(
        owner_id=repository.c.owner_id, repo_id=repository.c.id, is_private=repository.c.is_private
    )
    wanted = select(repository).where(repository.c.id.in_(set(ids)), repository.c.deleted_at.is_(None), seen)
    return {row.id: from_row(row) for row in tx.execute(wanted)}


def from_row(row: Row[Any]) -> Repository:
    return Repository(
        id=RepoId(row.id),
        kind=RepoKind(row.kind),
        owner_id=AccountId(row.owner_id),
        name=RepoName(row.namespace, row.name),
        sdk=row.sdk,
        is_private=row.is_private,
        gated=row.gated,
        is_disabled=row.is_disabled,
        default_branch=row.default_branch,
        head_commit=None if row.head_commit is None else CommitId(row.head_commit),
        version=row.version,
        prune_epoch=row.prune_epoch,
        created_by=None if row.created_by is None else AccountId(row.created_by),
        created_at=row.created_at,
        updated_at=row.updated_at,
        size_bytes=row.size_bytes,
        n_likes=row.n_likes,
        n_downloads=row.n_downloads,
        trending_score=row.trending_score,
    )
