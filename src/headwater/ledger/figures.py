"""How far the record has come."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select

from headwater.db import Tx
from headwater.kernel.metrics import Family
from headwater.ledger.tables import entry, pending_entry

MOST = 100_000  # pending ones that are counted; more are as alarming


def measure(tx: Tx) -> Iterator[Family]:
    """Entries ever made, by the highest number, and those that have no place in the tree yet."""
    last = tx.execute(select(func.max(entry.c.id))).scalar() or 0
    yield Family("headwater_ledger_entries_total", "counter", "Entries appended to the record.", [({}, float(last))])
    some = select(pending_entry.c.entry_id).limit(MOST).subquery()
    pending = tx.execute(select(func.count()).select_from(some)).scalar_one()
    text = f"Entries that the sequencer has not numbered yet; counted up to {MOST:,}."
    yield Family("headwater_ledger_pending", "gauge", text, [({}, float(pending))])
