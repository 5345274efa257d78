"""Signing in with a password, and out again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from headwater.accounts import credentials, passwords
from headwater.accounts.errors import NotSignedIn, SignInFailed
from headwater.accounts.models import Account, AccountKind, Action, Resource, Session
from headwater.accounts.names import name_key
from headwater.accounts.rights import require
from headwater.accounts.service import limits
from headwater.accounts.service.identify import SESSION_IDLE
from headwater.accounts.store import devices, people, secrets
from headwater.db import Tx
from headwater.kernel import AccountId, Actor
from headwater.web import Site

WINDOW = timedelta(minutes=15)
# Wrong passwords within the window: for one name from one address, from one address, for one name from anywhere. The
# last is high, so that a stranger cannot easily lock someone out.
PAIR_LIMIT, ADDRESS_LIMIT, NAME_LIMIT = 8, 60, 200
SIGN_UP_LIMIT = 30


@dataclass(frozen=True)
class Browser:
    """Where a sign-in comes from: the client's address as the server sees it, and how its program calls itself."""

    address: str
    user_agent: str = ""


@dataclass(frozen=True)
class SignedIn:
    """``secret`` goes into the browser's cookie and nowhere else."""

    account: Account
    secret: str


def sign_in(site: Site, actor: Actor, *, name: str, password: str, browser: Browser, now: datetime) -> SignedIn:
    """A new session for the person ``name``.

    Raises:
        SignInFailed: unknown name, wrong password, or suspended; the same work is done for each.
        TooManyAttempts: wait first.
    """
    del actor  # whoever was signed in before in this browser is replaced
    # Counted before the password is looked at, so that many guesses at once are counted too.
    site.db.write(count_attempt, name, browser.address, now=now)
    account, hashed = site.db.read(_find_person, name)
    if not passwords.matches(hashed, password) or account is None or account.suspended_at is not None:
        raise SignInFailed
    return site.db.write(_finish_sign_in, account, browser, now=now)


def start_session(tx: Tx, account: Account, *, user_agent: str, now: datetime) -> str:
    """The secret of a new session for ``account``. The caller has proved that it is them."""
    secret = credentials.new_secret()
    secrets.insert_session(
        tx,
        account.id,
        digest=credentials.digest_of(secret),
        csrf=credentials.new_secret(),
        user_agent=user_agent,
        expires_at=now + SESSION_IDLE,
        now=now,
    )
    return secret


def list_sessions(tx: Tx, actor: Actor, *, now: datetime) -> list[Session]:
    """The actor's signed-in browsers, the latest seen first."""
    if actor.account_id is None:
        raise NotSignedIn
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=actor.account_id))
    return secrets.sessions_of(tx, actor.account_id, now=now)


def sign_out(tx: Tx, actor: Actor, session_id: str) -> None:
    """End one of the actor's sessions; one that is no more is no error."""
    if actor.account_id is not None:
        secrets.delete_session(tx, actor.account_id, session_id)


def sign_out_everywhere(tx: Tx, actor: Actor, *, keep: str | None = None) -> None:
    """End all of the actor's sessions but ``keep``. Tokens live on: they are revoked one by one."""
    if actor.account_id is None:
        raise NotSignedIn
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=actor.account_id))
    end_all(tx, actor.account_id, keep=keep)


def end_all(tx: Tx, account_id: AccountId, *, keep: str | None = None) -> None:
    """Every session of a person but ``keep`` ends, and so do the approvals of programs that have not yet got their token."""
    secrets.delete_sessions_of(tx, account_id, keep=keep)
    devices.delete_approved(tx, account_id)


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


def _finish_sign_in(tx: Tx, account: Account, browser: Browser, *, now: datetime) -> SignedIn:
    if people.accounts_by_id(tx, [account.id])[account.id].suspended_at is not None:
        raise SignInFailed
    forgive_attempt(tx, account.name, browser.address)
    return SignedIn(account, start_session(tx, account, user_agent=browser.user_agent, now=now))
