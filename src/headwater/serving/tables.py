"""Tables of endpoints, of who used them how much, and of the limits on that."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from headwater.db import UtcDateTime, metadata

# What is to be served. Rows are never deleted: what was used of them stays told apart. ``name_key`` is null once it is gone.
endpoint = Table(
    "endpoint",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("owner_id", ForeignKey("account.id"), nullable=False),
    Column("name", String(96), nullable=False),
    Column("name_key", String(96)),
    Column("repo_id", ForeignKey("repository.id"), nullable=False, index=True),
    Column("commit_id", String(40), nullable=False),
    Column("file", Text),  # the GGUF to serve; null where the engine reads the whole folder
    Column("engine", String(16), nullable=False),
    Column("task", String(16), nullable=False),
    Column("access", String(16), nullable=False),
    Column("context_tokens", Integer, nullable=False),  # of each request at most
    Column("slots", Integer, nullable=False),  # requests at once
    Column("idle_s", Integer, nullable=False),  # after which it sleeps; 0: never
    Column("keeps_contents", Boolean, nullable=False, server_default="0"),
    Column("wanted", String(8), nullable=False),
    Column("created_by", ForeignKey("account.id"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
    UniqueConstraint("owner_id", "name_key", name="one_endpoint_a_name"),
    CheckConstraint("engine in ('llama.cpp', 'transformers')", name="known_engine"),
    CheckConstraint("task in ('generate', 'embed')", name="known_task"),
    CheckConstraint("access in ('members', 'everyone')", name="known_access"),
    CheckConstraint("wanted in ('running', 'stopped')", name="known_wish"),
    sqlite_autoincrement=True,
)

# How it is, as the host that holds it says: written by supervisors, but for ``wake_at`` and ``last_used_at``.
endpoint_state = Table(
    "endpoint_state",
    metadata,
    Column("endpoint_id", ForeignKey("endpoint.id"), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("since", UtcDateTime, nullable=False),
    Column("holder", String(200)),  # which supervisor, and until when nobody else takes it
    Column("held_until", UtcDateTime),
    Column("host", String(160)),  # where its engine runs, as what process, since when in that machine's own count
    Column("pid", Integer),
    Column("pid_started", BigInteger),
    Column("address", String(80)),  # host:port of the engine
    Column("key", String(64)),  # which it asks for; ends with it
    Column("context_tokens", Integer),  # as the engine says
    Column("n_failures", Integer, nullable=False, server_default="0"),
    Column("retry_at", UtcDateTime),
    Column("wake_at", UtcDateTime),  # when somebody last asked for it while it slept
    Column("last_used_at", UtcDateTime),
    Column("log_tail", Text, nullable=False, server_default=""),
)

# What was used, by minute: who, with which token (0: a browser), of which endpoint.
gateway_usage = Table(
    "gateway_usage",
    metadata,
    Column("minute", BigInteger, primary_key=True, autoincrement=False),  # since 1970
    Column("endpoint_id", ForeignKey("endpoint.id"), primary_key=True, autoincrement=False),
    Column("account_id", ForeignKey("account.id"), primary_key=True, autoincrement=False),
    Column("token_id", Integer, primary_key=True, autoincrement=False),
    Column("n_requests", Integer, nullable=False),
    Column("n_errors", Integer, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),  # until the first byte of the answer, all together
    Column("whole_ms", BigInteger, nullable=False),
    Index("ix_gateway_usage_account", "account_id", "minute"),
    Index("ix_gateway_usage_endpoint", "endpoint_id", "minute"),
)

# Limits that somebody has set: of a token, of an account that asks, of an organisation (or person) whose endpoints are asked.
serving_limit = Table(
    "serving_limit",
    metadata,
    Column("subject", String(8), primary_key=True),
    Column("subject_id", Integer, primary_key=True, autoincrement=False),
    Column("requests_minute", BigInteger, nullable=False),  # 0: none
    Column("requests_day", BigInteger, nullable=False),
    Column("tokens_minute", BigInteger, nullable=False),
    Column("tokens_day", BigInteger, nullable=False),
    Column("set_by", String(96), nullable=False),
    Column("set_at", UtcDateTime, nullable=False),
    CheckConstraint("subject in ('token', 'account', 'owner')", name="known_subject"),
)

# What was asked and answered, of endpoints whose owner has switched that on; for thirty days.
gateway_exchange = Table(
    "gateway_exchange",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("endpoint_id", ForeignKey("endpoint.id"), nullable=False),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("request", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Index("ix_gateway_exchange_endpoint", "endpoint_id", "id"),
    sqlite_autoincrement=True,
)
