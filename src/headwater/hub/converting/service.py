"""Asking for a torch file as safetensors, and how far that is."""

from __future__ import annotations

from datetime import datetime

from headwater import queue
from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub import access
from headwater.hub.converting import store
from headwater.hub.converting.errors import NothingToConvert
from headwater.hub.converting.models import Conversion, is_convertible
from headwater.hub.events import CONVERT_FILE
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.names import check_path
from headwater.kernel import Actor

MAX_SHOWN = 200


def ask(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, path: str, *, now: datetime) -> Repository:
    """Have a job offer the file at ``path`` of the default branch as safetensors, in a pull request of ``actor``'s.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed: for those who write to the repository.
        NothingToConvert, BadPath
    """
    repo = access.get_repository(tx, actor, kind, name, Action.WRITE)
    if not is_convertible(check_path(path)):
        raise NothingToConvert(path)
    store.put(tx, repo.id, path, by=actor.account_id, now=now)
    queue.put(tx, CONVERT_FILE, {"repo_id": repo.id, "path": path}, unique=f"{repo.id}:{path}", now=now)
    return repo


def list_conversions(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName) -> tuple[Repository, list[Conversion]]:
    """
    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed: for those who write to the repository.
    """
    repo = access.get_repository(tx, actor, kind, name, Action.WRITE)
    return repo, store.list_of(tx, repo.id, MAX_SHOWN)
