"""Large files: what bytes are stored, and which repository may read which digest."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, text

from headwater.db import UtcDateTime, metadata

# One file has one identity, whichever way it came. ``layout`` says where its bytes lie: a plain file of the blob folder,
# or the xorbs that ``xet_file`` lists.
blob = Table(
    "blob",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("layout", String(8), nullable=False),
    Column("xet_hash", String(64), index=True),  # also for plain files, once known
    Column("state", String(12), nullable=False),
    Column("generation", BigInteger, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("condemned_at", UtcDateTime),
    # In a store: a plain copy of a file that lies in xorbs, made when somebody read it plainly; its generation, and its last use.
    Column("copy_generation", BigInteger),
    Column("copy_used_at", UtcDateTime),
    CheckConstraint("layout in ('plain', 'xet')", name="known_layout"),
    CheckConstraint("state in ('live', 'condemned', 'deleting', 'gone')", name="known_state"),
    Index(
        "ix_blob_copy",
        "copy_used_at",
        sqlite_where=text("copy_generation IS NOT NULL"),
        postgresql_where=text("copy_generation IS NOT NULL"),
    ),
)

# The right to read: (repository, digest). A commit that names a digest turns an uploader's claim into the repository's right.
file_right = Table(
    "file_right",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("sha256", ForeignKey("blob.sha256"), primary_key=True),
    Column("pull", Integer, primary_key=True),  # 0: the repository's own; N: only through refs/pr/N
    Column("filename", String(1024), nullable=False, server_default=""),
    Column("uploaded_by", ForeignKey("account.id")),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_file_right_sha256", "sha256"),
)

# Uploaded and verified, not yet named by a commit: who may name it, and where.
upload_claim = Table(
    "upload_claim",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("sha256", ForeignKey("blob.sha256"), primary_key=True),
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("charged_to", ForeignKey("account.id")),  # who pays until a commit names it; NULL when the repository has it
    Index("ix_upload_claim_created", "created_at"),
    Index("ix_upload_claim_charged", "charged_to"),
)

# An upload in parts, from its begin until it is completed or given up.
open_upload = Table(
    "open_upload",
    metadata,
    # Of the object that it will be in a store; no other upload has it.
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("upload_id", String(1024), nullable=False),  # the store's, or of the file in the working folder
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("payer_id", ForeignKey("account.id")),  # whose room it will take
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_open_upload_account", "account_id", "sha256"),
    Index("ix_open_upload_payer", "payer_id"),
    Index("ix_open_upload_created", "created_at"),
)
