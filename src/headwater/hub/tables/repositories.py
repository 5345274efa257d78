"""Repositories, the names they have had, their refs and packs."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from headwater.db import UtcDateTime, metadata

repository = Table(
    "repository",
    metadata,
    Column("id", Integer, primary_key=True),  # never reused
    Column("kind", String(8), nullable=False),
    Column("owner_id", ForeignKey("account.id"), nullable=False),
    Column("namespace", String(96), nullable=False),  # the owner's name, kept beside to spare a join
    Column("name", String(96), nullable=False),
    Column("sdk", String(16)),
    Column("is_private", Boolean, nullable=False),
    Column("gated", String(8), nullable=False, server_default=""),
    Column("is_disabled", Boolean, nullable=False, server_default="0"),
    Column("default_branch", Text, nullable=False, server_default="main"),
    Column("head_commit", String(40)),
    Column("version", Integer, nullable=False, server_default="0"),
    Column("prune_epoch", Integer, nullable=False, server_default="0"),
    Column("created_by", ForeignKey("account.id")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    Column("n_likes", Integer, nullable=False, server_default="0"),
    Column("n_downloads", BigInteger, nullable=False, server_default="0"),  # flushed in batches
    Column("trending_score", Float, nullable=False, server_default="0"),
    CheckConstraint("kind in ('model', 'dataset', 'space')", name="known_kind"),
    CheckConstraint("gated in ('', 'auto', 'manual')", name="known_gate"),
    Index("ix_repository_deleted", "deleted_at"),
    # What an owner has, changed last first; counted without a look at the row.
    Index("ix_repository_owner", "owner_id", "kind", "updated_at", "id", "is_private", "deleted_at"),
    # One index for each order of lists; what follows the order decides visibility without a look at the row.
    Index("ix_repository_by_trending", "kind", "trending_score", "id", "is_private", "owner_id", "deleted_at"),
    Index("ix_repository_by_modified", "kind", "updated_at", "id", "is_private", "owner_id", "deleted_at"),
    Index("ix_repository_by_created", "kind", "created_at", "id", "is_private", "owner_id", "deleted_at"),
    Index("ix_repository_by_downloads", "kind", "n_downloads", "id", "is_private", "owner_id", "deleted_at"),
    Index("ix_repository_by_likes", "kind", "n_likes", "id", "is_private", "owner_id", "deleted_at"),
    sqlite_autoincrement=True,
)

# Every name a repository has had. The current one points at it, older ones redirect, those of deleted ones stay taken for
# everyone but the owner of the namespace.
repository_name = Table(
    "repository_name",
    metadata,
    Column("kind", String(8), primary_key=True),
    Column("name_key", String(200), primary_key=True),  # case-folded "namespace/name"
    Column("repo_id", ForeignKey("repository.id"), nullable=False, index=True),
    Column("state", String(8), nullable=False),
    CheckConstraint("state in ('current', 'moved', 'deleted')", name="known_state"),
)

ref = Table(
    "ref",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("name", Text, primary_key=True),  # full: refs/heads/main, refs/tags/v1, refs/pr/3
    Column("oid", String(40), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

pack = Table(
    "pack",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("repo_id", ForeignKey("repository.id"), nullable=False),
    Column("name", String(40), nullable=False),  # as git names it: pack-<name>.pack
    Column("size_bytes", BigInteger, nullable=False),
    Column("n_objects", Integer, nullable=False),
    Column("is_inline", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("retired_at", UtcDateTime),  # merged into another; its bytes go after a grace time
    Index("uq_pack_repo_name", "repo_id", "name", unique=True),
    Index("ix_pack_retired", "retired_at"),
    sqlite_autoincrement=True,
)

# Apart, so that pages and backups of ``pack`` stay small.
pack_bytes = Table(
    "pack_bytes",
    metadata,
    Column("pack_id", ForeignKey("pack.id"), primary_key=True),
    Column("pack", LargeBinary, nullable=False),
    Column("idx", LargeBinary, nullable=False),
)

# Facts about LFS pointers: a pure function of the git blob.
lfs_pointer = Table(
    "lfs_pointer",
    metadata,
    Column("oid", String(40), primary_key=True),  # git blob
    Column("sha256", String(64), nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
)
