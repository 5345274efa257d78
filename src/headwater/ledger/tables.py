"""The record's tables: entries, which are only ever inserted, and the tree that numbers them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from headwater.db import JsonText, UtcDateTime, metadata

# ``leaf`` is the exact text that proofs will be about. It is fit for anyone's eyes: of private things it holds
# salted hashes.
entry = Table(
    "entry",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("repo_id", Integer),  # whose page lists it; the table lives above, so a plain number
    Column("owner_id", Integer),  # in whose audit log it stands
    Column("account_id", Integer),
    Column("is_private", Boolean, nullable=False),
    Column("leaf", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_entry_repo", "repo_id", "id"),
    Index("ix_entry_owner", "owner_id", "id"),
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

# Entries that say that something was taken away, for a list of them that reads nothing else.
tombstone_entry = Table(
    "tombstone_entry",
    metadata,
    Column("entry_id", ForeignKey("entry.id"), primary_key=True),
)

# The tree (RFC 6962). ``idx`` is an entry's place in it, given by the one sequencer: dense, and in no other order than that in
# which entries became visible to it.
leaf = Table(
    "leaf",
    metadata,
    Column("idx", Integer, primary_key=True, autoincrement=False),
    Column("entry_id", ForeignKey("entry.id"), nullable=False, unique=True),
    Column("hash", LargeBinary, nullable=False),
)

# How many leaves there are, and of each level the hashes that no full tile holds yet. One row, which the sequencer locks.
log_head = Table(
    "log_head",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("size", Integer, nullable=False),
    Column("edge", LargeBinary, nullable=False),
    CheckConstraint("one = 1", name="one_log"),
)

# Full tiles: 256 hashes each, and the root over them. They never change.
log_tile = Table(
    "log_tile",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("idx", Integer, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
    Column("root", LargeBinary, nullable=False),
)

# What the log was called, and whose signature stands below its checkpoints. ``secret`` is kept here only where several hosts
# share it (else in the data folder). The highest generation signs.
log_identity = Table(
    "log_identity",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("origin", String(255), nullable=False),
    Column("public", String(64), nullable=False),  # in hexadecimal, as is the secret
    Column("secret", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
)

# Checkpoints as signed. ``note`` has the log's own signature; those of witnesses are beside it.
log_checkpoint = Table(
    "log_checkpoint",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("signed_at", UtcDateTime, nullable=False),
)

log_cosignature = Table(
    "log_cosignature",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("witness", String(255), primary_key=True),
    Column("line", Text, nullable=False),
    Column("cosigned_at", UtcDateTime, nullable=False),
)

# Logs of others that this site is a witness of: the last checkpoint of each that it cosigned.
witnessed_log = Table(
    "witnessed_log",
    metadata,
    Column("origin", String(255), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("cosigned_at", UtcDateTime, nullable=False),
)
