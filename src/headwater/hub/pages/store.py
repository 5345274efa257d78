"""SQL that only pages ask for."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from headwater.db import Tx
from headwater.hub.models import RepoKind, Repository
from headwater.hub.tables.repositories import ref, repository, repository_name

_HEADS = "refs/heads/"


def list_branches(tx: Tx, repo: Repository, limit: int = 500) -> list[str]:
    """Short names of the branches, by name; the default one is among them however many there are."""
    query = select(ref.c.name).where(ref.c.repo_id == repo.id, ref.c.name.startswith(_HEADS, autoescape=True))
    found = [row.name.removeprefix(_HEADS) for row in tx.execute(query.order_by(ref.c.name).limit(limit))]
    return found if repo.default_branch in found or repo.head_commit is None else [repo.default_branch, *found]


def public_names(tx: Tx, wanted: Collection[tuple[RepoKind, str]]) -> set[tuple[RepoKind, str]]:
    """Which of these names lead to a public repository; private ones are not told from absent ones."""
    if not wanted:
        return set()
    keys = {(kind.value, name.casefold()): (kind, name) for kind, name in wanted}
    query = (
        select(repository_name.c.kind, repository_name.c.name_key)
        .join(repository, repository.c.id == repository_name.c.repo_id)
        .where(
            repository_name.c.kind.in_({kind for kind, _ in keys}),  # the key begins with it
            repository_name.c.name_key.in_({key for _, key in keys}),
            repository_name.c.state != "deleted",
            repository.c.is_private.is_(False),
            repository.c.deleted_at.is_(None),
        )
    )
    return {keys[row.kind, row.name_key] for row in tx.execute(query) if (row.kind, row.name_key) in keys}
