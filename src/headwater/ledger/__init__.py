"""The append-only record: each act that others may rely on is one entry, written in the act's own transaction."""

from headwater.ledger.record import Entry, canonical, count_entries, list_entries, record, salted

__all__ = ["Entry", "canonical", "count_entries", "list_entries", "record", "salted"]
