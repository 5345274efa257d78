"""People: made, changed, suspended, given a new password."""

from __future__ import annotations

from datetime import datetime

from headwater import ledger
from headwater.accounts import credentials, passwords
from headwater.accounts.errors import (
    AccountNameTaken,
    BadSetting,
    LastAdmin,
    LinkInvalid,
    SignInFailed,
    SignUpClosed,
)
from headwater.accounts.models import Account, AccountKind, Action, OneTimeLink, Resource, SignUpPolicy
from headwater.accounts.names import check_account_name
from headwater.accounts.rights import require
from headwater.accounts.service import freshness, journal, links, policy, second, sessions
from headwater.accounts.service.lookup import get_account, get_person, get_self
from headwater.accounts.service.sessions import Browser, Entered
from headwater.accounts.store import factors, people, secrets
from headwater.db import Tx
from headwater.kernel import Actor, Page, decode_number, encode_cursor
from headwater.web import Site


def create_person(
    tx: Tx,
    actor: Actor,
    name: str,
    *,
    password_hash: str | None,
    full_name: str = "",
    email: str | None = None,
    is_site_admin: bool = False,
    now: datetime,
) -> Account:
    """A person made by an administrator. Without a password they need a reset link, or another site to sign in through.

    Raises:
        BadAccountName, AccountNameTaken: the name cannot be given.
    """
    require(tx, actor, Action.MANAGE_SITE, on=None)
    return insert_person(
        tx,
        actor,
        name,
        password_hash=password_hash,
        full_name=full_name,
        email=email,
        is_site_admin=is_site_admin,
        now=now,
    )


def sign_up(
    site: Site,
    actor: Actor,
    *,
    name: str,
    password: str,
    browser: Browser,
    full_name: str = "",
    email: str | None = None,
    link_secret: str | None = None,
    replaces: str | None = None,
    now: datetime,
) -> Entered:
    """A new person, by themselves, and their first session. A link may open what the policy keeps closed.

    Raises:
        SignUpClosed, LinkInvalid: not without a link, or not with this one.
        BadAccountName, AccountNameTaken, WeakPassword: choose another.
        TooManyAttempts: too many accounts from one address.
    """
    del actor
    site.db.read(_check_sign_up, name, link_secret, now=now)  # before the costly hash; decided again below
    passwords.check_strength(password, name=name)
    hashed = passwords.hash_password(password)

    def act(tx: Tx) -> Entered:
        link = _check_sign_up(tx, name, link_secret, now=now)
        sessions.count_sign_up(tx, browser.address, now=now)
        is_first = link is not None and link.purpose == "first_admin"
        account = insert_person(
            tx,
            Actor(name=name),
            name,
            password_hash=hashed,
            full_name=full_name,
            email=email,
            is_site_admin=is_first,
            now=now,
        )
        if link is not None:
            links.spend(tx, link, account, now=now)
        return sessions.enter(tx, site.secret, account, how="sign_up", browser=browser, replaces=replaces, now=now)

    return site.db.write(act)


def insert_person(
    tx: Tx,
    actor: Actor,
    name: str,
    *,
    password_hash: str | None,
    full_name: str,
    email: str | None,
    is_site_admin: bool,
    now: datetime,
) -> Account:
    """A new person, for callers within this context that have decided that there may be one."""
    account = people.insert_account(
        tx,
        AccountKind.PERSON,
        check_account_name(name),
        full_name=_text(full_name, 200),
        email=check_email(email),
        is_site_admin=is_site_admin,
        now=now,
    )
    if password_hash is not None:
        people.put_password(tx, account.id, password_hash, now=now)
    ledger.record(
        tx, actor, "account.created", account.name, {"kind": "person", "admin": is_site_admin}, private=True, now=now
    )
    return account


def update_profile(
    tx: Tx, actor: Actor, name: str, *, full_name: str, details: str, email: str | None, now: datetime
) -> None:
    """What a person or organisation says about itself. The name itself never changes."""
    del now
    account = get_account(tx, name)
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=account.id))
    people.update_account(
        tx, account.id, full_name=_text(full_name, 200), details=_text(details, 4000), email=check_email(email)
    )


def list_people(
    tx: Tx, actor: Actor, *, search: str = "", cursor: str | None = None, limit: int = 100
) -> Page[Account]:
    """Everyone, in order of arrival, for administrators."""
    require(tx, actor, Action.MANAGE_SITE, on=None)
    return _page(tx, AccountKind.PERSON, search=search, cursor=cursor, limit=limit)


def list_organisations(
    tx: Tx, actor: Actor, *, search: str = "", cursor: str | None = None, limit: int = 100
) -> Page[Account]:
    """Every organisation, in order of arrival, for administrators."""
    require(tx, actor, Action.MANAGE_SITE, on=None)
    return _page(tx, AccountKind.ORGANISATION, search=search, cursor=cursor, limit=limit)


def suspend(tx: Tx, actor: Actor, name: str, *, now: datetime) -> Account:
    """Stop a person's sessions and tokens at once. What they made stays. Repeating it is harmless.

    Raises:
        LastAdmin: nobody could administer the site any more.
    """
    require(tx, actor, Action.MANAGE_SITE, on=None)
    account = get_person(tx, name)
    if account.suspended_at is not None:
        return account
    _keep_an_admin(tx, account)
    people.update_account(tx, account.id, suspended_at=now)
    sessions.end_all(tx, account.id)
    secrets.delete_unused_links(tx, "reset", account_id=account.id)
    ledger.record(tx, actor, "account.suspended", account.name, {}, private=True, now=now)
    return get_person(tx, name)


def reinstate(tx: Tx, actor: Actor, name: str, *, now: datetime) -> Account:
    """End a suspension: tokens that have not expired work again, sessions do not come back."""
    require(tx, actor, Action.MANAGE_SITE, on=None)
    account = get_person(tx, name)
    if account.suspended_at is None:
        return account
    people.update_account(tx, account.id, suspended_at=None)
    ledger.record(tx, actor, "account.reinstated", account.name, {}, private=True, now=now)
    return get_person(tx, name)


def set_site_admin(tx: Tx, actor: Actor, name: str, *, is_admin: bool, now: datetime) -> Account:
    """Make a person an administrator of the site, or no longer.

    Raises:
        LastAdmin: nobody could administer the site any more.
    """
    require(tx, actor, Action.MANAGE_SITE, on=None)
    account = get_person(tx, name)
    freshness.require_fresh(tx, actor, now=now)
    if account.is_site_admin == is_admin:
        return account
    if not is_admin:
        _keep_an_admin(tx, account)
    people.update_account(tx, account.id, is_site_admin=is_admin)
    ledger.record(tx, actor, "account.admin_set", account.name, {"admin": is_admin}, private=True, now=now)
    return get_person(tx, name)


def set_password(tx: Tx, actor: Actor, name: str, *, password_hash: str, now: datetime) -> None:
    """A new password for ``name`` by an administrator; ends all their sessions, not their tokens."""
    require(tx, actor, Action.MANAGE_SITE, on=None)
    account = get_person(tx, name)
    _replace_password(tx, account, password_hash, keep_session=None, now=now)
    journal.note(tx, account.id, "password_changed", facts={"by": actor.name}, is_alert=True, now=now)


def reset_second_factors(tx: Tx, actor: Actor, name: str, *, now: datetime) -> int:
    """Take all second factors and recovery codes of ``name`` away, for somebody who lost them; ends their sessions.

    Gives how many factors there were. For the machine's operator: no page does it.
    """
    require(tx, actor, Action.MANAGE_SITE, on=None)
    account = get_person(tx, name)
    n = len(factors.factors_of(tx, account.id))
    factors.delete_all(tx, account.id)
    second.forgive_tries(tx, account.id)
    sessions.end_all(tx, account.id)
    journal.note(tx, account.id, "factors_reset", facts={"by": actor.name, "n": n}, is_alert=True, now=now)
    second.record(tx, actor, "second_factor.reset", account, "all", now=now)
    return n


def change_password(
    site: Site, actor: Actor, *, old: str, new: str, browser: Browser, keep_session: str | None, now: datetime
) -> str | None:
    """A new password by the person who knows the old one; ends their other sessions, and gives the kept one a new secret.

    Someone who has none yet (they sign in through another site) sets their first, with a fresh proof.

    Raises:
        SignInFailed: the old one is wrong. TooManyAttempts, WeakPassword, ProofNeeded.
    """
    account, hashed = site.db.read(_own_password, actor)
    if hashed is not None:
        site.db.write(sessions.count_attempt, account.name, browser.address, now=now)
        if not passwords.matches(hashed, old):
            site.db.write(journal.note_refusal, account.id, step="password", browser=browser, now=now)
            raise SignInFailed
    passwords.check_strength(new, name=account.name)
    new_hash = passwords.hash_password(new)

    def act(tx: Tx) -> str | None:
        if people.password_hash(tx, account.id) != hashed:  # replaced while this one was looked at
            raise SignInFailed
        if hashed is not None:
            sessions.forgive_attempt(tx, account.name, browser.address)
        if hashed is None:
            freshness.require_no_token(actor)
        if hashed is None or factors.kinds_of(tx, account.id):
            freshness.require_fresh(tx, actor, now=now)
        _replace_password(tx, account, new_hash, keep_session=keep_session, now=now)
        journal.note(tx, account.id, "password_changed", facts={"by": account.name}, browser=browser, now=now)
        if keep_session is None:
            return None
        secret = credentials.new_secret()
        digest = credentials.digest_of(secret)
        is_kept = secrets.renew_session(tx, account.id, keep_session, new_digest=digest, proved_at=None)
        return secret if is_kept else None

    return site.db.write(act)


def has_password(tx: Tx, actor: Actor) -> bool:
    """Whether the actor can sign in with one."""
    return actor.account_id is not None and people.password_hash(tx, actor.account_id) is not None


def reset_password(
    site: Site,
    actor: Actor,
    *,
    link_secret: str,
    password: str,
    browser: Browser,
    replaces: str | None = None,
    now: datetime,
) -> Entered:
    """A new password by one who holds a reset link; ends all sessions but the new one.

    The link stands for the password alone: a second factor is asked for all the same.

    Raises:
        LinkInvalid, WeakPassword.
    """
    del actor

    def find(tx: Tx) -> tuple[OneTimeLink, Account]:
        link = links.get_link(tx, link_secret, now=now)
        if link.purpose != "reset" or link.account_id is None:
            raise LinkInvalid
        return link, people.accounts_by_id(tx, [link.account_id])[link.account_id]

    _, account = site.db.read(find)
    passwords.check_strength(password, name=account.name)
    hashed = passwords.hash_password(password)

    def act(tx: Tx) -> Entered:
        link, account = find(tx)
        links.spend(tx, link, account, now=now)
        _replace_password(tx, account, hashed, keep_session=None, now=now)
        facts = {"by": account.name, "link": True}
        journal.note(tx, account.id, "password_changed", facts=facts, browser=browser, is_alert=True, now=now)
        return sessions.enter(tx, site.secret, account, how="link", browser=browser, replaces=replaces, now=now)

    return site.db.write(act)


def check_email(email: str | None) -> str | None:
    """An address as given, or None for an empty one. Nothing is ever sent to it.

    Raises:
        BadSetting: it cannot be one.
    """
    email = (email or "").strip()
    if not email:
        return None
    user, at, host = email.rpartition("@")
    if not at or not user or not host or len(email) > 254 or not email.isprintable() or " " in email:
        raise BadSetting(f"{email[:80]!r} is no e-mail address. Leave it empty or correct it.")
    return email


def _check_sign_up(tx: Tx, name: str, link_secret: str | None, *, now: datetime) -> OneTimeLink | None:
    link = None
    if link_secret:
        link = links.get_link(tx, link_secret, now=now)
        if not links.opens_sign_up(tx, link):
            raise SignUpClosed
    elif policy.sign_up_policy(tx) is not SignUpPolicy.OPEN:
        raise SignUpClosed
    check_account_name(name)
    if people.find_account(tx, name) is not None:
        raise AccountNameTaken(name)
    return link


def _own_password(tx: Tx, actor: Actor) -> tuple[Account, str | None]:
    account = get_self(tx, actor)
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=account.id))
    return account, people.password_hash(tx, account.id)


def _replace_password(tx: Tx, account: Account, hashed: str, *, keep_session: str | None, now: datetime) -> None:
    people.put_password(tx, account.id, hashed, now=now)
    sessions.end_all(tx, account.id, keep=keep_session)
    secrets.delete_unused_links(tx, "reset", account_id=account.id)


def _keep_an_admin(tx: Tx, account: Account) -> None:
    if account.is_site_admin and account.suspended_at is None and people.count_site_admins(tx) <= 1:
        raise LastAdmin("The site")


def _page(tx: Tx, kind: AccountKind, *, search: str, cursor: str | None, limit: int) -> Page[Account]:
    after = 0 if cursor is None else decode_number(cursor)
    items, more = people.accounts_page(tx, kind, search=search, after_id=after, limit=limit)
    return Page(items, encode_cursor(items[-1].id) if more else None)


def _text(value: str, longest: int) -> str:
    """Text that people typed: without control characters other than line ends, and of bounded length."""
    kept = "".join(c for c in value.replace("\r\n", "\n").strip() if c == "\n" or c.isprintable())
    if len(kept) > longest:
        raise BadSetting(f"This text has {len(kept)} characters; at most {longest} fit.")
    return kept
