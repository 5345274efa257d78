"""Signing in: by a password and then a second factor where the person has one, or by a passkey alone. And out again.

Between the two steps nothing is kept here: the browser carries a signed ticket, which says who passed the first one, how
and when. Every sign-in makes a new session with a secret of ours, so none that somebody planted is ever taken over; the one
that this browser had before ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from headwater.accounts import credentials, passwords, sealing
from headwater.accounts.browsers import Browser
from headwater.accounts.errors import NotSignedIn, PasskeyRefused, SecondFactorRefused, SecondStepOver, SignInFailed
from headwater.accounts.models import Account, AccountKind, Action, Resource, Session
from headwater.accounts.names import name_key
from headwater.accounts.rights import require
from headwater.accounts.service import freshness, journal, limits, second
from headwater.accounts.service.identify import SESSION_IDLE
from headwater.accounts.service.lookup import get_self
from headwater.accounts.store import devices, factors, people, secrets
from headwater.db import Tx
from headwater.kernel import AccountId, Actor
from headwater.web import Site

__all__ = [
    "Browser",
    "Entered",
    "SecondStep",
    "SignedIn",
    "Waiting",
    "count_attempt",
    "count_sign_up",
    "end_all",
    "enter",
    "finish_sign_in",
    "forgive_attempt",
    "list_sessions",
    "prove",
    "sign_in",
    "sign_in_by_passkey",
    "sign_out",
    "sign_out_everywhere",
    "start_session",
    "waiting",
]

WINDOW = timedelta(minutes=15)
# Wrong passwords within the window: for one name from one address, from one address, for one name from anywhere. The
# last is high, so that a stranger cannot easily lock someone out.
PAIR_LIMIT, ADDRESS_LIMIT, NAME_LIMIT = 8, 60, 200
SIGN_UP_LIMIT = 30
TICKET_LIFE = timedelta(minutes=10)  # between the first step and the second


@dataclass(frozen=True)
class SignedIn:
    """``secret`` goes into the browser's cookie and nowhere else. ``n_alerts`` wait in the account's own log."""

    account: Account
    secret: str
    n_alerts: int = 0


@dataclass(frozen=True)
class SecondStep:
    """The first step was right, and the person has a second factor. ``ticket`` is for the browser to bring back."""

    account: Account
    ticket: str


@dataclass(frozen=True)
class Waiting:
    """Who has passed the first step, and what may come second. ``passkeys`` are those for every address of the site."""

    account: Account
    how: str
    kinds: frozenset[str]
    passkeys: tuple[tuple[str, bytes], ...]  # (host name, identifier)


Entered = SignedIn | SecondStep


def sign_in(
    site: Site,
    actor: Actor,
    *,
    name: str,
    password: str,
    browser: Browser,
    replaces: str | None = None,
    now: datetime,
) -> Entered:
    """A new session for the person ``name``, or what is still to be shown. The session ``replaces`` ends.

    Raises:
        SignInFailed: unknown name, wrong password, or suspended; the same work is done for each.
        TooManyAttempts: wait first.
    """
    del actor  # whoever was signed in before in this browser is replaced
    # Counted before the password is looked at, so that many guesses at once are counted too.
    site.db.write(count_attempt, name, browser.address, now=now)
    account, hashed = site.db.read(_find_person, name)
    if not passwords.matches(hashed, password) or account is None or account.suspended_at is not None:
        if account is not None:
            # Aside: a known name must not take longer to refuse than an unknown one.
            site.db.submit(journal.note_refusal, account.id, step="password", browser=browser, now=now)
        raise SignInFailed
    person = account

    def act(tx: Tx) -> Entered:
        if people.password_hash(tx, person.id) != hashed:  # replaced while this one was looked at
            raise SignInFailed
        forgive_attempt(tx, person.name, browser.address)
        return enter(tx, site.secret, person, how="password", browser=browser, replaces=replaces, now=now)

    return site.db.write(act)


def enter(
    tx: Tx,
    site_secret: bytes,
    account: Account,
    *,
    how: str,
    browser: Browser,
    replaces: str | None = None,
    proved_at: datetime | None = None,
    now: datetime,
) -> Entered:
    """Whoever passed the first step comes in, or is asked for the second. The caller has proved that it is them.

    ``proved_at``: when they themselves showed it, where that was not just now.

    Raises:
        SignInFailed: suspended.
    """
    if people.accounts_by_id(tx, [account.id])[account.id].suspended_at is not None:
        raise SignInFailed
    if not factors.kinds_of(tx, account.id):
        return _finish(tx, account, how=how, browser=browser, replaces=replaces, proved_at=proved_at, now=now)
    facts = {"account": account.id, "how": how, "password": _mark_of(people.password_hash(tx, account.id))}
    return SecondStep(account, sealing.sign_ticket(site_secret, "second-step", facts, life=TICKET_LIFE, now=now))


def waiting(site: Site, ticket: str, *, now: datetime) -> Waiting:
    """Who brings this ticket.

    Raises:
        SecondStepOver: too old, not ours, or the password was changed since.
    """
    return site.db.read(_waiting, site.secret, ticket, now=now)


def finish_sign_in(
    site: Site, ticket: str, shown: second.Shown, *, browser: Browser, replaces: str | None = None, now: datetime
) -> SignedIn:
    """A new session for whoever passed the first step and shows the second.

    Raises:
        SecondStepOver, SecondFactorRefused, SignInFailed.
        TooManyAttempts: wait first.
    """
    found = waiting(site, ticket, now=now)
    site.db.write(second.count_try, found.account.id, now=now)
    take = second.look_at(site, found.account.id, shown, now=now)

    def act(tx: Tx) -> SignedIn | None:
        standing = _waiting(tx, site.secret, ticket, now=now)
        what = take(tx)
        if what is None:
            journal.note_refusal(tx, standing.account.id, step="second", browser=browser, now=now)
            return None
        second.forgive_tries(tx, standing.account.id)
        how = f"{standing.how}+{what}"
        return _finish(tx, standing.account, how=how, browser=browser, replaces=replaces, now=now)

    signed_in = site.db.write(act)
    if signed_in is None:
        raise SecondFactorRefused
    return signed_in


def sign_in_by_passkey(
    site: Site, actor: Actor, shown: second.Shown, *, browser: Browser, replaces: str | None = None, now: datetime
) -> SignedIn:
    """A new session for whoever's passkey answers, once it has verified its person: that is two factors in one.

    Raises:
        PasskeyRefused, SignInFailed; TooManyAttempts: too many from one address.
    """
    del actor
    where = limits.short(limits.network_of(browser.address))
    site.db.write(limits.count, {f"passkey-from:{where}": ADDRESS_LIMIT}, window=WINDOW, now=now)
    account_id, take = second.look_at_passkey(site, shown, now=now)

    def act(tx: Tx) -> SignedIn:
        account = people.accounts_by_id(tx, [account_id])[account_id]
        if take(tx) is None:
            raise PasskeyRefused("this page was used before.")
        secrets.uncount_failure(tx, [f"passkey-from:{where}"])
        return _finish(tx, account, how="passkey", browser=browser, replaces=replaces, now=now)

    return site.db.write(act)


def start_session(
    tx: Tx,
    account: Account,
    *,
    user_agent: str,
    address: str = "",
    how: str = "password",
    proved_at: datetime | None = None,
    now: datetime,
) -> str:
    """The secret of a new session for ``account``. The caller has proved that it is them, by all that is asked of them.

    ``proved_at``: when they themselves showed it, where that was not just now.
    """
    secret = credentials.new_secret()
    secrets.insert_session(
        tx,
        account.id,
        digest=credentials.digest_of(secret),
        csrf=credentials.new_secret(),
        user_agent=user_agent,
        address=address,
        how=how,
        proved_at=now if proved_at is None else proved_at,
        expires_at=now + SESSION_IDLE,
        now=now,
    )
    return secret


def prove(site: Site, actor: Actor, *, password: str = "", shown: second.Shown, browser: Browser, now: datetime) -> str:
    """The signed-in person shows once more who they are. Gives their session's new secret.

    Raises:
        SignInFailed, SecondFactorRefused: what they show does not fit.
        TooManyAttempts: wait first.
    """
    account = site.db.read(_self_of_session, actor)
    ways = site.db.read(freshness.proof_needed, account.id).ways
    if "password" not in ways:
        site.db.write(second.count_try, account.id, now=now)
        take = second.look_at(site, account.id, shown, now=now)

        def act(tx: Tx) -> str | None:
            what = take(tx)
            if what is None:
                journal.note_refusal(tx, account.id, step="second", browser=browser, now=now)
                return None
            second.forgive_tries(tx, account.id)
            if what == "recovery":  # as in a sign-in: one is gone, and who used it may be somebody else
                facts = {"how": what}
                journal.note(tx, account.id, "confirmed", facts=facts, browser=browser, is_alert=True, now=now)
            return freshness.renew(tx, actor, now=now)

        renewed = site.db.write(act)
        if renewed is None:
            raise SecondFactorRefused
        return renewed
    site.db.write(count_attempt, account.name, browser.address, now=now)
    hashed = site.db.read(people.password_hash, account.id)
    if not passwords.matches(hashed, password):
        site.db.write(journal.note_refusal, account.id, step="password", browser=browser, now=now)
        raise SignInFailed

    def act_by_password(tx: Tx) -> str:
        forgive_attempt(tx, account.name, browser.address)
        # In another window meanwhile: a second factor was added, or the password replaced.
        if factors.kinds_of(tx, account.id) or people.password_hash(tx, account.id) != hashed:
            raise SignInFailed
        return freshness.renew(tx, actor, now=now)

    return site.db.write(act_by_password)


def list_sessions(tx: Tx, actor: Actor, *, now: datetime) -> list[Session]:
    """The actor's signed-in browsers, the latest seen first."""
    if actor.account_id is None:
        raise NotSignedIn
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=actor.account_id))
    return secrets.sessions_of(tx, actor.account_id, now=now)


def sign_out(tx: Tx, actor: Actor, session_id: str) -> None:
    """End one of the actor's sessions; one that is no more is no error."""
    if actor.account_id is None:
        raise NotSignedIn
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=actor.account_id))
    secrets.delete_session(tx, actor.account_id, session_id)


def sign_out_everywhere(tx: Tx, actor: Actor, *, keep: str | None = None) -> None:
    """End all of the actor's sessions but ``keep``. Tokens live on: they are revoked one by one."""
    if actor.account_id is None:
        raise NotSignedIn
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=actor.account_id))
    end_all(tx, actor.account_id, keep=keep)


def end_all(tx: Tx, account_id: AccountId, *, keep: str | None = None) -> int:
    """Every session of a person but ``keep`` ends, and so do the approvals of programs that have not yet got their token.

    Gives how many sessions ended.
    """
    devices.delete_approved(tx, account_id)
    return secrets.delete_sessions_of(tx, account_id, keep=keep)


def count_attempt(tx: Tx, name: str, address: str, *, now: datetime) -> None:
    """One more attempt to prove to be ``name`` from ``address``.

    Raises:
        TooManyAttempts: one of the three limits is reached; this attempt is not counted.
    """
    limits.count(tx, _keys(name, address), window=WINDOW, now=now)


def forgive_attempt(tx: Tx, name: str, address: str) -> None:
    """The attempt succeeded. Other names' failures from the same address stay counted."""
    pair, *others = _keys(name, address)
    secrets.forget_failures(tx, [pair])
    secrets.uncount_failure(tx, others)


def count_sign_up(tx: Tx, address: str, *, now: datetime) -> None:
    """One more account made from ``address``.

    Raises:
        TooManyAttempts: too many of late.
    """
    limits.count(tx, {f"new:{limits.short(limits.network_of(address))}": SIGN_UP_LIMIT}, window=WINDOW, now=now)


def _keys(name: str, address: str) -> dict[str, int]:
    who, where = limits.short(name_key(name)), limits.short(limits.network_of(address))
    return {f"pair:{who}:{where}": PAIR_LIMIT, f"from:{where}": ADDRESS_LIMIT, f"name:{who}": NAME_LIMIT}


def _find_person(tx: Tx, name: str) -> tuple[Account | None, str | None]:
    account = people.find_account(tx, name)
    if account is None or account.kind is not AccountKind.PERSON:
        return None, None
    return account, people.password_hash(tx, account.id)


def _finish(
    tx: Tx,
    account: Account,
    *,
    how: str,
    browser: Browser,
    replaces: str | None,
    proved_at: datetime | None = None,
    now: datetime,
) -> SignedIn:
    if people.accounts_by_id(tx, [account.id])[account.id].suspended_at is not None:
        raise SignInFailed
    if replaces is not None:
        secrets.end_session(tx, replaces)
    secret = start_session(
        tx, account, user_agent=browser.user_agent, address=browser.address, how=how, proved_at=proved_at, now=now
    )
    journal.note_sign_in(tx, account.id, how=how, browser=browser, now=now)
    return SignedIn(account, secret, journal.count_alerts(tx, account.id))


def _waiting(tx: Tx, site_secret: bytes, ticket: str, *, now: datetime) -> Waiting:
    facts = sealing.open_ticket(site_secret, "second-step", ticket, now=now)
    if facts is None:
        raise SecondStepOver
    account = people.accounts_by_id(tx, [facts["account"]]).get(AccountId(facts["account"]))
    if account is None or facts["password"] != _mark_of(people.password_hash(tx, account.id)):
        raise SecondStepOver
    known = tuple((each.rp_id, each.credential_id) for each in factors.passkeys_of(tx, account.id))
    return Waiting(account, facts["how"], factors.kinds_of(tx, account.id), known)


def _mark_of(password_hash: str | None) -> str:
    """Changes with the password, and tells nothing of it."""
    return credentials.digest_of(password_hash or "")[:16]


def _self_of_session(tx: Tx, actor: Actor) -> Account:
    if actor.session_id is None:
        raise NotSignedIn("Only a browser that is signed in has something to confirm.")
    return get_self(tx, actor)
