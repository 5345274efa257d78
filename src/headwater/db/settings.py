"""Where the database is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headwater.kernel import setting

SCHEMES = ("postgresql://", "postgres://")


def _check_database_url(value: str | None) -> str | None:
    """Never repeats the value: it may hold a password."""
    if value is None or value.startswith(SCHEMES):
        return None
    scheme = value.partition(":")[0]
    return f"an address that begins with {scheme[:20]!r} is not one of PostgreSQL, postgresql://user@host/database"


@dataclass(frozen=True)
class DatabaseSettings:
    section: ClassVar[str] = "database"

    url: str | None = setting(
        None,
        "PostgreSQL to keep the site in, as postgresql://user:password@host:5432/database; libpq's options may follow a "
        "question mark. Not set: SQLite in the data folder.",
        check=_check_database_url,
    )
    connections: int = setting(
        12,
        "Connections to PostgreSQL that one process may keep open. A host with two web workers has three processes.",
        check=lambda value: None if 2 <= value <= 500 else f"{value} is not between 2 and 500",
    )
