"""What was found in files: verdicts, the batches they are recorded in, what is held back where, and what was released."""

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
    Text,
    text,
)

from headwater.db import JsonText, UtcDateTime, metadata

# One batch is one entry of the record: what it says of each verdict, so that a changed or lost one is found. Never changed.
verdict_batch = Table(
    "verdict_batch",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("n_verdicts", Integer, nullable=False),
    Column("digest", String(64), nullable=False),  # sha256 of ``marks``, as the record has it
    Column("marks", LargeBinary, nullable=False),  # 64 bytes each: sha256 of the key, sha256 of the whole verdict
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

# A function of the bytes, the role that a name gives them, and the rules. ``content``: sha256 of a large file, git's id of
# another. Small files of the role ``text`` in which nothing was found have no row. Rows are never deleted.
file_verdict = Table(
    "file_verdict",
    metadata,
    Column("content", String(64), primary_key=True),
    Column("role", String(32), primary_key=True),
    Column("name", String(255), nullable=False),  # one that gives this role
    Column("status", String(12), nullable=False),
    Column("rules", String(64), nullable=False),  # the version of the rules; "" where it waits
    Column("findings", JsonText, nullable=False),
    Column("second", JsonText),  # another scanner's opinion
    Column("batch_id", ForeignKey("verdict_batch.id")),  # NULL until it is recorded
    Column("judged_at", UtcDateTime, nullable=False),
    CheckConstraint("status in ('safe', 'suspicious', 'unsafe', 'queued')", name="known_status"),
    Index("ix_file_verdict_batch", "batch_id"),
    Index(
        "ix_file_verdict_unrecorded",
        "judged_at",
        sqlite_where=text("batch_id IS NULL"),
        postgresql_where=text("batch_id IS NULL"),
    ),
    Index("ix_file_verdict_rules", "rules"),
)

# A repository names these bytes, and their verdict is not ``safe``. The only rows that doors look at.
held_file = Table(
    "held_file",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("content", String(64), primary_key=True),
    Column("role", String(32), primary_key=True),
    Column("path", Text, nullable=False),  # one of those that name it
    Column("pull", Integer, nullable=False),  # 0: a branch or tag; N: only pull request N
    Column("noted_at", UtcDateTime, nullable=False),
    Index("ix_held_file_content", "content", "role"),
    Index("ix_held_file_noted", "noted_at"),
)

# An owner's word that a file of theirs may be served all the same; it holds for the status it was given for.
gate_release = Table(
    "gate_release",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("content", String(64), primary_key=True),
    Column("role", String(32), primary_key=True),
    Column("status", String(12), nullable=False),
    Column("reason", Text, nullable=False),
    Column("released_by", ForeignKey("account.id")),
    Column("released_at", UtcDateTime, nullable=False),
)

# Repositories whose files are to be judged, because they are older than the rules.
gate_due = Table(
    "gate_due",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True, autoincrement=False),
)

# Which rules everything on the site has been, or is being, judged by.
gate_state = Table(
    "gate_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1
    Column("rules", String(64), nullable=False),
    Column("marked_below", BigInteger, nullable=False),  # repositories with smaller ids are not marked as due yet
)
