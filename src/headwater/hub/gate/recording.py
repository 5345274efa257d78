"""Verdicts in the record: batches of new ones, and at once those that were recorded as something else.

So a verdict without a batch was never in one, and no batch of new ones names a verdict twice: whoever marks an altered verdict as
not yet recorded is found before it is recorded, and afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from headwater import ledger
from headwater.db import Tx
from headwater.hub.gate import store
from headwater.hub.gate.models import Key
from headwater.kernel import SYSTEM

BATCH = 1000


def record_new(tx: Tx, now: datetime) -> bool:
    """Record a batch of verdicts that never were; whether there may be more."""
    return _record(tx, store.seal(tx, BATCH, now), now) == BATCH


def record_again(tx: Tx, keys: Iterable[Key], now: datetime) -> None:
    """Record these once more, in the transaction that has changed them."""
    _record(tx, store.seal_again(tx, keys, now), now, again=True)


def _record(tx: Tx, sealed: tuple[int, int, str] | None, now: datetime, **facts: bool) -> int:
    if sealed is None:
        return 0
    number, count, digest = sealed
    told = {"batch": number, "n": count, "digest": digest, **facts}
    ledger.record(tx, SYSTEM, "files.judged", f"verdicts/{number}", told, now=now)
    return count
