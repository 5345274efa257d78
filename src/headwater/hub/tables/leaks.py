"""Secrets that a push was refused for, by a mark of each; never the secrets themselves."""

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text

from headwater.db import UtcDateTime, metadata

found_secret = Table(
    "found_secret",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True, autoincrement=False),
    Column("mark", String(32), primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("path", Text, nullable=False),
    Column("line", Integer, nullable=False),
    Column("found_by", ForeignKey("account.id")),
    Column("found_at", UtcDateTime, nullable=False),
    Column("allowed_by", ForeignKey("account.id")),
    Column("allowed_at", UtcDateTime),  # NULL: it may not come in
    Column("reason", Text),
    Index("ix_found_secret_at", "repo_id", "found_at"),
)
