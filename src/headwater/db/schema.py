"""The schema's one line of versions, applied by Alembic when the database is behind.

A release must work on the schema of the next one, so that hosts can be upgraded one by one: migrations add, a later
release removes. Each migration says with ``breaks_before`` which is the oldest schema version whose code may still run on
what it leaves behind; the highest of them is kept in the database, where older code reads it (CONTRIBUTING.md,
"Changing the schema").
"""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, text

from headwater.kernel import HeadwaterError, Kind

# Every context declares its tables on this one object; names of constraints follow one rule.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# One row: code that knows no version as late as this one must not run here.
schema_reach = Table("schema_reach", metadata, Column("breaks_before", String(32), primary_key=True))

MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaTooNew(HeadwaterError):
    code = "schema_too_new"
    kind = Kind.UNAVAILABLE

    def __init__(self, found: str) -> None:
        super().__init__(
            f"The database is at version {found!r}, which this release cannot work on. "
            "Install the release of Headwater that last wrote it, or a later one."
        )


def versions(folder: Path) -> list[str]:
    """The versions that lie in a folder, oldest first, by file name: no Alembic import on a warm start."""
    return sorted(path.name.split("_")[0] for path in (folder / "versions").glob("[0-9]*_*.py"))


def current_version(connection: Connection) -> str | None:
    """The version the database is at, or None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar()


def upgrade_schema(connection: Connection, folder: Path = MIGRATIONS) -> None:
    """Bring the database to this release's version; safe to repeat. A later one that does not break this is left as it is.

    Raises:
        SchemaTooNew: a later release has written this database, and this one cannot work on it.
    """
    found, known = current_version(connection), versions(folder)
    if found == known[-1]:
        return
    if found is not None and found > known[-1]:
        if _breaks_before(connection) > known[-1]:
            raise SchemaTooNew(found)
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    _mark(connection, max(_declared_break(folder, version) for version in known if found is None or version > found))


def read_reach(connection: Connection) -> tuple[str | None, str | None]:
    """The version a database is at, and the oldest whose code may run on it: what ``require_known`` asks for elsewhere."""
    found = current_version(connection)
    return found, None if found is None else _breaks_before(connection)


def require_known(found: str | None, breaks_before: str | None, folder: Path = MIGRATIONS) -> None:
    """That this release can work on a database of which no more is known than ``read_reach`` told.

    Raises:
        SchemaTooNew
    """
    last = versions(folder)[-1]
    if found is not None and found > last and (breaks_before or found) > last:
        raise SchemaTooNew(found)


def _breaks_before(connection: Connection) -> str:
    found: str = connection.execute(text("select max(breaks_before) from schema_reach")).scalar_one()
    return found


def _mark(connection: Connection, version: str) -> None:
    """Never backwards."""
    marked: str | None = connection.execute(text("select max(breaks_before) from schema_reach")).scalar()
    if marked is None or version > marked:
        connection.execute(text("delete from schema_reach"))
        connection.execute(text("insert into schema_reach values (:version)"), {"version": version})


def _declared_break(folder: Path, version: str) -> str:
    (path,) = (folder / "versions").glob(f"{version}_*.py")
    declared = re.search(r'^breaks_before = "(\w+)"$', path.read_text(), re.MULTILINE)
    if declared is None:
        raise ValueError(f'{path.name} must say which code it breaks: breaks_before = "{version}", or an older version')
    return declared[1]
