"""Signatures over the files of a revision, each found right when it came."""

from sqlalchemy import Column, ForeignKey, Integer, String, Table, Text, UniqueConstraint

from headwater.db import UtcDateTime, metadata

release_signature = Table(
    "release_signature",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("repo_id", ForeignKey("repository.id"), nullable=False),
    Column("commit_id", String(40), nullable=False),
    Column("key_id", String(64), nullable=False),  # sha256 of the public key's PEM
    Column("public_key", Text, nullable=False),
    Column("bundle", Text, nullable=False),
    Column("n_files", Integer, nullable=False),
    Column("added_by", String(96), nullable=False),  # by the name that it had then, as in the record
    Column("added_at", UtcDateTime, nullable=False),
    UniqueConstraint("repo_id", "commit_id", "key_id", name="one_signature_a_key"),
    sqlite_autoincrement=True,
)
