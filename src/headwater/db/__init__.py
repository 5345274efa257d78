"""Connections, transactions and the schema's versions; no table lives here.

Readers see a snapshot; writers go through one thread per process that batches transactions as savepoints and
answers after the COMMIT is on disk (docs/decisions/0003-one-writer-thread.md has the measurements).
"""

from headwater.db.database import Database, Tx
from headwater.db.schema import SchemaTooNew, metadata, upgrade_schema
from headwater.db.types import JsonText, UtcDateTime

__all__ = ["Database", "JsonText", "SchemaTooNew", "Tx", "UtcDateTime", "metadata", "upgrade_schema"]
