"""The one authorisation function. Every door's act comes through ``require`` exactly once.

A person's right on a thing is the highest of: the thing is public (READ, READ_FILES, DISCUSS), they own it or are the site's
admin (everything), their role in the owning organisation. A token's limits then bound that.
"""

from __future__ import annotations

from sqlalchemy import select

from headwater.accounts.errors import GateClosed, Hidden, NotAllowed, NotSignedIn
from headwater.accounts.models import Action, Resource, Role
from headwater.accounts.tables import access_request, membership
from headwater.db import Tx
from headwater.kernel import Actor, TokenLimits

_NEEDED = {
    Action.READ: Role.READ,
    Action.READ_FILES: Role.READ,
    Action.DISCUSS: Role.READ,
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
    Action.WRITE: "write",
    Action.ADMIN: "write",  # as on the public hub: a write token creates, changes and deletes repositories
    Action.MANAGE_ACCOUNT: "admin",
    Action.MANAGE_SITE: "admin",
}
_TOKEN_ORDER = {"read": 1, "contribute": 2, "write": 3, "admin": 4}


def require(tx: Tx, actor: Actor, action: Action, *, on: Resource | None) -> None:
    """Return if ``actor`` may do ``action`` on the thing; ``on`` is None for the site itself.

    Raises:
        Hidden: the actor may not even know of it.
        NotSignedIn: a stranger asks for more than a stranger may.
        GateClosed: files of a gated repository, not granted.
        NotAllowed: visible, but not theirs to do.
    """
    if actor.is_system:
        return
    if on is None:
        if actor.is_anonymous:
            raise NotSignedIn
        if not actor.is_site_admin or not _token_allows(actor.limits, action, None):
            raise NotAllowed("This is for the site's administrators.")
        return
    role = _role_on(tx, actor, on)
    readable = (not on.is_private or role >= Role.READ) and _token_reads(actor.limits, on)
    if not readable:
        raise Hidden
    if action is Action.READ:
        return
    if action is Action.READ_FILES:
        if on.gated and role < Role.READ:
            _require_gate(tx, actor, on)
        return
    if actor.is_anonymous:
        raise NotSignedIn
    if not _token_allows(actor.limits, action, on):
        raise NotAllowed(f"The token {actor.limits.name!r} may not do this. Use one with more scope.")  # type: ignore[union-attr]
    if action is Action.DISCUSS:
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
    except (Hidden, NotSignedIn, GateClosed, NotAllowed):
        return False
    return True


def readable_owner_ids(tx: Tx, actor: Actor) -> set[int] | None:
    """Owners whose private things ``actor`` may list; None means every owner's."""
    if actor.is_system:
        return None
    if actor.account_id is None:
        return set()
    if actor.is_site_admin and (actor.limits is None or actor.limits.role != "fine"):
        return None
    rows = tx.execute(select(membership.c.org_id).where(membership.c.account_id == actor.account_id))
    owners = {actor.account_id, *(row.org_id for row in rows)}
    if actor.limits is not None and actor.limits.role == "fine":
        owners &= {g.account_id for g in actor.limits.grants if g.account_id is not None}  # type: ignore[assignment]
    return owners  # type: ignore[return-value]


def _role_on(tx: Tx, actor: Actor, on: Resource) -> int:
    if actor.account_id is None:
        return 0
    if actor.is_site_admin or on.owner_id == actor.account_id:
        return Role.ADMIN
    found = tx.execute(
        select(membership.c.role).where(membership.c.org_id == on.owner_id, membership.c.account_id == actor.account_id)
    ).scalar()
    return found or 0


def _token_reads(limits: TokenLimits | None, on: Resource) -> bool:
    # A fine-grained token sees what is public, as a stranger does, and of the rest only what it names.
    return not on.is_private or _token_allows(limits, Action.READ, on)


def _token_allows(limits: TokenLimits | None, action: Action, on: Resource | None) -> bool:
    if limits is None:
        return True
    needed = _TOKEN_ORDER[_TOKEN_NEEDS[action]]
    if limits.role != "fine":
        return _TOKEN_ORDER[limits.role] >= needed
    return any(
        _TOKEN_ORDER.get(grant.action, 0) >= needed
        and (
            (grant.repo_id is not None and on is not None and grant.repo_id == on.repo_id)
            or (grant.repo_id is None and on is not None and grant.account_id == on.owner_id)
        )
        for grant in limits.grants
    )


def _require_gate(tx: Tx, actor: Actor, on: Resource) -> None:
    if actor.account_id is None:
        raise GateClosed(asked=False, signed_in=False)
    status = tx.execute(
        select(access_request.c.status).where(
            access_request.c.repo_id == on.repo_id, access_request.c.account_id == actor.account_id
        )
    ).scalar()
    if status != "accepted":
        raise GateClosed(asked=status is not None, signed_in=True)
