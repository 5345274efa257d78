"""What each account and repository is charged for, and what it may use: counters, changed where the bytes change.

Every counter is a function of other tables (docs/decisions/0015-quotas.md says which); ``hub.quotas.recount`` proves it.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table

from headwater.db import JsonText, UtcDateTime, metadata

# One row an account that was ever charged. The limits: NULL is the site's default, -1 none.
account_usage = Table(
    "account_usage",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True, autoincrement=False),
    Column("public_bytes", BigInteger, nullable=False, server_default="0"),
    Column("private_bytes", BigInteger, nullable=False, server_default="0"),
    Column("pull_bytes", BigInteger, nullable=False, server_default="0"),  # of pull requests to anybody's repositories
    Column("pending_bytes", BigInteger, nullable=False, server_default="0"),  # uploaded, waiting for a commit
    Column("attachment_bytes", BigInteger, nullable=False, server_default="0"),  # pictures in comments
    Column("used_bytes", BigInteger, nullable=False, server_default="0"),  # all five
    Column("n_repositories", Integer, nullable=False, server_default="0"),
    Column("max_bytes", BigInteger),
    Column("max_private_bytes", BigInteger),
    Column("max_repositories", BigInteger),
    Index("ix_account_usage_used", "used_bytes", "account_id"),
)

# One row a repository that is not deleted.
repository_usage = Table(
    "repository_usage",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True, autoincrement=False),
    Column("owner_id", ForeignKey("account.id"), nullable=False),
    Column("is_private", Boolean, nullable=False),
    Column("file_bytes", BigInteger, nullable=False, server_default="0"),  # of its own right, each digest once
    Column("pack_bytes", BigInteger, nullable=False, server_default="0"),  # of packs in use
    Column("pull_pack_bytes", BigInteger, nullable=False, server_default="0"),  # of these, charged to authors of pulls
    Column("used_bytes", BigInteger, nullable=False, server_default="0"),  # what its owner is charged
    Index("ix_repository_usage_used", "used_bytes", "repo_id"),
    Index("ix_repository_usage_owner", "owner_id", "used_bytes", "repo_id"),
)

# What a pull request that is not merged has brought; charged to its author.
pull_usage = Table(
    "pull_usage",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True, autoincrement=False),
    Column("num", Integer, primary_key=True, autoincrement=False),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("file_bytes", BigInteger, nullable=False, server_default="0"),
    Column("pack_bytes", BigInteger, nullable=False, server_default="0"),
    Index("ix_pull_usage_account", "account_id"),
)

# One row: what the configuration says, what an administrator chose over it, and the two together.
quota_default = Table(
    "quota_default",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("configured", JsonText, nullable=False),
    Column("chosen", JsonText, nullable=False),
    Column("in_force", JsonText, nullable=False),
)

# The site as a whole, once a day and after each run of the collector: what pages show without counting all rows again.
storage_day = Table(
    "storage_day",
    metadata,
    Column("day", String(10), primary_key=True),  # 2026-11-22, UTC
    Column("taken_at", UtcDateTime, nullable=False),
    Column("logical_bytes", BigInteger, nullable=False),
    Column("stored_bytes", BigInteger, nullable=False),
    Column("n_repositories", Integer, nullable=False),
    Column("totals", JsonText, nullable=False),
)
