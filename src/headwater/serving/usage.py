"""Acts on what was used and how much may be: who sees which sums, and who sets which limits."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from headwater import accounts, ledger
from headwater.accounts import Account, Action, Resource
from headwater.db import Tx
from headwater.kernel import Actor, to_iso
from headwater.serving import usage_store
from headwater.serving.errors import BadEndpoint, TooManyLines
from headwater.serving.models import Limits, Used
from headwater.serving.usage_store import UsageLine

MOST_DAYS, DEFAULT_DAYS = 400, 30
MOST_LIMIT = 10**12
MOST_LINES = 100_000
LIMIT_NAMES = ("requests_minute", "requests_day", "tokens_minute", "tokens_day")


def list_usage(tx: Tx, actor: Actor, of: str | None, *, days: int, by_s: int, now: datetime) -> list[UsageLine]:
    """What an account has used, and what its endpoints gave: one's own, or an organisation's that one administers.

    Raises:
        NotSignedIn, AccountNotFound, NotAllowed
        TooManyLines: nothing is left out unsaid.
    """
    lines = list_newest(tx, actor, of, days=days, by_s=by_s, now=now, limit=MOST_LINES + 1)
    if len(lines) > MOST_LINES:
        raise TooManyLines(MOST_LINES)
    return lines


def list_newest(
    tx: Tx, actor: Actor, of: str | None, *, days: int, by_s: int, now: datetime, limit: int
) -> list[UsageLine]:
    """The newest lines of it. Raises: NotSignedIn, AccountNotFound, NotAllowed."""
    account, (since, until) = _account(tx, actor, of), _span(days, now)
    return usage_store.list_usage(
        tx, since=since, until=until, account_id=account.id, by_s=by_s, limit=limit, keys_of=actor.account_id
    )


def total(tx: Tx, actor: Actor, of: str | None, *, days: int, now: datetime) -> Used:
    """The sum of it. Raises: NotSignedIn, AccountNotFound, NotAllowed."""
    account, (since, until) = _account(tx, actor, of), _span(days, now)
    return usage_store.total(tx, since=since, until=until, account_id=account.id)


def _span(days: int, now: datetime) -> tuple[int, int]:
    """The first minute, and the one after the last."""
    since = int((now - timedelta(days=max(1, min(days, MOST_DAYS)))).timestamp()) // 60
    return since, int(now.timestamp()) // 60 + 1


def as_csv(lines: Sequence[UsageLine]) -> str:
    """One line for each minute or day, endpoint, person and key."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["from", "model", "person", "token_id", "token", "requests", "errors", "prompt_tokens", "completion_tokens",
         "mean_first_byte_ms", "mean_whole_ms"]
    )  # fmt: skip
    for line in lines:
        used, n = line.used, max(1, line.used.n_requests)
        moment = to_iso(datetime.fromtimestamp(line.moment, UTC))
        writer.writerow(
            [moment, line.model, line.person, line.token_id or "", _plain_cell(line.token or ""), used.n_requests,
             used.n_errors, used.prompt_tokens, used.completion_tokens, used.first_ms // n, used.whole_ms // n]
        )  # fmt: skip
    return out.getvalue()


def _plain_cell(text: str) -> str:
    """Spreadsheets run what begins so, and a token's name is anybody's text."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def get_limits(tx: Tx, actor: Actor, subject: str, name: str) -> Limits | None:
    """What was set for a token (by its number), an account that asks, or an owner whose endpoints are asked; None: nothing.

    Raises:
        NotSignedIn, NotAllowed, AccountNotFound, TokenNotFound
    """
    number = _subject(tx, actor, subject, name, to_set=False)
    return usage_store.limits_of(tx, [(subject, number)]).get((subject, number))


def set_limits(
    tx: Tx, actor: Actor, subject: str, name: str, values: Mapping[str, Any] | None, *, now: datetime
) -> None:
    """Set limits; None takes them back. A token's are its owner's to set, an owner's that of who administers it, and an
    account's (which may widen what the site allows) the site's administrators'.

    Raises:
        As ``get_limits``; BadEndpoint
    """
    number = _subject(tx, actor, subject, name, to_set=True)
    limits = None if values is None else _limits_of(values)
    usage_store.put_limits(tx, subject, number, limits, by=actor.name, now=now)
    facts = {"subject": subject, "limits": None if limits is None else vars(limits)}
    ledger.record(tx, actor, "serving_limits.set", f"limits/{subject}/{name}", facts, private=True, now=now)


def _limits_of(values: Mapping[str, Any]) -> Limits:
    problems = [
        f"{name!r} is no limit; there are {', '.join(LIMIT_NAMES)}" for name in values if name not in LIMIT_NAMES
    ]
    for name in LIMIT_NAMES:
        value = values.get(name, 0)
        if type(value) is not int or not 0 <= value <= MOST_LIMIT:
            problems.append(f"{name} is a whole number from 0 (no limit) to {MOST_LIMIT}")
    if problems:
        raise BadEndpoint(problems)
    return Limits(**{name: values.get(name, 0) for name in LIMIT_NAMES})


def _account(tx: Tx, actor: Actor, name: str | None) -> Account:
    account = accounts.get_self(tx, actor) if name is None else accounts.get_account(tx, name)
    accounts.require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=account.id))
    return account


def _subject(tx: Tx, actor: Actor, subject: str, name: str, *, to_set: bool) -> int:
    """The number of what is limited."""
    if actor.is_anonymous:
        raise accounts.NotSignedIn
    if subject == usage_store.TOKEN:
        mine = accounts.list_tokens(tx, actor)
        for one in mine:
            if str(one.id) == name:
                return one.id
        raise accounts.TokenNotFound
    if subject == usage_store.ACCOUNT and to_set:
        accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
        found = accounts.get_account(tx, name)
        return found.id
    found = _account(tx, actor, name)
    return found.id
