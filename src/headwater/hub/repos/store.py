"""SQL of repositories and of the names they have had."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from headwater.db import Tx
from headwater.hub.access import from_row
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.tables.repositories import ref, repository, repository_name
from headwater.kernel import AccountId, CommitId, RepoId


def name_key(name: RepoName) -> str:
    """Names are one when they differ only in letter case."""
    return str(name).casefold()


def find_name(tx: Tx, kind: RepoKind, name: RepoName) -> tuple[RepoId, str] | None:
    """Whose a name is, and its state; deleted ones too."""
    row = tx.execute(
        select(repository_name.c.repo_id, repository_name.c.state).where(
            repository_name.c.kind == kind.value, repository_name.c.name_key == name_key(name)
        )
    ).first()
    return None if row is None else (RepoId(row.repo_id), row.state)


def take_name(tx: Tx, kind: RepoKind, name: RepoName, repo_id: RepoId) -> None:
    """Make ``name`` the current one of a repository. The caller has seen that it is free, in this transaction."""
    key = name_key(name)
    tx.execute(delete(repository_name).where(repository_name.c.kind == kind.value, repository_name.c.name_key == key))
    tx.execute(
        update(repository_name)
        .where(repository_name.c.repo_id == repo_id, repository_name.c.state == "current")
        .values(state="moved")
    )
    tx.execute(insert(repository_name).values(kind=kind.value, name_key=key, repo_id=repo_id, state="current"))


def insert_repository(
    tx: Tx,
    *,
    kind: RepoKind,
    name: RepoName,
    owner_id: AccountId,
    sdk: str | None,
    is_private: bool,
    created_by: AccountId | None,
    now: datetime,
) -> Repository:
    result = tx.execute(
        insert(repository)
        .values(
            kind=kind.value,
            owner_id=owner_id,
            namespace=name.namespace,
            name=name.name,
            sdk=sdk,
            is_private=is_private,
            created_by=created_by,
            created_at=now,
            updated_at=now,
        )
        .returning(repository)
    )
    repo = from_row(result.one())
    take_name(tx, kind, name, repo.id)
    return repo


def update_repository(tx: Tx, repo_id: RepoId, **values: Any) -> None:
    tx.execute(update(repository).where(repository.c.id == repo_id).values(**values))


def find_branch(tx: Tx, repo_id: RepoId, branch: str) -> CommitId | None:
    """Where a branch stands."""
    found = tx.execute(select(ref.c.oid).where(ref.c.repo_id == repo_id, ref.c.name == f"refs/heads/{branch}")).scalar()
    return None if found is None else CommitId(found)


def new_head(commit: CommitId) -> dict[str, Any]:
    """What changes in a repository's row with its head; the version, so that caches write theirs anew."""
    return {"head_commit": commit, "version": repository.c.version + 1}


def delete_repository(tx: Tx, repo_id: RepoId, now: datetime) -> None:
    """Mark as deleted; its names stay taken. The collectors take its packs and bytes later."""
    tx.execute(
        update(repository)
        .where(repository.c.id == repo_id)
        .values(deleted_at=now, version=repository.c.version + 1, head_commit=None)
    )
    tx.execute(update(repository_name).where(repository_name.c.repo_id == repo_id).values(state="deleted"))
    tx.execute(delete(ref).where(ref.c.repo_id == repo_id))


def list_repositories(tx: Tx, owner_id: AccountId | None, *, after_id: int, limit: int) -> list[Repository]:
    """All of one owner's repositories, or (None) everybody's, in the order they were made."""
    query = select(repository).where(repository.c.deleted_at.is_(None), repository.c.id > after_id)
    if owner_id is not None:
        query = query.where(repository.c.owner_id == owner_id)
    return [from_row(row) for row in tx.execute(query.order_by(repository.c.id).limit(limit))]
