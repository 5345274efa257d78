"""Connections, transactions and the schema's versions; no table lives here.

Readers see a snapshot; writers take turns in each process, batched as savepoints when several wait, and are answered
after the COMMIT is on disk (docs/decisions/0003-one-writer-thread.md has the measurements).
"""

from headwater.db.database import Database, DatabaseFull, Tx
from headwater.db.prepared import Prepared, prepared
from headwater.db.schema import SchemaTooNew, metadata, upgrade_schema
from headwater.db.types import JsonText, UtcDateTime

__all__ = [
    "Database",
    "DatabaseFull",
    "JsonText",
    "Prepared",
    "SchemaTooNew",
    "Tx",
    "UtcDateTime",
    "metadata",
    "prepared",
    "upgrade_schema",
]
