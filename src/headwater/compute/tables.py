"""Runs: what was asked, on what it was pinned, each attempt, and what it said and made."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)

from headwater.db import JsonText, UtcDateTime, metadata

run = Table(
    "run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("name", String(96), nullable=False),
    Column("state", String(12), nullable=False),
    Column("owner_id", ForeignKey("account.id"), nullable=False),  # whose quota it counts against
    Column("created_by", ForeignKey("account.id"), nullable=False),
    Column("is_private", Boolean, nullable=False),  # besides: while any repository of it is
    Column("priority", Integer, nullable=False),
    Column("recipe_text", Text, nullable=False),
    Column("recipe_digest", String(64), nullable=False),  # sha256 of the text
    Column("recipe_repo_id", ForeignKey("repository.id")),
    Column("recipe_commit", String(40)),
    Column("recipe_path", Text),
    Column("resolved", JsonText, nullable=False),  # the recipe as the program sees it
    Column("cpus", Float, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("chip", String(64)),
    Column("time_limit_s", Integer),
    Column("retries", Integer, nullable=False),
    Column("n_attempts", Integer, nullable=False, server_default="0"),
    Column("n_losses", Integer, nullable=False, server_default="0"),
    Column("parent_id", ForeignKey("run.id")),  # of which it is a copy, with or without changes
    Column("reason_code", String(64)),
    Column("reason", Text),
    Column("result", JsonText),
    Column("progress", JsonText),
    Column("energy", JsonText),
    Column("environment", JsonText),  # where the last attempt ran: interpreter, packages, hardware
    Column("usage", JsonText),
    Column("n_points", Integer, nullable=False, server_default="0"),
    Column("n_log_bytes", BigInteger, nullable=False, server_default="0"),
    Column("cancel_requested_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),  # not before it is a queued run begun
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    CheckConstraint(
        "state in ('queued', 'starting', 'running', 'succeeded', 'failed', 'cancelled', 'lost')", name="known_state"
    ),
    Index("ix_run_state", "state", "id"),
    Index("ix_run_owner", "owner_id", "id"),
    Index("ix_run_kind", "kind", "id"),
    sqlite_autoincrement=True,
)

run_input = Table(
    "run_input",
    metadata,
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("repo_id", ForeignKey("repository.id"), nullable=False),
    Column("repo_path", Text, nullable=False),  # by the name that it had then, with its type before it
    Column("revision", Text, nullable=False),
    Column("commit_id", String(40), nullable=False),
    Index("ix_run_input_repo", "repo_id", "run_id"),
)

run_output = Table(
    "run_output",
    metadata,
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("repo_id", ForeignKey("repository.id")),  # NULL until it is there
    Column("repo_path", Text, nullable=False),
    Column("is_private", Boolean, nullable=False),
    Index("ix_run_output_repo", "repo_id", "run_id"),
)

# What a run has put into its outputs.
run_commit = Table(
    "run_commit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("run.id"), nullable=False),
    Column("output", String(64), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("repo_id", ForeignKey("repository.id"), nullable=False),
    Column("commit_id", String(40), nullable=False),
    Column("revision", Text, nullable=False),  # the branch it was put on
    Column("files", JsonText, nullable=False),  # path to sha256
    Column("made_at", UtcDateTime, nullable=False),
    Index("ix_run_commit_run", "run_id", "id"),
    Index("ix_run_commit_repo", "repo_id", "commit_id"),
    sqlite_autoincrement=True,
)

run_attempt = Table(
    "run_attempt",
    metadata,
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", String(12), nullable=False),
    Column("runner", String(16), nullable=False),
    Column("host_id", String(32), nullable=False),
    Column("token_id", ForeignKey("token.id")),
    Column("remote_id", String(128)),  # how the runner calls it
    Column("lease_until", UtcDateTime, nullable=False),
    Column("reason_code", String(64)),
    Column("reason", Text),
    Column("exit_code", Integer),
    Column("usage", JsonText),
    Column("reported_at", UtcDateTime),
    Column("started_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    CheckConstraint(
        "state in ('starting', 'running', 'succeeded', 'failed', 'cancelled', 'lost')", name="known_attempt_state"
    ),
    Index(
        "ix_run_attempt_active",
        "lease_until",
        sqlite_where=text("state in ('starting', 'running')"),
        postgresql_where=text("state in ('starting', 'running')"),
    ),
)

# The last word for a step holds: an attempt that goes on from a checkpoint says some steps again.
run_metric = Table(
    "run_metric",
    metadata,
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("step", BigInteger, primary_key=True),
    Column("value", Float),  # NULL: not a finite number
    Column("said_at", UtcDateTime, nullable=False),
)

# A log in pieces; where the next begins later than one ends, what lay between was left out.
run_log = Table(
    "run_log",
    metadata,
    Column("run_id", ForeignKey("run.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("start", BigInteger, nullable=False),  # in bytes of the attempt's whole output
    Column("end", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Column("said_at", UtcDateTime, nullable=False),
)

run_note = Table(
    "run_note",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", ForeignKey("run.id"), nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("said_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

# Where runs can be started: a host of the site, or a cluster that it knows the address of.
run_host = Table(
    "run_host",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("runner", String(16), nullable=False),
    Column("cpus", Float, nullable=False),
    Column("memory_bytes", BigInteger, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("chip", String(64)),
    Column("extras", JsonText, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

# What an account's runs may hold at once; NULL: what the settings say.
run_quota = Table(
    "run_quota",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True, autoincrement=False),
    Column("cpus", Float),
    Column("memory_bytes", BigInteger),
    Column("gpus", Integer),
    Column("runs", Integer),
)
