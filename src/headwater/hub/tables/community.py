"""Discussions and pull requests, likes, follows, collections, webhooks."""

from sqlalchemy import Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text

from headwater.db import JsonText, UtcDateTime, metadata

# Discussions and pull requests share one line of numbers per repository; rows are never deleted, so no number returns.
discussion = Table(
    "discussion",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("repo_id", ForeignKey("repository.id"), nullable=False),
    Column("num", Integer, nullable=False),
    Column("public_id", String(24), nullable=False, unique=True),
    Column("is_pull", Boolean, nullable=False),
    Column("title", String(400), nullable=False),
    Column("status", String(8), nullable=False),
    Column("author_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("n_comments", Integer, nullable=False, server_default="0"),
    Column("n_events", Integer, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("base_ref", Text),  # of a pull request: refs/heads/...
    Column("start_commit", String(40)),  # where the base was when it was opened
    Column("merged_base", String(40)),  # where the base was when it was merged
    Column("merge_commit", String(40)),
    Index("uq_discussion_repo_num", "repo_id", "num", unique=True),
    Index("ix_discussion_repo_status", "repo_id", "status", "num"),
    CheckConstraint("status in ('draft', 'open', 'closed', 'merged')", name="known_status"),
    CheckConstraint("is_pull or status in ('open', 'closed')", name="status_fits"),
    sqlite_autoincrement=True,
)

# What happened in a discussion, in order. ``body`` is a comment's present text; ``data`` what the other kinds tell.
discussion_event = Table(
    "discussion_event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("discussion_id", ForeignKey("discussion.id"), nullable=False, index=True),
    Column("public_id", String(24), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("author_id", ForeignKey("account.id"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("body", Text),
    Column("edited_at", UtcDateTime),
    Column("edited_by", ForeignKey("account.id")),
    Column("hidden_at", UtcDateTime),
    Column("hidden_by", ForeignKey("account.id")),
    Column("data", JsonText, nullable=False),
    CheckConstraint("kind in ('comment', 'status-change', 'title-change', 'commit')", name="known_kind"),
    sqlite_autoincrement=True,
)

# Former texts of comments.
comment_edit = Table(
    "comment_edit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("event_id", ForeignKey("discussion_event.id"), nullable=False, index=True),
    Column("body", Text, nullable=False),
    Column("author_id", ForeignKey("account.id"), nullable=False),
    Column("written_at", UtcDateTime, nullable=False),
)

repo_like = Table(
    "repo_like",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_repo_like_account", "account_id", "created_at"),
    Index("ix_repo_like_created", "created_at", "repo_id"),
)

follow = Table(
    "follow",
    metadata,
    Column("followed_id", ForeignKey("account.id"), primary_key=True),
    Column("follower_id", ForeignKey("account.id"), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_follow_follower", "follower_id", "created_at"),
)

collection = Table(
    "collection",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("public_id", String(24), nullable=False, unique=True),
    Column("owner_id", ForeignKey("account.id"), nullable=False),
    Column("title", String(200), nullable=False),
    Column("title_key", String(200), nullable=False),
    Column("description", Text),
    Column("is_private", Boolean, nullable=False),
    Column("theme", String(16), nullable=False),
    Column("position", Integer, nullable=False),
    Column("created_by", ForeignKey("account.id"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("uq_collection_owner_title", "owner_id", "title_key", unique=True),
    Index("ix_collection_updated", "updated_at"),
    sqlite_autoincrement=True,
)

# One thing in a collection: a repository or another collection, by id, so that a rename leaves it in place.
collection_item = Table(
    "collection_item",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("public_id", String(24), nullable=False, unique=True),
    Column("collection_id", ForeignKey("collection.id"), nullable=False),
    Column("repo_id", ForeignKey("repository.id"), index=True),
    Column("inner_id", ForeignKey("collection.id"), index=True),
    Column("note", Text),
    Column("position", Integer, nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
    Index("uq_collection_item_repo", "collection_id", "repo_id", unique=True),
    Index("uq_collection_item_inner", "collection_id", "inner_id", unique=True),
    CheckConstraint("(repo_id is null) <> (inner_id is null)", name="one_thing"),
    sqlite_autoincrement=True,
)

webhook = Table(
    "webhook",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("public_id", String(24), nullable=False, unique=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("secret", Text),
    Column("domains", JsonText, nullable=False),
    Column("grants", JsonText),  # of the fine-grained token that it was made with: it hears no more than that may read
    Column("is_disabled", Boolean, nullable=False, server_default="0"),
    Column("n_failures", Integer, nullable=False, server_default="0"),  # in a row
    Column("created_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

webhook_watch = Table(
    "webhook_watch",
    metadata,
    Column("webhook_id", ForeignKey("webhook.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("account_id", ForeignKey("account.id"), index=True),
    Column("repo_id", ForeignKey("repository.id"), index=True),
    CheckConstraint("(account_id is null) <> (repo_id is null)", name="one_thing"),
)

# What was sent, or waits to be; only the newest few of each webhook are kept.
webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("webhook_id", ForeignKey("webhook.id"), nullable=False),
    Column("public_id", String(24), nullable=False, unique=True),
    Column("event", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(8), nullable=False),
    Column("n_attempts", Integer, nullable=False, server_default="0"),
    Column("http_status", Integer),
    Column("answer", Text, nullable=False, server_default=""),  # its first characters, or what went wrong
    Column("created_at", UtcDateTime, nullable=False),
    Column("attempted_at", UtcDateTime),
    Column("duration_ms", Integer),
    Index("ix_webhook_delivery_webhook", "webhook_id", "id"),
    CheckConstraint("state in ('waiting', 'done', 'failed')", name="known_state"),
    sqlite_autoincrement=True,
)
