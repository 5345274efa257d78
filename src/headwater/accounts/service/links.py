"""One-time links: the first administrator, invitations, new passwords. Nothing here needs e-mail.

A link is ``/link/<secret>``; only the secret's digest is stored. Whether a link still opens anything is decided when it is
used: its maker must still have the right to make it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from headwater import ledger
from headwater.accounts import credentials
from headwater.accounts.errors import LinkInvalid, NotAllowed, NotSignedIn
from headwater.accounts.models import Account, Action, OneTimeLink, Resource, Role, SignUpPolicy
from headwater.accounts.rights import require
from headwater.accounts.service.freshness import require_fresh
from headwater.accounts.service.lookup import get_organisation, get_person, get_self
from headwater.accounts.service.policy import sign_up_policy
from headwater.accounts.store import people, secrets
from headwater.db import Tx
from headwater.kernel import Actor

FIRST_ADMIN_LIFE = timedelta(days=7)
INVITATION_LIFE = timedelta(days=14)
RESET_LIFE = timedelta(days=2)


def ensure_first_admin_link(tx: Tx, now: datetime) -> str | None:
    """The path of a fresh link that makes its user the first administrator; None once there is one.

    Links of earlier calls stop working, as their secrets are not kept and could not be shown again.
    """
    if people.count_site_admins(tx) > 0:
        return None
    secrets.delete_unused_links(tx, "first_admin")
    return _make(tx, "first_admin", life=FIRST_ADMIN_LIFE, now=now)


def invite_to_site(tx: Tx, actor: Actor, *, note: str = "", now: datetime) -> str:
    """The path of a link with which one stranger may sign up.

    Raises:
        NotAllowed: only administrators invite while sign-up is closed.
    """
    if actor.is_system or (actor.is_site_admin and actor.account_id is not None):
        require(tx, actor, Action.MANAGE_SITE, on=None)
    else:
        if actor.account_id is None:
            raise NotSignedIn
        require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=actor.account_id))
        if sign_up_policy(tx) is SignUpPolicy.CLOSED:
            raise NotAllowed("Sign-up is closed on this site: only its administrators may invite.")
    return _make(tx, "site", life=INVITATION_LIFE, note=note, actor=actor, now=now)


def invite_to_organisation(tx: Tx, actor: Actor, org: str, role: Role, *, note: str = "", now: datetime) -> str:
    """The path of a link with which one person joins ``org``; a stranger may sign up by it where the actor may invite strangers."""
    found = get_organisation(tx, org)
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=found.id))
    return _make(tx, "org", life=INVITATION_LIFE, org_id=found.id, role=role, note=note, actor=actor, now=now)


def make_reset_link(tx: Tx, actor: Actor, name: str, *, now: datetime) -> str:
    """The path of a link with which ``name`` sets a new password. Earlier ones stop working.

    Raises:
        ProofNeeded: whoever holds it can become ``name``.
    """
    require(tx, actor, Action.MANAGE_SITE, on=None)
    require_fresh(tx, actor, now=now)
    account = get_person(tx, name)
    if account.suspended_at is not None:
        raise NotAllowed(f"{account.name} is suspended. Reinstate them first.")
    secrets.delete_unused_links(tx, "reset", account_id=account.id)
    return _make(tx, "reset", life=RESET_LIFE, account_id=account.id, actor=actor, now=now)


def get_link(tx: Tx, secret: str, *, now: datetime) -> OneTimeLink:
    """The link, if it would still open what it was made for.

    Raises:
        LinkInvalid: used, expired, withdrawn, never given out, or its maker lost the right.
    """
    link = secrets.find_link(tx, credentials.digest_of(secret))
    if link is None or link.used_at is not None or link.expires_at <= now or not _maker_still_may(tx, link):
        raise LinkInvalid
    return link


def opens_sign_up(tx: Tx, link: OneTimeLink) -> bool:
    """Whether a stranger may become a person here by this link."""
    if link.purpose in ("first_admin", "site"):
        return True  # that the maker may still bring strangers was part of get_link
    if link.purpose != "org":
        return False
    policy = sign_up_policy(tx)
    return policy is SignUpPolicy.OPEN or _may_bring_strangers(_maker(tx, link), link, policy)


def accept_invitation(tx: Tx, actor: Actor, secret: str, *, now: datetime) -> Account:
    """Join the organisation that the link is for; a higher role that the actor already has stays."""
    account = get_self(tx, actor)
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=account.id))
    link = get_link(tx, secret, now=now)
    if link.purpose != "org" or link.org_id is None:
        raise LinkInvalid
    spend(tx, link, account, now=now)
    return people.accounts_by_id(tx, [link.org_id])[link.org_id]


def spend(tx: Tx, link: OneTimeLink, account: Account, *, now: datetime) -> None:
    """Use the link up for ``account``; whoever comes second with it is refused.

    Raises:
        LinkInvalid: someone was first.
    """
    if not secrets.use_link(tx, link.id, now=now):
        raise LinkInvalid
    if link.purpose == "org" and link.org_id is not None and link.role is not None:
        role = max(link.role, people.find_role(tx, link.org_id, account.id) or Role.READ)
        people.put_member(tx, link.org_id, account.id, role, now=now)
        org = people.accounts_by_id(tx, [link.org_id])[link.org_id]
        facts = {"member": account.name, "role": role.name.lower()}
        ledger.record(
            tx,
            Actor(account.id, account.name),
            "member.role_set",
            org.name,
            facts,
            owner_id=org.id,
            private=True,
            now=now,
        )


def list_invitations(tx: Tx, actor: Actor, *, org: str | None = None, now: datetime) -> list[OneTimeLink]:
    """Open invitations: to ``org`` for its administrators, else to the site (all for its administrators, else one's own)."""
    if org is not None:
        found = get_organisation(tx, org)
        require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=found.id))
        return secrets.open_links(tx, purpose="org", org_id=found.id, now=now)
    if actor.is_system or actor.is_site_admin:
        require(tx, actor, Action.MANAGE_SITE, on=None)
        return secrets.open_links(tx, purpose="site", now=now)
    account = get_self(tx, actor)
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=account.id))
    return secrets.open_links(tx, purpose="site", created_by=account.id, now=now)


def withdraw_invitation(tx: Tx, actor: Actor, link_id: str) -> None:
    """Make an open invitation worthless; one that is no more is no error."""
    link = secrets.find_link(tx, link_id)
    if link is None or link.used_at is not None or link.purpose not in ("site", "org"):
        if not actor.is_system:  # what is not there is nobody's: whoever may withdraw their own may say so
            require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=get_self(tx, actor).id))
        return
    if link.org_id is not None:
        require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=link.org_id))
    elif link.created_by is not None and link.created_by == actor.account_id:
        require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=link.created_by))
    else:
        require(tx, actor, Action.MANAGE_SITE, on=None)
    secrets.delete_link(tx, link_id)


def _make(
    tx: Tx,
    purpose: str,
    *,
    life: timedelta,
    now: datetime,
    account_id: int | None = None,
    org_id: int | None = None,
    role: Role | None = None,
    note: str = "",
    actor: Actor | None = None,
) -> str:
    secret = credentials.new_secret()
    secrets.insert_link(
        tx,
        purpose,
        digest=credentials.digest_of(secret),
        expires_at=now + life,
        now=now,
        account_id=account_id,
        org_id=org_id,
        role=role,
        note=note.strip()[:200],
        created_by=None if actor is None else actor.account_id,
    )
    return f"/link/{secret}"


def _maker(tx: Tx, link: OneTimeLink) -> Account | None:
    return None if link.created_by is None else people.accounts_by_id(tx, [link.created_by])[link.created_by]


def _maker_still_may(tx: Tx, link: OneTimeLink) -> bool:
    if link.purpose == "first_admin":
        return people.count_site_admins(tx) == 0
    maker = _maker(tx, link)
    if maker is None:  # made at the machine itself, by the command line
        return True
    if maker.suspended_at is not None:
        return False
    if maker.is_site_admin:
        return True
    if link.purpose == "org" and link.org_id is not None:
        return people.find_role(tx, link.org_id, maker.id) is Role.ADMIN
    return link.purpose == "site" and _may_bring_strangers(maker, link, sign_up_policy(tx))


def _may_bring_strangers(maker: Account | None, link: OneTimeLink, policy: SignUpPolicy) -> bool:
    if link.created_by is None or maker is None or maker.is_site_admin:
        return True
    return policy is not SignUpPolicy.CLOSED
