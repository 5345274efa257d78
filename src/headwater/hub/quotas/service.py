"""What an administrator sets and an owner sees."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal

from headwater import accounts, ledger
from headwater.accounts import Account, Action, Resource
from headwater.db import Database, Tx
from headwater.hub.quotas import store
from headwater.hub.quotas.errors import BadQuota
from headwater.hub.quotas.models import NO_LIMIT, Limits, Quota, SiteLimits
from headwater.kernel import Actor

_SIZE = re.compile(r"(\d+(?:[.,]\d+)?)\s*([kmgtpe]?)(i?)b?(?:ytes?)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}
MAX_LIMIT = 1 << 62


def parse_limit(text: str, *, is_bytes: bool = True) -> int | None:
    """``500 GB``, ``1.5TiB``, ``none`` (``NO_LIMIT``), ``default`` or nothing (None).

    Raises:
        BadQuota
    """
    text = text.strip()
    if text.lower() in ("", "default"):
        return None
    if text.lower() in ("none", "unlimited", "-1"):
        return NO_LIMIT
    found = _SIZE.fullmatch(text)
    if found is None or (not is_bytes and not text.isdigit()):
        raise BadQuota(text)
    base = 1024 if found[3] else 1000
    value = int(Decimal(found[1].replace(",", ".")) * base ** _POWERS[found[2].lower()])
    if value > MAX_LIMIT:
        raise BadQuota(text)
    return value


def spell_size(n_bytes: int) -> str:
    """What ``parse_limit`` reads as just this many bytes, as short as people would write it: ``100 GiB``."""
    for power in range(6, 0, -1):
        for base, letters, ending in ((1000, "kMGTPE", "B"), (1024, "KMGTPE", "iB")):
            whole = Decimal(n_bytes) / base**power
            if whole >= 1 and whole == round(whole, 2):
                return f"{whole.normalize():f} {letters[power - 1]}{ending}"
    return str(n_bytes)


def get_quota(tx: Tx, actor: Actor, name: str) -> tuple[Account, Quota]:
    """What an account uses and may use: for itself, an organisation's administrators, and the site's.

    Raises:
        AccountNotFound, NotSignedIn, NotAllowed.
    """
    account = accounts.get_account(tx, name)
    accounts.require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=account.id))
    return account, store.find_quota(tx, account.id)


def set_limits(tx: Tx, actor: Actor, name: str, limits: Limits, *, now: datetime) -> Quota:
    """Give an account limits of its own; None in any of them stands for the site's, ``NO_LIMIT`` for none.

    What is used beyond a new limit stays; only growth is refused.

    Raises:
        AccountNotFound, NotSignedIn, NotAllowed: only the site's administrators may.
    """
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    account = accounts.get_account(tx, name)
    store.put_limits(tx, account.id, limits)
    ledger.record(tx, actor, "quota.set", account.name, limits.to_facts(), private=True, owner_id=account.id, now=now)
    return store.find_quota(tx, account.id)


def get_default(tx: Tx, actor: Actor) -> tuple[SiteLimits, SiteLimits, SiteLimits]:
    """What holds for accounts without limits of their own: in force, by configuration, as chosen over it.

    Raises:
        NotSignedIn, NotAllowed.
    """
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    return store.find_default(tx)


def set_default(tx: Tx, actor: Actor, chosen: SiteLimits, *, now: datetime) -> None:
    """Choose what holds for accounts without limits of their own; None leaves it to the configuration.

    Raises:
        NotSignedIn, NotAllowed.
    """
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    store.put_default(tx, store.find_default(tx)[1], chosen)
    ledger.record(tx, actor, "site.quota_set", "site", chosen.to_facts(), now=now)


def adopt_configuration(db: Database, configured: SiteLimits) -> None:
    """What the configuration says comes into force, as far as no administrator chose otherwise; at each start."""
    if db.read(store.find_default)[1] != configured:
        db.write(lambda tx: store.put_default(tx, configured, store.find_default(tx)[2]))
