"""The schema's one line of versions, applied by Alembic when the database is behind."""

from pathlib import Path

from sqlalchemy import Connection, MetaData, inspect, text

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

MIGRATIONS = Path(__file__).parent / "migrations"


class SchemaTooNew(HeadwaterError):
    code = "schema_too_new"
    kind = Kind.UNAVAILABLE

    def __init__(self, found: str) -> None:
        super().__init__(
            f"The database is at version {found!r}, which this release does not know. "
            "Install the release of Headwater that last wrote it, or a later one."
        )


def latest_version() -> str:
    """The newest version that ships with this release, by file name: no Alembic import on a warm start."""
    return max(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def current_version(connection: Connection) -> str | None:
    """The version the database is at, or None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar()


def upgrade_schema(connection: Connection) -> None:
    """Bring the database to this release's version; safe to repeat.

    Raises:
        SchemaTooNew: a later release has written this database.
    """
    found = current_version(connection)
    if found == latest_version():
        return
    if found is not None and found > latest_version():
        raise SchemaTooNew(found)
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
