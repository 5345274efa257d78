"""Torch files that somebody asked to have as safetensors, and what became of it."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, String, Table, Text

from headwater.db import UtcDateTime, metadata

conversion = Table(
    "conversion",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True, autoincrement=False),
    Column("path", Text, primary_key=True),
    Column("state", String(12), nullable=False),
    Column("why", Text),  # of a refusal
    Column("pull", Integer),  # the pull request that offers the result
    Column("asked_by", ForeignKey("account.id")),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    CheckConstraint("state in ('queued', 'done', 'refused')", name="known_state"),
)
