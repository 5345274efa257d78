"""What a signed link or token lets its bearer do: as one actor, one act, on one repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from headwater import accounts
from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub.access import get_repository_by_id
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.models import Repository
from headwater.kernel import AccountId, Actor, Grant, RepoId, TokenLimits, utcnow


@dataclass(frozen=True)
class RepoGrant:
    """Signed into links and tokens (``hub.signing``); the rights behind it are asked again when something is written."""

    actor: Actor
    repo_id: RepoId
    action: Action

    def to_facts(self) -> list[Any]:
        limits = self.actor.limits
        return [
            self.repo_id,
            self.action.value,
            self.actor.account_id,
            self.actor.name,
            self.actor.is_site_admin,
            limits
            and [
                limits.token_id,
                limits.name,
                limits.role,
                [[g.action, g.account_id, g.repo_id] for g in limits.grants],
            ],
        ]

    @classmethod
    def from_facts(cls, facts: list[Any]) -> Self:
        """The inverse of ``to_facts``."""
        repo_id, action, account_id, name, is_site_admin, limits = facts
        bounds = None
        if limits is not None:
            token_id, token_name, role, grants = limits
            bounds = TokenLimits(token_id, token_name, role, tuple(Grant(*grant) for grant in grants))
        actor = Actor(None if account_id is None else AccountId(account_id), name, is_site_admin, limits=bounds)
        return cls(actor, RepoId(repo_id), Action(action))


def require_grant(tx: Tx, grant: RepoGrant) -> Repository:
    """The grant's repository, if its person may still do what was granted.

    Raises:
        RepositoryNotFound: it is gone or hidden by now, or the person was suspended, or their token revoked or expired.
        NotAllowed, GateClosed, Disabled: the right itself was taken.
    """
    if not accounts.still_stands(tx, grant.actor, now=utcnow()):
        raise RepositoryNotFound
    return get_repository_by_id(tx, grant.actor, grant.repo_id, grant.action)
