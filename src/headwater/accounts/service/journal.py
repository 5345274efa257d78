"""Each account's own log: sign-ins and where from, refusals, and what was done to passwords, second factors and tokens.

An alert is a line that its person should look at: a sign-in from a browser and network not seen before, a right password
with a wrong second step, a second factor taken away. Lines are swept after ``jobs.EVENTS_KEPT``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from headwater.accounts.browsers import Browser, describe_browser
from headwater.accounts.errors import NotSignedIn
from headwater.accounts.models import AccountEvent, Action, Resource
from headwater.accounts.rights import require
from headwater.accounts.service import limits
from headwater.accounts.store import journal as store
from headwater.db import Tx
from headwater.kernel import AccountId, Actor, Page, decode_number, encode_cursor

NOWHERE = Browser("")
SUM_UP = timedelta(hours=1)  # refusals from one network within it are one line


def note(
    tx: Tx,
    account_id: AccountId,
    kind: str,
    *,
    facts: dict[str, Any] | None = None,
    browser: Browser = NOWHERE,
    is_alert: bool = False,
    now: datetime,
) -> None:
    """One more line. ``kind`` is a constant; ``facts`` hold no secret."""
    store.insert_event(
        tx,
        account_id,
        kind,
        is_alert=is_alert,
        address=browser.address,
        user_agent=browser.user_agent,
        place="",
        facts=facts or {},
        now=now,
    )


def note_sign_in(tx: Tx, account_id: AccountId, *, how: str, browser: Browser, now: datetime) -> None:
    """A sign-in; an alert where the account was signed in to before, but never from there, or with a recovery code."""
    place = _place(browser)
    was_before, was_here = store.knows_place(tx, account_id, place)
    is_new = was_before and not was_here
    store.insert_event(
        tx,
        account_id,
        "signed_in",
        is_alert=is_new or how.endswith("recovery"),
        address=browser.address,
        user_agent=browser.user_agent,
        place=place,
        facts={"how": how, **({"new_place": True} if is_new else {})},
        now=now,
    )


def note_refusal(tx: Tx, account_id: AccountId, *, step: str, browser: Browser, now: datetime) -> None:
    """A wrong password ("password"), or a right one with a wrong second step ("second"): the latter is an alert."""
    kind, place = f"refused_{step}", limits.short(limits.network_of(browser.address))
    if not store.add_to_event(tx, account_id, kind, place=place, since=now - SUM_UP, now=now):
        store.insert_event(
            tx,
            account_id,
            kind,
            is_alert=step == "second",
            address=browser.address,
            user_agent=browser.user_agent,
            place=place,
            facts={},
            now=now,
        )


def list_own(tx: Tx, actor: Actor, *, cursor: str | None = None, limit: int = 50) -> Page[AccountEvent]:
    """The actor's own log, newest first."""
    account_id = _own(tx, actor)
    before = None if cursor is None else decode_number(cursor)
    items = store.events_of(tx, account_id, before=before, limit=limit + 1)
    return Page(items[:limit], encode_cursor(items[limit - 1].id) if len(items) > limit else None)


def count_alerts(tx: Tx, account_id: AccountId) -> int:
    """Alerts that the person has not yet said they saw."""
    return store.count_alerts(tx, account_id)


def mark_seen(tx: Tx, actor: Actor, *, up_to: int, now: datetime) -> None:
    """The person has looked at the alerts up to this line."""
    store.mark_seen(tx, _own(tx, actor), up_to=up_to, now=now)


def _own(tx: Tx, actor: Actor) -> AccountId:
    if actor.account_id is None:
        raise NotSignedIn
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=actor.account_id))
    return actor.account_id


def _place(browser: Browser) -> str:
    return limits.short(f"{limits.network_of(browser.address)}\0{describe_browser(browser.user_agent)}")
