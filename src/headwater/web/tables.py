"""How often somebody asked in the present window, as far as the processes of the site have told each other."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from headwater.db import metadata

# Rows live for two windows. ``key`` names an account, a token, or the digest of a network, and what was asked for.
rate_use = Table(
    "rate_use",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("window", BigInteger, primary_key=True, autoincrement=False),
    Column("n", Integer, nullable=False),
    Index("ix_rate_use_window", "window"),
)
