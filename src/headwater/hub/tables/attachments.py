"""Pictures in comments: who brought which, and which comments show them."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, String, Table

from headwater.db import UtcDateTime, metadata

# The bytes are a ``blob``, as those of large files; one row an upload, so that a link never means more than its uploader saw.
attachment = Table(
    "attachment",
    metadata,
    Column("id", String(32), primary_key=True),  # random: stands in the link
    Column("account_id", ForeignKey("account.id"), nullable=False),  # who brought it, and is charged for it
    Column("sha256", ForeignKey("blob.sha256"), nullable=False),
    Column("media_type", String(16), nullable=False),  # as found in the bytes
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    CheckConstraint("media_type in ('image/png', 'image/jpeg', 'image/gif', 'image/webp')", name="known_media_type"),
    Index("ix_attachment_account", "account_id"),
    Index("ix_attachment_sha256", "sha256"),
    Index("ix_attachment_created", "created_at"),
)

# A comment by its uploader names it: whoever may read the comment's repository may see it.
attachment_use = Table(
    "attachment_use",
    metadata,
    Column("attachment_id", ForeignKey("attachment.id"), primary_key=True),
    Column("event_id", ForeignKey("discussion_event.id"), primary_key=True),
    Column("repo_id", ForeignKey("repository.id"), nullable=False),
    Index("ix_attachment_use_event", "event_id"),
    Index("ix_attachment_use_repo", "repo_id"),
)
