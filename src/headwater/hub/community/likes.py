"""Likes: one per person and repository."""

from __future__ import annotations

from datetime import datetime

from headwater import accounts
from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub.access import get_repository
from headwater.hub.community.models import Like
from headwater.hub.community.people import (
    PAGE_SIZE,
    Known,
    known_page,
    position_before,
    position_of,
    readable,
    self_id,
)
from headwater.hub.community.store import people as store
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.kernel import Actor, Page, RepoId, encode_cursor


def like(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, *, now: datetime) -> Repository:
    """Like a repository; liking twice is liking once."""
    repo = get_repository(tx, actor, kind, name, Action.DISCUSS)
    store.insert_like(tx, repo.id, self_id(actor), now=now)
    return repo


def unlike(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName) -> Repository:
    repo = get_repository(tx, actor, kind, name, Action.DISCUSS)
    store.delete_like(tx, repo.id, self_id(actor))
    return repo


def has_liked(tx: Tx, actor: Actor, repo_id: RepoId) -> bool:
    """For buttons; the caller has found the repository."""
    return actor.account_id is not None and store.has_liked(tx, repo_id, actor.account_id)


def list_likers(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, *, cursor: str | None = None, limit: int = PAGE_SIZE
) -> Page[Known]:
    """Who likes a repository, newest first."""
    repo = get_repository(tx, actor, kind, name, Action.READ)
    found = store.list_likers(tx, repo.id, before=position_before(cursor), limit=limit + 1)
    return known_page(tx, found, limit)


def list_likes(tx: Tx, actor: Actor, user: str, *, cursor: str | None = None, limit: int = PAGE_SIZE) -> Page[Like]:
    """What a person likes, as far as the one who asks may see it; newest first."""
    account = accounts.get_account(tx, user)
    found = store.list_likes(tx, account.id, readable(tx, actor), before=position_before(cursor), limit=limit + 1)
    kept = found[:limit]
    more = encode_cursor(position_of(kept[-1].created_at, kept[-1].repo_id)) if len(found) > limit else None
    return Page(kept, more)
