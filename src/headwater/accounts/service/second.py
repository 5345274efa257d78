"""Second factors: what fits, set up, taken away. An authenticator app's code, a passkey, or a recovery code.

A proof is looked at in two steps: what costs time outside of any transaction, then an act that takes it, which a database may
run again. Whatever is taken is taken once: a code's step of time, a recovery code, a passkey's challenge.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from headwater import ledger
from headwater.accounts import credentials, passkeys, sealing, totp
from headwater.accounts.browsers import Browser
from headwater.accounts.errors import BadSecondFactor, NoPasskeysHere, PasskeyRefused, SecondFactorRefused
from headwater.accounts.models import Account, Action, Resource, SecondFactor
from headwater.accounts.passkeys import Party
from headwater.accounts.rights import require
from headwater.accounts.service import freshness, journal, limits
from headwater.accounts.service.lookup import get_self
from headwater.accounts.store import factors as store
from headwater.accounts.store.people import accounts_by_id
from headwater.db import Tx
from headwater.kernel import AccountId, Actor
from headwater.web import Site

MAX_FACTORS = 20
N_RECOVERY_CODES = 10
CHALLENGE_LIFE = timedelta(minutes=30)  # a page may stand open for a while before its button is pressed
SETUP_LIFE = timedelta(minutes=30)
WINDOW, WINDOW_TRIES = timedelta(minutes=15), 8
# A code has three right values in a million at any time: so few guesses a day make a lucky one a matter of years.
DAY, DAY_TRIES = timedelta(days=1), 30
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike
_CODE_LETTERS = 16  # 79 bits: a plain digest of them may be stored

Take = Callable[[Tx], str | None]


@dataclass(frozen=True)
class Shown:
    """What somebody shows as a proof: a code, or a passkey's answer with the sealed challenge it answers."""

    code: str = ""
    answer: str = ""
    challenge: str = ""
    party: Party | None = None


@dataclass(frozen=True)
class NewApp:
    """An authenticator app about to be set up. ``sealed`` is for the page to send back with the first code."""

    secret: bytes
    sealed: str


@dataclass(frozen=True)
class Asked:
    """What a page gives to its browser: the options as JSON, and the sealed challenge to send back with the answer."""

    options: str
    challenge: str


@dataclass(frozen=True)
class Overview:
    """A person's second factors; ``n_codes`` recovery codes are left."""

    factors: list[SecondFactor]
    n_codes: int


def overview(tx: Tx, actor: Actor) -> Overview:
    """The actor's own second factors."""
    account_id = _own(tx, actor).id
    return Overview(store.factors_of(tx, account_id), store.count_recovery_codes(tx, account_id))


# ---- showing one


def ask_for_passkey(site: Site, party: Party, *, known: tuple[bytes, ...], now: datetime) -> Asked:
    """Options for a browser that shall answer with a passkey; with none ``known`` with any for this site."""
    challenge = passkeys.new_challenge()
    facts = {"c": passkeys.to_text(challenge)}
    ticket = sealing.sign_ticket(site.secret, "passkey", facts, life=CHALLENGE_LIFE, now=now)
    return Asked(passkeys.request_options(party, challenge, known=known), ticket)


def look_at(site: Site, account_id: AccountId, shown: Shown, *, now: datetime) -> Take:
    """An act that takes the proof, and says what it was ("totp", "recovery", "passkey") or None where it does not fit."""
    if shown.answer:
        try:
            return look_at_passkey(site, shown, account_id=account_id, now=now)[1]
        except PasskeyRefused:
            return _nothing
    code = "".join(char for char in shown.code.lower() if char.isalnum())
    if len(code) == totp.DIGITS and code.isascii() and code.isdigit():
        sealing.load()
        return lambda tx: _take_code(tx, site, account_id, code, now=now)
    digest = _digest_of_code(account_id, code)
    return lambda tx: "recovery" if store.use_recovery_code(tx, account_id, digest, now=now) else None


def look_at_passkey(
    site: Site, shown: Shown, *, account_id: AccountId | None = None, now: datetime
) -> tuple[AccountId, Take]:
    """Whose passkey answered, and an act that takes the answer. Without ``account_id`` it may be anybody's.

    Raises:
        PasskeyRefused: it proves nothing here.
    """
    challenge, until = _challenge(site, "passkey", shown, now=now)
    party = shown.party
    if party is None:
        raise PasskeyRefused("this site has no host name with https.")
    found = site.db.read(store.find_passkey, passkeys.credential_id_of(shown.answer))
    if found is None or found.rp_id != party.rp_id or account_id not in (None, found.account_id):
        raise PasskeyRefused("it is not registered here.")
    count = passkeys.verify_answer(
        party,
        challenge,
        shown.answer,
        public_key=found.public_key,
        sign_count=found.sign_count,
        must_verify_person=account_id is None,
    )

    def take(tx: Tx) -> str | None:
        if not store.spend_challenge(tx, hashlib.sha256(challenge).hexdigest(), expires_at=until):
            return None
        return "passkey" if store.use_passkey(tx, found, sign_count=count, now=now) else None

    return found.account_id, take


def count_try(tx: Tx, account_id: AccountId, *, now: datetime) -> None:
    """One more try to show a second factor.

    Raises:
        TooManyAttempts: wait first.
    """
    limits.count(tx, {f"second:{account_id}": WINDOW_TRIES}, window=WINDOW, now=now)
    limits.count(tx, {f"second-day:{account_id}": DAY_TRIES}, window=DAY, now=now)


def forgive_tries(tx: Tx, account_id: AccountId) -> None:
    """The person has shown one. The wrong ones before it still count for the day: they may have been somebody else's."""
    limits.forget(tx, [f"second:{account_id}"])
    limits.take_back(tx, [f"second-day:{account_id}"])


# ---- setting up and taking away


def begin_app(site: Site, actor: Actor, *, now: datetime) -> NewApp:
    """A new secret for an authenticator app, kept nowhere until the first code shows that the app has it.

    Raises:
        ProofNeeded, BadSecondFactor: there are too many.
    """

    def check(tx: Tx) -> AccountId:
        account = _own_to_change(tx, actor)
        freshness.require_fresh(tx, actor, now=now)
        _require_room(tx, account.id)
        return account.id

    account_id = site.db.read(check)
    secret = totp.new_secret()
    facts = {"account": account_id, "secret": secret.hex()}
    return NewApp(secret, sealing.sign_ticket(site.secret, "totp-setup", facts, life=SETUP_LIFE, now=now))


def finish_app(
    site: Site, actor: Actor, *, sealed: str, code: str, name: str, browser: Browser, now: datetime
) -> list[str]:
    """Keep the app whose first code this is. Gives recovery codes where the person has none yet, else nothing.

    Raises:
        ProofNeeded; SecondFactorRefused: the code does not fit; BadSecondFactor: begun too long ago, or sent twice, or no name.
    """
    secret = reopen_app(site, actor, sealed, now=now)
    step = totp.matching_step(secret, "".join(code.split()), after=0, now=now)
    if step is None:
        raise SecondFactorRefused
    name = _name(name)
    spent = hashlib.sha256(b"totp-setup\0" + secret).hexdigest()
    sealing.load()

    def act(tx: Tx) -> list[str]:
        account = _own_to_change(tx, actor)
        freshness.require_fresh(tx, actor, now=now)
        _require_room(tx, account.id)
        if not store.spend_challenge(tx, spent, expires_at=now + SETUP_LIFE):
            raise BadSecondFactor("This app was added already. To add another one, begin again.")
        kept = sealing.seal(site.secret, "totp", secret, bound_to=str(account.id))
        store.insert_app(tx, account.id, name=name, sealed=kept, last_step=step, now=now)
        return _added(tx, actor, account, "totp", name, browser, now=now)

    return site.db.write(act)


def reopen_app(site: Site, actor: Actor, sealed: str, *, now: datetime) -> bytes:
    """The secret of an app that is being set up, for the page to show again.

    Raises:
        BadSecondFactor: begun too long ago, or by somebody else.
    """
    facts = sealing.open_ticket(site.secret, "totp-setup", sealed, now=now)
    if facts is None or facts["account"] != actor.account_id:
        raise BadSecondFactor("This was begun too long ago. Begin again, and scan the new picture.")
    return bytes.fromhex(facts["secret"])


def begin_passkey(site: Site, actor: Actor, party: Party, *, now: datetime) -> Asked:
    """Options for a browser that shall make a passkey for the actor."""

    def find(tx: Tx) -> tuple[Account, tuple[bytes, ...]]:
        account = _own_to_change(tx, actor)
        return account, known_passkeys(tx, account.id, party)

    account, known = site.db.read(find)
    challenge = passkeys.new_challenge()
    facts = {"c": passkeys.to_text(challenge), "account": account.id}
    options = passkeys.creation_options(
        party,
        challenge,
        handle=passkeys.handle_of(site.secret, account.id),
        account=account.name,
        site_name="Headwater",
        known=known,
    )
    return Asked(options, sealing.sign_ticket(site.secret, "passkey-new", facts, life=CHALLENGE_LIFE, now=now))


def finish_passkey(site: Site, actor: Actor, shown: Shown, *, name: str, browser: Browser, now: datetime) -> list[str]:
    """Keep the passkey that the browser made. Gives recovery codes where the person has none yet, else nothing.

    Raises:
        ProofNeeded; NoPasskeysHere; PasskeyRefused; BadSecondFactor.
    """
    if shown.party is None:
        raise NoPasskeysHere
    party = shown.party
    challenge, until = _challenge(site, "passkey-new", shown, account_id=actor.account_id, now=now)
    made = passkeys.verify_new(party, challenge, shown.answer)
    name = _name(name)

    def act(tx: Tx) -> list[str]:
        account = _own_to_change(tx, actor)
        freshness.require_fresh(tx, actor, now=now)
        _require_room(tx, account.id)
        if not store.spend_challenge(tx, hashlib.sha256(challenge).hexdigest(), expires_at=until):
            raise PasskeyRefused("this page was used before.")
        store.insert_passkey(
            tx,
            account.id,
            name=name,
            credential_id=made.credential_id,
            rp_id=party.rp_id,
            public_key=made.public_key,
            sign_count=made.sign_count,
            now=now,
        )
        return _added(tx, actor, account, "passkey", name, browser, now=now)

    try:
        return site.db.write(act)
    except store.PasskeyTaken as exc:
        raise PasskeyRefused("it is registered already.") from exc


def remove(tx: Tx, actor: Actor, factor_id: int, *, browser: Browser, now: datetime) -> None:
    """Take one away; with the last one the recovery codes go, too. One that is no more is no error.

    Raises:
        ProofNeeded.
    """
    account = _own_to_change(tx, actor)
    freshness.require_fresh(tx, actor, now=now)
    found = next((each for each in store.factors_of(tx, account.id) if each.id == factor_id), None)
    if found is None:
        return
    store.delete_factor(tx, account.id, factor_id)
    if not store.kinds_of(tx, account.id):
        store.delete_all(tx, account.id)
    facts = {"kind": found.kind, "name": found.name}
    journal.note(tx, account.id, "factor_removed", facts=facts, browser=browser, is_alert=True, now=now)
    record(tx, actor, "second_factor.removed", account, found.kind, now=now)


def renew_codes(tx: Tx, actor: Actor, *, browser: Browser, now: datetime) -> list[str]:
    """New recovery codes in place of the present ones, to be shown once.

    Raises:
        ProofNeeded; BadSecondFactor: there is nothing to recover from.
    """
    account = _own_to_change(tx, actor)
    freshness.require_fresh(tx, actor, now=now)
    if not store.kinds_of(tx, account.id):
        raise BadSecondFactor("Recovery codes stand in for a second factor. Set one up first.")
    return _make_codes(tx, account.id, browser, now=now)


def list_unreadable(site: Site) -> list[str]:
    """Names of people whose app's secret does not open: the site's secret is another than it was."""
    sealing.load()

    def find(tx: Tx) -> list[str]:
        wrong = [
            account_id
            for account_id, sealed in store.list_sealed(tx)
            if sealing.unseal(site.secret, "totp", sealed, bound_to=str(account_id)) is None
        ]
        return sorted(account.name for account in accounts_by_id(tx, wrong).values())

    return site.db.read(find)


def known_passkeys(tx: Tx, account_id: AccountId, party: Party) -> tuple[bytes, ...]:
    """Credentials of an account that fit this address of the site."""
    return tuple(each.credential_id for each in store.passkeys_of(tx, account_id) if each.rp_id == party.rp_id)


def _added(
    tx: Tx, actor: Actor, account: Account, kind: str, name: str, browser: Browser, *, now: datetime
) -> list[str]:
    journal.note(tx, account.id, "factor_added", facts={"kind": kind, "name": name}, browser=browser, now=now)
    record(tx, actor, "second_factor.added", account, kind, now=now)
    if store.count_recovery_codes(tx, account.id):
        return []
    return _make_codes(tx, account.id, browser, now=now)


def _make_codes(tx: Tx, account_id: AccountId, browser: Browser, *, now: datetime) -> list[str]:
    codes = ["".join(secrets.choice(_LETTERS) for _ in range(_CODE_LETTERS)) for _ in range(N_RECOVERY_CODES)]
    store.put_recovery_codes(tx, account_id, [_digest_of_code(account_id, code) for code in codes], now=now)
    journal.note(tx, account_id, "recovery_made", facts={"n": len(codes)}, browser=browser, now=now)
    return ["-".join(code[at : at + 4] for at in range(0, _CODE_LETTERS, 4)) for code in codes]


def _take_code(tx: Tx, site: Site, account_id: AccountId, code: str, *, now: datetime) -> str | None:
    for app in store.apps_of(tx, account_id):
        secret = sealing.unseal(site.secret, "totp", app.sealed, bound_to=str(account_id))
        step = None if secret is None else totp.matching_step(secret, code, after=app.last_step, now=now)
        if step is not None and store.use_app(tx, app.id, step=step, now=now):
            return "totp"
    return None


def _nothing(tx: Tx) -> None:
    del tx


def _challenge(
    site: Site, purpose: str, shown: Shown, *, account_id: AccountId | None = None, now: datetime
) -> tuple[bytes, datetime]:
    facts = sealing.open_ticket(site.secret, purpose, shown.challenge, now=now)
    if facts is None or facts.get("account", account_id) != account_id:
        raise PasskeyRefused("this page was opened too long ago.")
    return passkeys.from_text(facts["c"]), now + CHALLENGE_LIFE


def _digest_of_code(account_id: AccountId, code: str) -> str:
    return credentials.digest_of(f"recovery:{account_id}:{code}")


def record(tx: Tx, actor: Actor, kind: str, account: Account, factor: str, *, now: datetime) -> None:
    """In the public record it stands with salted digests: that somebody did something to a second factor."""
    ledger.record(tx, actor, kind, account.name, {"kind": factor}, private=True, owner_id=account.id, now=now)


def _require_room(tx: Tx, account_id: AccountId) -> None:
    if len(store.factors_of(tx, account_id)) >= MAX_FACTORS:
        raise BadSecondFactor(f"There are {MAX_FACTORS} already. Remove those that are no longer used.")


def _name(name: str) -> str:
    kept = "".join(char for char in name.strip() if char.isprintable())
    if not kept or len(kept) > 64:
        raise BadSecondFactor("Give it a name of 1 to 64 characters, to tell it from others.")
    return kept


def _own_to_change(tx: Tx, actor: Actor) -> Account:
    account = _own(tx, actor)
    freshness.require_no_token(actor)
    return account


def _own(tx: Tx, actor: Actor) -> Account:
    account = get_self(tx, actor)
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=account.id))
    return account
