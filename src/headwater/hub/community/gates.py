"""Gated repositories: from a repository's name to the accounts' requests about it."""

from __future__ import annotations

from datetime import datetime

from headwater import accounts
from headwater.accounts import AccessRequest, Action
from headwater.db import Tx
from headwater.hub.access import get_repository
from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import Actor, Page


def request_access(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, *, answers: dict[str, str], now: datetime
) -> AccessRequest:
    """Ask for the files of a gated repository; asking again changes nothing."""
    repo = get_repository(tx, actor, kind, name, Action.READ)
    return accounts.request_access(tx, actor, repo.resource, fields=answers, now=now)


def list_requests(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, status: str, *, cursor: str | None = None
) -> Page[AccessRequest]:
    """Requests of one status, for the repository's administrators."""
    repo = get_repository(tx, actor, kind, name, Action.READ)
    return accounts.list_requests(tx, actor, repo.resource, status, cursor=cursor)


def handle_request(
    tx: Tx,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    *,
    status: str,
    user: str | None = None,
    request_id: int | None = None,
    reason: str | None = None,
    now: datetime,
) -> AccessRequest:
    """Accept, reject, or put back to pending."""
    repo = get_repository(tx, actor, kind, name, Action.READ)
    return accounts.handle_request(
        tx, actor, repo.resource, status=status, user=user, request_id=request_id, reason=reason, now=now
    )


def grant_access(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, user: str, *, now: datetime) -> AccessRequest:
    """Let somebody in who may not have asked."""
    repo = get_repository(tx, actor, kind, name, Action.READ)
    return accounts.grant_access(tx, actor, repo.resource, user, now=now)
