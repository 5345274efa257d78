"""The record's tables. Entries are only ever inserted; numbering as leaves of a tree comes later, by one sequencer."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from headwater.db import JsonText, UtcDateTime, metadata

# ``leaf`` is the exact text that proofs will be about. It is fit for anyone's eyes: of private things it holds
# salted hashes.
entry = Table(
    "entry",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("repo_id", Integer),  # whose page lists it; the table lives above, so a plain number
    Column("account_id", Integer),
    Column("is_private", Boolean, nullable=False),
    Column("leaf", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_entry_repo", "repo_id", "id"),
    sqlite_autoincrement=True,
)

# What the salted hashes of a private entry stand for, for those who may read the thing.
entry_secret = Table(
    "entry_secret",
    metadata,
    Column("entry_id", ForeignKey("entry.id"), primary_key=True),
    Column("salt", LargeBinary, nullable=False),
    Column("names", JsonText, nullable=False),
)

# Entries that the sequencer has not numbered yet. Inserted last in each act's transaction (storage rules, 8).
pending_entry = Table(
    "pending_entry",
    metadata,
    Column("entry_id", ForeignKey("entry.id"), primary_key=True),
)
