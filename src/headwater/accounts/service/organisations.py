"""Organisations and the roles of their members."""

from __future__ import annotations

from datetime import datetime

from headwater import ledger
from headwater.accounts.errors import LastAdmin, NotSignedIn
from headwater.accounts.models import Account, AccountKind, Action, Member, Resource, Role
from headwater.accounts.names import check_account_name
from headwater.accounts.rights import require
from headwater.accounts.service.lookup import get_organisation, get_person, get_self
from headwater.accounts.store import people
from headwater.db import Tx
from headwater.kernel import AccountId, Actor, Page, decode_number, encode_cursor


def create_organisation(
    tx: Tx, actor: Actor, name: str, *, owner: str | None = None, full_name: str = "", now: datetime
) -> Account:
    """A new organisation with one administrator: the actor, or ``owner`` when an administrator of the site makes it.

    Raises:
        BadAccountName, AccountNameTaken: the name cannot be given.
    """
    if owner is None:
        first = get_self(tx, actor)
        require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=first.id))
    else:
        first = get_person(tx, owner)
        if first.id != actor.account_id:
            require(tx, actor, Action.MANAGE_SITE, on=None)
    org = people.insert_account(
        tx,
        AccountKind.ORGANISATION,
        check_account_name(name),
        full_name=full_name.strip()[:200],
        email=None,
        is_site_admin=False,
        now=now,
    )
    people.put_member(tx, org.id, first.id, Role.ADMIN, now=now)
    ledger.record(
        tx, actor, "organisation.created", org.name, {"admin": first.name}, owner_id=org.id, private=True, now=now
    )
    return org


def set_role(tx: Tx, actor: Actor, org: str, person: str, role: Role, *, now: datetime) -> None:
    """Make ``person`` a member of ``org``, or change their role.

    Raises:
        LastAdmin: the only administrator would become less.
    """
    found = get_organisation(tx, org)
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=found.id))
    member = get_person(tx, person)
    before = people.find_role(tx, found.id, member.id)
    if before is role:
        return
    if before is Role.ADMIN:
        _keep_an_admin(tx, found, member)
    people.put_member(tx, found.id, member.id, role, now=now)
    facts = {"member": member.name, "role": role.name.lower()}
    ledger.record(tx, actor, "member.role_set", found.name, facts, owner_id=found.id, private=True, now=now)


def remove_member(tx: Tx, actor: Actor, org: str, person: str, *, now: datetime) -> None:
    """End a membership: an administrator ends anyone's, a member their own. What they made stays with the organisation.

    Raises:
        LastAdmin: the only administrator would be gone.
    """
    if actor.is_anonymous:
        raise NotSignedIn
    found, member = get_organisation(tx, org), get_person(tx, person)
    # Leaving is an act on one's own account, removing is one on the organisation's.
    owner: AccountId = member.id if member.id == actor.account_id else found.id
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=owner))
    before = people.find_role(tx, found.id, member.id)
    if before is None:
        return
    if before is Role.ADMIN:
        _keep_an_admin(tx, found, member)
    people.delete_member(tx, found.id, member.id)
    ledger.record(
        tx, actor, "member.removed", found.name, {"member": member.name}, owner_id=found.id, private=True, now=now
    )


def list_members(tx: Tx, org: str, *, cursor: str | None = None, limit: int = 100) -> Page[Member]:
    """Members in the order of their accounts; memberships are public."""
    after = 0 if cursor is None else decode_number(cursor)
    items, more = people.members_page(tx, get_organisation(tx, org).id, after_id=after, limit=limit)
    return Page(items, encode_cursor(items[-1].account.id) if more else None)


def count_members(tx: Tx, org_ids: list[AccountId]) -> dict[int, int]:
    """How many members each has; one without members is left out."""
    return people.count_members(tx, org_ids)


def find_role(tx: Tx, org_id: AccountId, account_id: AccountId) -> Role | None:
    """The role of a person in an organisation, None for non-members."""
    return people.find_role(tx, org_id, account_id)


def _keep_an_admin(tx: Tx, org: Account, member: Account) -> None:
    if member.suspended_at is None and people.count_admins(tx, org.id) <= 1:
        raise LastAdmin(org.name)
