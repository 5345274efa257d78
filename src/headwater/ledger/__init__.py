"""The append-only record: each act that others may rely on is one entry, written in the act's own transaction.

Entries become leaves of a Merkle tree (``tree``), numbered by one sequencer (``sequencer``), signed as checkpoints (``notes``, ``keys``),
confirmed by witnesses (``witnessing``), and compared with the entries themselves (``audit``).
"""

from headwater.ledger.audit import LogProblem, audit
from headwater.ledger.errors import BadLogRange, LogEntryNotFound, LogRewritten, LogTileNotFound
from headwater.ledger.keys import LogIdentity, LogKeyMissing, ensure_log_key, find_log
from headwater.ledger.proofs import Proven, prove
from headwater.ledger.reading import Recorded, count_all, iter_entries
from headwater.ledger.record import Entry, canonical, count_entries, list_entries, list_of_owner, record, salted
from headwater.ledger.sequencer import sequence

__all__ = [
    "BadLogRange",
    "Entry",
    "LogEntryNotFound",
    "LogIdentity",
    "LogKeyMissing",
    "LogProblem",
    "LogRewritten",
    "LogTileNotFound",
    "Proven",
    "Recorded",
    "audit",
    "canonical",
    "count_all",
    "count_entries",
    "ensure_log_key",
    "find_log",
    "iter_entries",
    "list_entries",
    "list_of_owner",
    "prove",
    "record",
    "salted",
    "sequence",
]
