"""The one authorisation function. Every door's act comes through ``require`` exactly once.

A person's right on a thing is the highest of: the thing is public (READ, READ_FILES, DISCUSS), they own it or are the site's
admin (everything), their role in the owning organisation. A token's limits then bound that: of what is not open to every
stranger, a fine-grained token reaches only what it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, false, or_, select, true

from headwater.accounts.errors import Disabled, GateClosed, Hidden, NotAllowed, NotSignedIn
from headwater.accounts.models import Action, Resource, Role
from headwater.accounts.tables import access_request, membership
from headwater.db import Tx, prepared
from headwater.kernel import Actor, Grant, TokenLimits

_NEEDED = {
    Action.READ: Role.READ,
    Action.READ_FILES: Role.READ,
    Action.DISCUSS: Role.READ,
    Action.INFER: Role.READ,
    Action.CREATE_REPOSITORY: Role.CONTRIBUTE,
    Action.WRITE: Role.WRITE,
    Action.ADMIN: Role.ADMIN,
    Action.MANAGE_ACCOUNT: Role.ADMIN,
}
_TOKEN_NEEDS = {
    Action.READ: "read",
    Action.READ_FILES: "read",
    Action.DISCUSS: "contribute",
    Action.CREATE_REPOSITORY: "write",
    Action.WRITE: "push",
    Action.ADMIN: "write",  # as on the public hub: a write token creates, changes and deletes repositories
    Action.MANAGE_ACCOUNT: "admin",
    Action.MANAGE_SITE: "admin",
}
_ROLE = prepared(
    select(membership.c.role).where(
        membership.c.org_id == bindparam("org"), membership.c.account_id == bindparam("member")
    )
)
# ``push`` is what a run may do to its outputs: put commits there, and no more; no person's token is given it.
_TOKEN_ORDER = {"read": 1, "contribute": 2, "push": 3, "write": 4, "admin": 5}

# All that a token of the role "infer" has: it is a fine-grained one that names nothing.
INFER_ANYWHERE = Grant("infer")


def require(tx: Tx, actor: Actor, action: Action, *, on: Resource | None) -> None:
    """Return if ``actor`` may do ``action`` on the thing; ``on`` is None for the site itself.

    Raises:
        Hidden: the actor may not even know of it.
        NotSignedIn: a stranger asks for more than a stranger may.
        GateClosed: files of a gated repository, not granted.
        Disabled: files or changes of a repository that the site's administrators closed.
        NotAllowed: visible, but not theirs to do.
    """
    if actor.is_system:
        return
    if on is None:
        _require_site(actor, action)
        return
    role = _role_on(tx, actor, on)
    is_reached = _token_allows(actor.limits, Action.READ, on) or (
        action is Action.INFER and _token_allows(actor.limits, Action.INFER, on)
    )
    if on.is_private and (role < Role.READ or not is_reached):
        raise Hidden
    if action is Action.READ:
        return
    if on.is_disabled and not actor.is_site_admin:
        raise Disabled
    if action is Action.READ_FILES:
        if on.gated and (role < Role.READ or not is_reached):
            _require_gate(tx, actor, on, is_reached=is_reached)
        return
    if actor.is_anonymous:
        raise NotSignedIn
    if not _token_allows(actor.limits, action, on):
        name = actor.limits.name if actor.limits is not None else ""
        raise NotAllowed(f"The token {name!r} may not do this. Use one with more scope.")
    if action is Action.DISCUSS or (action is Action.INFER and not on.is_private):
        return
    if role >= _NEEDED[action]:
        return
    is_own = on.created_by is not None and on.created_by == actor.account_id and role >= Role.CONTRIBUTE
    if is_own and action in (Action.WRITE, Action.ADMIN):
        return
    raise NotAllowed(f"{actor.name} may not do this here ({action.value}). Ask an administrator of the owner.")


def allows(tx: Tx, actor: Actor, action: Action, *, on: Resource | None) -> bool:
    """Whether ``require`` would return: for buttons and lists, never instead of it."""
    try:
        require(tx, actor, action, on=on)
    except (Hidden, NotSignedIn, GateClosed, NotAllowed, Disabled):
        return False
    return True


@dataclass(frozen=True)
class Visibility:
    """Whose private things an actor may list.

    Private things of ``owner_ids`` (None: of every owner), and the private repositories ``repo_ids`` as far as their owner
    is among ``bound_owner_ids`` (None: any). The last two are empty but for fine-grained tokens.
    """

    owner_ids: frozenset[int] | None
    repo_ids: frozenset[int] = frozenset()
    bound_owner_ids: frozenset[int] | None = frozenset()

    def where(
        self, *, owner_id: ColumnElement[Any], repo_id: ColumnElement[Any], is_private: ColumnElement[Any]
    ) -> ColumnElement[bool]:
        """The SQL condition that keeps what the actor may list, for the three columns of any table of repositories."""
        if self.owner_ids is None:
            return true()
        named: ColumnElement[bool] = false()
        if self.repo_ids:
            named = repo_id.in_(sorted(self.repo_ids))
            if self.bound_owner_ids is not None:
                named = and_(named, owner_id.in_(sorted(self.bound_owner_ids)))
        return or_(is_private.is_(False), owner_id.in_(sorted(self.owner_ids)), named)

    def shows(self, *, owner_id: int, repo_id: int, is_private: bool) -> bool:
        """The same for one repository in memory."""
        if not is_private or self.owner_ids is None or owner_id in self.owner_ids:
            return True
        return repo_id in self.repo_ids and (self.bound_owner_ids is None or owner_id in self.bound_owner_ids)


def visible(tx: Tx, actor: Actor) -> Visibility:
    """What private things ``actor`` may list; the same answer as ``require`` with READ gives for each."""
    if actor.is_system:
        return Visibility(None)
    if actor.account_id is None:
        return Visibility(frozenset())
    owners: frozenset[int] | None = None
    if not actor.is_site_admin:
        rows = tx.execute(select(membership.c.org_id).where(membership.c.account_id == actor.account_id))
        owners = frozenset({actor.account_id, *(row.org_id for row in rows)})
    if actor.limits is None or actor.limits.role != "fine":
        return Visibility(owners)
    named = [grant for grant in actor.limits.grants if grant.action in _TOKEN_ORDER]
    accounts = frozenset(g.account_id for g in named if g.repo_id is None and g.account_id is not None)
    repos = frozenset(g.repo_id for g in named if g.repo_id is not None)
    return Visibility(accounts if owners is None else accounts & owners, repos, owners)


def readable_owner_ids(tx: Tx, actor: Actor) -> set[int] | None:
    """Owners all of whose private things ``actor`` may list; None means every owner's. ``visible`` says more."""
    found = visible(tx, actor).owner_ids
    return None if found is None else set(found)


def _require_site(actor: Actor, action: Action) -> None:
    if actor.is_anonymous:
        raise NotSignedIn
    if not actor.is_site_admin or not _token_allows(actor.limits, action, None):
        raise NotAllowed("This is for the site's administrators.")


def _role_on(tx: Tx, actor: Actor, on: Resource) -> int:
    if actor.account_id is None:
        return 0
    if actor.is_site_admin or on.owner_id == actor.account_id:
        return Role.ADMIN
    values = {"org": on.owner_id, "member": actor.account_id}
    return tx.remembered(("role", on.owner_id, actor.account_id), lambda: tx.execute(_ROLE, values).scalar() or 0)


def _token_allows(limits: TokenLimits | None, action: Action, on: Resource | None) -> bool:
    if limits is None:
        return True
    if action is Action.INFER:
        return may_infer(limits, on)
    needed = _TOKEN_ORDER[_TOKEN_NEEDS[action]]
    if limits.role != "fine":
        return _TOKEN_ORDER[limits.role] >= needed
    return on is not None and any(
        _TOKEN_ORDER.get(grant.action, 0) >= needed
        and (grant.account_id == on.owner_id if grant.repo_id is None else grant.repo_id == on.repo_id)
        for grant in limits.grants
    )


def may_infer(limits: TokenLimits, on: Resource | None) -> bool:
    """Whether a token has the scope for it: one beside the others. To read is not to use a machine, and a key for that reads nothing.

    What its owner may is asked apart.
    """
    if limits.role != "fine":
        return limits.role in ("write", "admin")
    for grant in limits.grants:
        if grant.action != "infer" or on is None:
            continue
        if grant == INFER_ANYWHERE or (
            grant.account_id == on.owner_id if grant.repo_id is None else grant.repo_id == on.repo_id
        ):
            return True
    return False


def _require_gate(tx: Tx, actor: Actor, on: Resource, *, is_reached: bool) -> None:
    if actor.account_id is None:
        raise GateClosed(asked=False, signed_in=False)
    status = tx.execute(
        select(access_request.c.status).where(
            access_request.c.repo_id == on.repo_id, access_request.c.account_id == actor.account_id
        )
    ).scalar()
    if status != "accepted" or not is_reached:
        raise GateClosed(asked=status is not None, signed_in=True)
