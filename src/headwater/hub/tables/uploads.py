"""Files on their way in from a browser, in parts: the row says what they will be, the part file how far they are."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, Table

from headwater.db import UtcDateTime, metadata

upload_session = Table(
    "upload_session",
    metadata,
    Column("id", String(32), primary_key=True),  # random: knowing it is not enough, the account must match too
    Column("repo_id", ForeignKey("repository.id"), nullable=False),
    Column("account_id", ForeignKey("account.id"), nullable=False),
    Column("path", String(1024), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("stamp", BigInteger, nullable=False),  # when the file was last changed on the sender's disk: tells two apart
    Column("sha256", String(64)),  # found by the server once the whole file is here
    Column("created_at", UtcDateTime, nullable=False),
    Column("charged_to", ForeignKey("account.id")),  # who pays until the bytes have taken their place
    Index("ix_upload_session_owner", "account_id", "repo_id"),
    Index("ix_upload_session_created", "created_at"),
    Index("ix_upload_session_charged", "charged_to"),
)
