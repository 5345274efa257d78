"""Xet: xorbs, who has sent which, and the files that are made of their chunks."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    text,
)

from headwater.db import JsonText, UtcDateTime, metadata

# A xorb lies in the blob folder as raw payload + chunk index, in a store as it came + index (``hub.files.terms.payload_key``
# tells by the generation). Clients remember for three weeks what they have sent, and
# fail without fall-back when it is gone, so every answer that makes them rely on a xorb renews ``last_promised_at``.
xorb = Table(
    "xorb",
    metadata,
    Column("hash", String(64), primary_key=True),  # string form of the Xet specification
    Column("n_chunks", Integer, nullable=False),
    Column("payload_bytes", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),
    Column("generation", BigInteger, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_promised_at", UtcDateTime, nullable=False),
    Column("condemned_at", UtcDateTime),
    Column("charged_to", ForeignKey("account.id")),  # who pays until a file is made of it
    CheckConstraint("state in ('live', 'condemned', 'deleting', 'gone')", name="known_state"),
    Index("ix_xorb_promised", "state", "last_promised_at"),
    Index(
        "ix_xorb_charged",
        "charged_to",
        sqlite_where=text("charged_to IS NOT NULL"),
        postgresql_where=text("charged_to IS NOT NULL"),
    ),
)

# Where each chunk ends in a xorb that is kept as it came: little-endian u32. Ranges are named to clients out of this.
xorb_framing = Table(
    "xorb_framing",
    metadata,
    Column("xorb", ForeignKey("xorb.hash"), primary_key=True),
    Column("ends", LargeBinary, nullable=False),
)

# Who has sent a xorb, and so holds all its bytes. ``token_id`` is 0 but for fine-grained tokens, whose uploads other
# tokens of the person may use, while they may use only their own.
xorb_holder = Table(
    "xorb_holder",
    metadata,
    Column("xorb", ForeignKey("xorb.hash"), primary_key=True),
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("token_id", Integer, primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
)

# (file hash -> sha256, terms): found and verified once, when the shard arrives.
xet_file = Table(
    "xet_file",
    metadata,
    Column("xet_hash", String(64), primary_key=True),
    Column("sha256", ForeignKey("blob.sha256"), nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("n_terms", Integer, nullable=False),
    Column("terms", LargeBinary, nullable=False),  # packed by hub.files.terms
    Column("created_at", UtcDateTime, nullable=False),
)

# Which xorbs a file needs: what keeps them from being collected.
xet_file_xorb = Table(
    "xet_file_xorb",
    metadata,
    Column("xet_hash", ForeignKey("xet_file.xet_hash"), primary_key=True),
    Column("xorb", ForeignKey("xorb.hash"), primary_key=True),
    Index("ix_xet_file_xorb_xorb", "xorb"),
)

# Chunks a client may ask about: the first of each file, and one in 1,024.
xet_chunk = Table(
    "xet_chunk",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("xet_hash", ForeignKey("xet_file.xet_hash"), primary_key=True),
    Column("term", Integer, nullable=False),  # number of the term it lies in
    Index("ix_xet_chunk_file", "xet_hash"),
)

# Facts about the byte store as a whole: the collector's clock, the epoch that casUrl carries.
bytes_fact = Table(
    "bytes_fact",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", JsonText, nullable=False),
)
