"""Looking after what is kept: what was checked, backed up and tried, when, and what is known to be wrong."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from headwater.db import JsonText, UtcDateTime, metadata

# One row an act: check, scrub (a whole round), backup, drill, repair. ``is_good``: it ended, and found nothing wrong.
upkeep_run = Table(
    "upkeep_run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("is_good", Boolean, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, nullable=False),
    Column("facts", JsonText, nullable=False),
    Index("ix_upkeep_run_kind", "kind", "is_good", "id"),
)

# What is wrong as far as is known: found by a check or by scrubbing, and gone when one of them finds it mended.
upkeep_problem = Table(
    "upkeep_problem",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("code", String(64), nullable=False),
    Column("place", String(2048), nullable=False),
    Column("what", Text, nullable=False),
    Column("mend", Text, nullable=False),
    Column("object_key", String(1024)),
    Column("found_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Index("uq_upkeep_problem", "code", "place", unique=True),
)

# How far the round of scrubbing is: one row while there is one, with the kind of object and the last name that was read.
scrub_place = Table(
    "scrub_place",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("after", String(256), nullable=False),
    Column("round_began_at", UtcDateTime, nullable=False),
    Column("next_at", UtcDateTime, nullable=False),
    Column("n_objects", BigInteger, nullable=False, server_default="0"),
    Column("n_bytes", BigInteger, nullable=False, server_default="0"),
    Column("n_problems", BigInteger, nullable=False, server_default="0"),
)
