"""Signing in through another site, and tying that to an account here.

An account is tied by its owner alone: by signing in here first and then adding the other site, or by being made through it.
A name or an e-mail address that looks the same ties nothing, since the other site's people could take over accounts here.

Coming in so is no fresh proof by itself: the other site may have let its person pass without a word. It is one as of when
that site says they showed there who they are; and who has no other proof to show goes there once more, to show it again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from headwater.accounts import oidc
from headwater.accounts.errors import (
    BadAccountName,
    BadSetting,
    NotSignedIn,
    OidcProofRefused,
    OidcRefused,
    OidcUnavailable,
)
from headwater.accounts.models import Account, Action, Resource, SignUpPolicy
from headwater.accounts.names import MAX_NAME_LENGTH, check_account_name
from headwater.accounts.oidc import CALLBACK_PATH, Claims, Journey, OidcClient
from headwater.accounts.rights import require
from headwater.accounts.service import freshness, journal, links, sessions
from headwater.accounts.service.lookup import get_self
from headwater.accounts.service.people import check_email, insert_person
from headwater.accounts.service.policy import sign_up_policy
from headwater.accounts.service.sessions import Browser, Entered
from headwater.accounts.settings import OidcSettings
from headwater.accounts.store import people, secrets
from headwater.db import Tx
from headwater.kernel import Actor
from headwater.web import Site


@dataclass(frozen=True)
class Begun:
    """Send the browser to ``url`` with ``cookie`` kept."""

    url: str
    cookie: str


@dataclass(frozen=True)
class Finished:
    signed_in: Entered
    next_url: str
    is_new: bool


@dataclass(frozen=True)
class Proved:
    """The person signed in here has shown once more who they are; ``secret`` is their session's new one."""

    secret: str
    next_url: str


def begin(
    site: Site,
    actor: Actor,
    *,
    next_url: str,
    link_secret: str = "",
    adds_to_account: bool = False,
    now: datetime,
) -> Begun:
    """Send a browser to the other site. ``adds_to_account`` ties who comes back to the person signed in here.

    Raises:
        OidcUnavailable: it is not set up, or does not answer.
    """
    client = _client(site)
    for_account = 0
    if adds_to_account:
        account = site.db.read(get_self, actor)
        site.db.read(_require_own, actor)
        freshness.require_no_token(actor)
        site.db.read(freshness.require_fresh, actor, now=now)
        for_account = account.id
    journey = oidc.new_journey(
        next_url=next_url, now_s=int(now.timestamp()), link_secret=link_secret, for_account=for_account
    )
    return _leave(site, client, journey)


def begin_proof(site: Site, actor: Actor, *, next_url: str, now: datetime) -> Begun:
    """Send the browser of who is signed in here to the other site, to show there anew who they are.

    Raises:
        NotSignedIn: nobody is, or not with a browser.
        OidcProofRefused: something else is asked of this person.
        OidcUnavailable: it is not set up, or does not answer.
    """
    client = _client(site)
    if actor.session_id is None:
        raise NotSignedIn("Only a browser that is signed in has something to confirm.")
    account = site.db.read(get_self, actor)
    site.db.read(_require_own, actor)
    site.db.read(_require_proof_elsewhere, account)
    journey = oidc.new_journey(next_url=next_url, now_s=int(now.timestamp()), proves_session=actor.session_id)
    return _leave(site, client, journey)


def finish(
    site: Site,
    actor: Actor,
    *,
    query: Mapping[str, str],
    cookie: str,
    browser: Browser,
    replaces: str | None = None,
    now: datetime,
) -> Finished | Proved:
    """Sign in whoever the other site says came back; or take it as a fresh proof, if they left to bring one.

    Raises:
        OidcRefused, OidcUnavailable: their answer proves nothing.
        OidcProofRefused: it is no fresh proof, or not of the person who left.
        SignInFailed: their account here is suspended.
    """
    client = _client(site)
    journey = oidc.unpack_journey(cookie, site.secret, now_s=int(now.timestamp()))
    claims = client.claims_for(journey, query, redirect_uri=site.base_url + CALLBACK_PATH, now_s=int(now.timestamp()))
    if journey.proves_session:
        return site.db.write(_prove, actor, journey, claims, browser, now=now)
    return site.db.write(
        _enter, site.secret, actor, client.settings, journey, claims, browser, replaces=replaces, now=now
    )


def find_journey(site: Site, cookie: str, *, now: datetime) -> Journey | None:
    """What a browser left for; None where it did not leave from here."""
    try:
        return oidc.unpack_journey(cookie, site.secret, now_s=int(now.timestamp()))
    except OidcRefused:
        return None


def remove_identity(site: Site, actor: Actor, *, now: datetime) -> None:
    """Untie the other site from one's account; only someone who has a password may, or they could never come back.

    Raises:
        BadSetting: there is no password yet. ProofNeeded.
    """

    def act(tx: Tx) -> None:
        account = get_self(tx, actor)
        _require_own(tx, actor)
        if people.password_hash(tx, account.id) is None:
            raise BadSetting("Set a password first: without it and without this sign-in you could not come back.")
        freshness.require_fresh(tx, actor, now=now)
        for issuer, _ in people.identities_of(tx, account.id):
            people.delete_identity(tx, issuer, account.id)
            journal.note(tx, account.id, "identity_untied", facts={"issuer": issuer}, is_alert=True, now=now)

    site.db.write(act)


def list_identities(tx: Tx, actor: Actor) -> list[str]:
    """Issuers through which the actor may sign in."""
    account = get_self(tx, actor)
    _require_own(tx, actor)
    return [issuer for issuer, _ in people.identities_of(tx, account.id)]


def settings_of(site: Site) -> OidcSettings:
    """What the operator set; ``is_on`` tells whether there is another site to sign in through."""
    return site.settings.of(OidcSettings)


def name_from(wish: str) -> str:
    """A name fit for an account, as near to what the other site says as our letters allow."""
    local = wish.partition("@")[0]
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", local)
    plain = re.sub(r"([._-])[._-]+", r"\1", plain).strip("._-")[: MAX_NAME_LENGTH - 4].rstrip("._-")
    # A reserved word may have a word before it; an ending of files has its dot replaced: "page.html" is "page-html".
    for name in (plain, f"person-{plain}", f"person-{plain.replace('.', '-')}"):
        try:
            return check_account_name(name)
        except BadAccountName:
            continue
    return "person"


def _leave(site: Site, client: OidcClient, journey: Journey) -> Begun:
    url = client.address_for(journey, redirect_uri=site.base_url + CALLBACK_PATH)
    return Begun(url, oidc.pack_journey(journey, site.secret))


def _client(site: Site) -> OidcClient:
    settings = settings_of(site)
    if not settings.is_on:
        raise OidcUnavailable("no other site is set up here.")
    found: OidcClient | None = site.parts.get(OidcClient)
    if found is None:
        found = OidcClient(settings)
        site.add_part(found)
    return found


def _enter(
    tx: Tx,
    site_secret: bytes,
    actor: Actor,
    settings: OidcSettings,
    journey: Journey,
    claims: Claims,
    browser: Browser,
    *,
    replaces: str | None,
    now: datetime,
) -> Finished:
    found = people.find_identity(tx, claims.issuer, claims.subject)
    is_new = False
    proved_at = _shown_there_at(claims, now=now)
    if journey.for_account:
        account = _tie(tx, actor, journey, claims, found, now=now)
        if actor.session_id is not None:  # the proof that they had to bring before they left
            proved_at = max(proved_at, secrets.proved_at(tx, actor.session_id) or freshness.NEVER)
    elif found is not None:
        account = people.accounts_by_id(tx, [found])[found]
    else:
        account, is_new = _create(tx, settings, journey, claims, browser, now=now), True
        proved_at = now  # there is nothing yet that somebody else could have meant to keep
    entered = sessions.enter(
        tx,
        site_secret,
        account,
        how="other_site",
        browser=browser,
        replaces=replaces,
        proved_at=proved_at,
        now=now,
    )
    return Finished(entered, journey.next_url, is_new)


def _prove(tx: Tx, actor: Actor, journey: Journey, claims: Claims, browser: Browser, *, now: datetime) -> Proved:
    if actor.session_id is None or actor.session_id != journey.proves_session:
        raise OidcProofRefused("this browser has signed out, or in anew, meanwhile.")
    account = get_self(tx, actor)
    _require_own(tx, actor)
    _require_proof_elsewhere(tx, account)  # a second factor may have been added meanwhile
    if people.find_identity(tx, claims.issuer, claims.subject) != account.id:
        raise OidcProofRefused("someone else signed in there.")
    journal.note(tx, account.id, "confirmed", facts={"how": "other_site"}, browser=browser, now=now)
    return Proved(freshness.renew(tx, actor, now=now), journey.next_url)


def _require_proof_elsewhere(tx: Tx, account: Account) -> None:
    if "other_site" not in freshness.proof_needed(tx, account.id).ways:
        raise OidcProofRefused("your password or second factor is asked for instead.")


def _shown_there_at(claims: Claims, *, now: datetime) -> datetime:
    """When the person last showed the other site who they are, as far as it says so: no later than now."""
    if claims.authenticated_at_s is None:
        return freshness.NEVER
    return min(now, datetime.fromtimestamp(claims.authenticated_at_s, UTC))


def _tie(tx: Tx, actor: Actor, journey: Journey, claims: Claims, found: int | None, *, now: datetime) -> Account:
    account = get_self(tx, actor)
    if account.id != journey.for_account:
        raise OidcRefused("someone else has signed in here meanwhile.")
    _require_own(tx, actor)
    if found is None:
        people.insert_identity(tx, claims.issuer, claims.subject, account.id, now=now)
        journal.note(tx, account.id, "identity_tied", facts={"issuer": claims.issuer}, is_alert=True, now=now)
    elif found != account.id:
        raise OidcRefused("that identity belongs to another account here.")
    return account


def _create(
    tx: Tx, settings: OidcSettings, journey: Journey, claims: Claims, browser: Browser, *, now: datetime
) -> Account:
    link = links.get_link(tx, journey.link_secret, now=now) if journey.link_secret else None
    is_open = settings.creates == "always" or (settings.creates == "policy" and sign_up_policy(tx) is SignUpPolicy.OPEN)
    if not is_open and not (link is not None and links.opens_sign_up(tx, link)):
        raise OidcRefused(
            "no account here is tied to that identity. If you have one, sign in with your password and add this way of "
            "signing in under Settings; else ask an administrator for an invitation."
        )
    sessions.count_sign_up(tx, browser.address, now=now)
    name = _free_name(tx, name_from(claims.name))
    try:
        email = check_email(claims.email)
    except BadSetting:
        email = None
    account = insert_person(
        tx,
        Actor(name=name),
        name,
        password_hash=None,
        full_name="".join(c for c in claims.full_name if c.isprintable())[:200],
        email=email,
        is_site_admin=link is not None and link.purpose == "first_admin",
        now=now,
    )
    people.insert_identity(tx, claims.issuer, claims.subject, account.id, now=now)
    if link is not None:
        links.spend(tx, link, account, now=now)
    return account


def _free_name(tx: Tx, wish: str) -> str:
    name, n = wish, 1
    while people.find_account(tx, name) is not None:
        n += 1
        name = f"{wish}-{n}"
    return name


def _require_own(tx: Tx, actor: Actor) -> None:
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=get_self(tx, actor).id))
