"""The jobs' table, and whose turn it is at what is done again and again."""

from sqlalchemy import CheckConstraint, Column, Index, Integer, String, Table, Text, text

from headwater.db import JsonText, UtcDateTime, metadata

job = Table(
    "job",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("payload", JsonText, nullable=False),
    Column("unique_key", String(200)),
    Column("state", String(8), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("run_at", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime),
    Column("last_error", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    CheckConstraint("state in ('waiting', 'running', 'failed')", name="known_state"),  # done ones are deleted
    Index("ix_job_due", "state", "run_at", "id"),
    # Two waiting jobs of one key would do the same work twice; one may wait while another runs.
    # (For PostgreSQL in ``info``: naming its dialect here would import all of it into every process.)
    Index(
        "uq_job_waiting_key",
        "unique_key",
        unique=True,
        sqlite_where=text("state = 'waiting' and unique_key is not null"),
        info={"postgresql_where": "state = 'waiting' and unique_key is not null"},
    ),
    sqlite_autoincrement=True,
)

# What the whole site does every so often, whichever host does it: one row an act.
periodic_run = Table(
    "periodic_run",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(200), nullable=False),  # the process that did it last, or does it now
    Column("started_at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),  # nobody begins it before: the end of a lease, or of a period
)
