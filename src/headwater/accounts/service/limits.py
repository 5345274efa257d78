"""How often something may be tried that a stranger could guess."""

from __future__ import annotations

import hashlib
import ipaddress
from datetime import datetime, timedelta

from headwater.accounts.errors import TooManyAttempts
from headwater.accounts.store import secrets
from headwater.db import Tx
from headwater.kernel.addresses import plain_address


def refuse_above(tx: Tx, limits: dict[str, int], *, now: datetime) -> None:
    """Nothing more is to be tried where a key's count has reached its limit.

    Raises:
        TooManyAttempts: with the seconds to wait.
    """
    for key, (n, expires_at) in secrets.failures(tx, limits, now=now).items():
        if n >= limits[key]:
            raise TooManyAttempts(max(1, int((expires_at - now).total_seconds())))


def count(tx: Tx, limits: dict[str, int], *, window: timedelta, now: datetime) -> None:
    """One more try for each key; not counted where ``refuse_above`` refuses it."""
    refuse_above(tx, limits, now=now)
    secrets.count_failure(tx, limits, expires_at=now + window, now=now)


def network_of(address: str) -> str:
    """An IPv6 client has 2^64 addresses to try from: its /64 counts as one. This machine itself counts as itself."""
    address = plain_address(address)
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6 and not parsed.is_loopback:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def short(text: str) -> str:
    """Of one length, whatever was given."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
