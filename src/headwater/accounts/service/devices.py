"""Signing in a program that has no browser: it shows a short code, its person approves the code on a page here (RFC 8628).

The program polls with a secret of its own, and its first poll after the approval makes the token: no token waits in a table.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from headwater.accounts import credentials
from headwater.accounts.errors import CodeNotFound, NotSignedIn, TooManyCodes
from headwater.accounts.models import Action, Resource
from headwater.accounts.rights import require
from headwater.accounts.service import limits, tokens
from headwater.accounts.service.freshness import require_fresh, require_no_token
from headwater.accounts.store import devices as store
from headwater.accounts.store.devices import DeviceCode
from headwater.accounts.store.people import accounts_by_id
from headwater.db import Tx
from headwater.kernel import Actor
from headwater.web import Site

LIFETIME = timedelta(minutes=15)
INTERVAL_S = 2  # between two polls of the program
TOKEN_LIFETIME = timedelta(days=90)
MAX_WAITING, MAX_WAITING_EACH = 10_000, 50
MAX_CLIENT_CHARS = 100
GUESS_WINDOW = timedelta(minutes=1)
ACCOUNT_GUESSES, ADDRESS_GUESSES = 10, 60  # codes under which nothing waits, within the window
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels: no words, and none that look like digits


@dataclass(frozen=True)
class NewCode:
    """``device_code`` is the program's secret, ``user_code`` what a person types."""

    device_code: str
    user_code: str


@dataclass(frozen=True)
class Polled:
    """``error`` is the protocol's word for why there is no token yet, or never will be."""

    error: str | None = None
    token: str | None = None


def begin(tx: Tx, _actor: Actor, *, client: str, address: str, now: datetime) -> NewCode:
    """A pair of codes for a program; anybody may ask.

    Raises:
        TooManyCodes: too many wait already, here or from this address (of IPv6, its /64).
    """
    store.delete_ended(tx, now)
    network = limits.network_of(address)[:64]
    waiting, from_here = store.count_waiting(tx, network)
    if waiting >= MAX_WAITING or from_here >= MAX_WAITING_EACH:
        raise TooManyCodes
    made = NewCode(credentials.new_secret(), "".join(secrets.choice(_LETTERS) for _ in range(8)))
    shown = "".join(char for char in client if char.isprintable())[:MAX_CLIENT_CHARS]
    store.insert_code(
        tx,
        credentials.digest_of(made.device_code),
        user_code=made.user_code,
        client=shown,
        address=address[:64],
        network=network,
        now=now,
        expires_at=now + LIFETIME,
    )
    return made


def find_waiting(site: Site, actor: Actor, user_code: str, *, address: str, now: datetime) -> DeviceCode:
    """The program that waits under a code, for its person to look at.

    Raises:
        CodeNotFound: mistyped, expired, or answered already.
        TooManyAttempts: too many such codes of late, by this person or from this address.
    """
    found = site.db.write(_look_up, actor, user_code, address=address, now=now)
    if found is None:
        raise CodeNotFound
    return found


def answer(site: Site, actor: Actor, user_code: str, *, approve: bool, address: str, now: datetime) -> DeviceCode:
    """Approve or refuse, as the person who is signed in.

    Raises:
        CodeNotFound, TooManyAttempts: as for ``find_waiting``.
        ProofNeeded: an approval makes a token. NotAllowed: and no token approves one.
    """

    def act(tx: Tx) -> DeviceCode | None:
        if approve:
            require_no_token(actor)
            require_fresh(tx, actor, now=now)
        found = _look_up(tx, actor, user_code, address=address, now=now)
        if found is not None:
            store.answer(tx, found.digest, account_id=actor.account_id, approved=approve)
        return found

    found = site.db.write(act)
    if found is None:
        raise CodeNotFound
    return found


def _look_up(tx: Tx, actor: Actor, user_code: str, *, address: str, now: datetime) -> DeviceCode | None:
    """What waits under the code; a miss is counted, which is why it is no exception: that would undo the count."""
    if actor.account_id is None:
        raise NotSignedIn
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=actor.account_id))
    bounds = {
        f"code:{actor.account_id}": ACCOUNT_GUESSES,
        f"code-from:{limits.short(limits.network_of(address))}": ADDRESS_GUESSES,
    }
    limits.refuse_above(tx, bounds, now=now)
    found = store.find_by_user_code(tx, _typed(user_code))
    if found is None or found.expires_at <= now or found.is_answered:
        limits.count(tx, bounds, window=GUESS_WINDOW, now=now)
        return None
    return found


def poll(tx: Tx, device_code: str, *, now: datetime) -> Polled:
    """How things stand, for a program that holds the device code; nothing is written."""
    return _standing(store.find_by_digest(tx, credentials.digest_of(device_code)), now)


def redeem(tx: Tx, device_code: str, *, now: datetime) -> Polled:
    """The token of an approved code; once."""
    found = store.find_by_digest(tx, credentials.digest_of(device_code))
    polled = _standing(found, now)
    if polled.error is not None or found is None or found.account_id is None:
        return polled
    store.delete_code(tx, found.digest)
    person = accounts_by_id(tx, [found.account_id]).get(found.account_id)
    if person is None or person.suspended_at is not None:
        return Polled("access_denied")
    made = tokens.create_token(
        tx,
        Actor(person.id, person.name, person.is_site_admin),
        name=f"{found.client or 'device'} ({found.created_at:%Y-%m-%d})",
        role="write",
        expires_at=now + TOKEN_LIFETIME,
        now=now,
    )
    return Polled(token=made.secret)


def _standing(found: DeviceCode | None, now: datetime) -> Polled:
    if found is None or found.expires_at <= now:
        return Polled("expired_token")
    if not found.is_answered:
        return Polled("authorization_pending")
    return Polled() if found.approved else Polled("access_denied")


def spelled(user_code: str) -> str:
    """As it is shown: ``BCDF-GHJK``."""
    return f"{user_code[:4]}-{user_code[4:]}"


def _typed(text: str) -> str:
    return "".join(char for char in text.upper() if char.isalpha())[:20]
