"""How often something may be tried that a stranger could guess."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta

from headwater.accounts.errors import TooManyAttempts
from headwater.accounts.store import secrets
from headwater.db import Tx
from headwater.kernel.addresses import network_of

__all__ = ["count", "forget", "network_of", "refuse_above", "short", "take_back"]


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


def forget(tx: Tx, keys: Iterable[str]) -> None:
    """What was tried proved to be right: these keys begin anew."""
    secrets.forget_failures(tx, keys)


def take_back(tx: Tx, keys: Iterable[str]) -> None:
    """The latest try was right and does not count; those before it do."""
    secrets.uncount_failure(tx, keys)


def short(text: str) -> str:
    """Of one length, whatever was given."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
