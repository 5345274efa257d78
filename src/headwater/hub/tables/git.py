"""Last-changed nodes: who changed each name of a folder last, as a function of the commit (storage rules, 2)."""

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, String, Table

from headwater.db import metadata

# Rows are never updated; all of a repository's may be deleted and built again. ``whole`` is the node that this one's
# data is a difference from; None when the data is complete.
last_changed_node = Table(
    "last_changed_node",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("whole", BigInteger),
    Column("data", LargeBinary, nullable=False),
)

last_changed_root = Table(
    "last_changed_root",
    metadata,
    Column("repo_id", ForeignKey("repository.id"), primary_key=True),
    Column("commit_oid", String(40), primary_key=True),
    Column("node", BigInteger, nullable=False),
)
