"""What a repository's README and files say about it, at the head of its default branch."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from headwater.db import JsonText, UtcDateTime, metadata

# One row for each repository that was indexed once. ``commit_id`` is the head it was read at: a reader that needs the present
# head compares. The body stands last and apart from what lists read, so that they never touch its overflow pages.
card = Table(
    "card",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("commit_id", String(40)),
    Column("readme_oid", String(40)),
    Column("library", String(64)),
    Column("pipeline_tag", String(64)),
    Column("n_parameters", BigInteger),
    Column("n_files", Integer, nullable=False, server_default="0"),
    Column("used_storage_bytes", BigInteger, nullable=False, server_default="0"),
    Column("indexed_at", UtcDateTime, nullable=False),
    Column("tags", JsonText, nullable=False),  # as shown, in order
    Column("data", JsonText, nullable=False),  # the front matter
    Column("problems", JsonText, nullable=False),
    Column("facts", JsonText, nullable=False),  # read from files: config, safetensors, gguf
    Column("text", Text, nullable=False, server_default=""),  # README without the front matter
    Index("ix_card_parameters", "kind", "n_parameters", "repo_id"),
)

# The default branch as a flat list: for ``siblings``, finding a file, and statistics. Kept up by difference.
default_file = Table(
    "default_file",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("oid", String(40), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),  # of the large file, where the entry is a pointer
    Column("sha256", String(64)),
    Column("pointer_size", Integer),
    sqlite_with_rowid=False,
)
