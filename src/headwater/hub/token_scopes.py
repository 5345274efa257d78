"""Repositories by address, for fine-grained tokens: what ``accounts`` asks of the hub without knowing it."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub.access import from_row, get_repository, visible_among
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.tables.repositories import repository
from headwater.kernel import Actor

_KINDS = {"models": RepoKind.MODEL, "datasets": RepoKind.DATASET, "spaces": RepoKind.SPACE}


def find_repository_id(tx: Tx, actor: Actor, path: str) -> int:
    """The id of ``[models/|datasets/|spaces/]namespace/name``.

    Raises:
        RepositoryNotFound: there is none, or the actor may not read it.
    """
    parts = path.split("/")
    kind = RepoKind.MODEL
    if len(parts) == 3 and parts[0] in _KINDS:
        kind = _KINDS[parts.pop(0)]
    if len(parts) != 2:
        raise RepositoryNotFound
    return int(get_repository(tx, actor, kind, RepoName(*parts), Action.READ).id)


def repository_paths(tx: Tx, actor: Actor, ids: Iterable[int]) -> dict[int, str]:
    """The present address of each repository that still is, and that the actor may know of."""
    rows = tx.execute(select(repository).where(repository.c.id.in_(visible_among(tx, actor, ids))))
    return {row.id: from_row(row).path for row in rows}
