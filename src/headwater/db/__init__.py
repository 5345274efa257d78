"""Connections, transactions and the schema's versions; of tables only the mark of which code may run on them.

SQLite on one machine, PostgreSQL for several hosts, behind one interface: readers see a snapshot, writers see nobody else,
and are answered once what they wrote is on disk. docs/decisions/0003-one-writer-thread.md and 0013-postgresql.md.
"""

from headwater.db.clocks import ClockDiffers, require_same_clock
from headwater.db.database import (
    SQLITE_FILE,
    Database,
    DatabaseAway,
    DatabaseBusy,
    DatabaseFull,
    DatabaseRefused,
    DatabaseUnfit,
    DriverMissing,
    Held,
    TextNotStorable,
    Tx,
    ends_hold,
    open_database,
    row_locked,
)
from headwater.db.moving import SiteBehind, SiteHalfMoved, SiteHalfRestored, SiteMoved, SiteMoving
from headwater.db.prepared import Prepared, prepared
from headwater.db.schema import SchemaTooNew, metadata, upgrade_schema
from headwater.db.settings import DatabaseSettings
from headwater.db.types import JsonText, UtcDateTime
from headwater.db.upserts import insert

__all__ = [
    "SQLITE_FILE",
    "ClockDiffers",
    "Database",
    "DatabaseAway",
    "DatabaseBusy",
    "DatabaseFull",
    "DatabaseRefused",
    "DatabaseSettings",
    "DatabaseUnfit",
    "DriverMissing",
    "Held",
    "JsonText",
    "Prepared",
    "SchemaTooNew",
    "SiteBehind",
    "SiteHalfMoved",
    "SiteHalfRestored",
    "SiteMoved",
    "SiteMoving",
    "TextNotStorable",
    "Tx",
    "UtcDateTime",
    "ends_hold",
    "insert",
    "metadata",
    "open_database",
    "prepared",
    "require_same_clock",
    "row_locked",
    "upgrade_schema",
]
