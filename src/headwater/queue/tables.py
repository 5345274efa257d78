"""The jobs' table."""

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
