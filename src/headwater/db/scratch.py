"""A PostgreSQL database that is lent for a while: that it is empty before, and empty afterwards.

What an extension has brought stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from headwater.db.database import Database

_OURS = (
    "c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND NOT EXISTS "
    "(SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
)
_EMPTY = f"""DO $$ DECLARE found record; BEGIN
FOR found IN SELECT c.oid::regclass AS name, c.relkind AS kind FROM pg_class c WHERE {_OURS} AND c.relkind IN ('r', 'p', 'v', 'm') LOOP
  IF to_regclass(found.name::text) IS NOT NULL THEN
    EXECUTE format('DROP %s IF EXISTS %s CASCADE',
      CASE found.kind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, found.name);
  END IF;
END LOOP;
FOR found IN SELECT c.oid::regclass AS name FROM pg_class c WHERE {_OURS} AND c.relkind = 'S' LOOP
  EXECUTE format('DROP SEQUENCE IF EXISTS %s CASCADE', found.name);
END LOOP; END $$"""


def holds_anything(db: Database) -> bool:
    """Whether there is any table, view or sequence where the site's would be."""
    return bool(
        db.read(lambda tx: tx.execute(text(f"SELECT EXISTS (SELECT 1 FROM pg_class c WHERE {_OURS})")).scalar())
    )


def empty(db: Database) -> None:
    """Take all of it away. The caller knows that it was empty when it was lent."""
    from headwater.db.postgresql import PostgresqlDatabase

    assert isinstance(db, PostgresqlDatabase)  # noqa: S101
    db.stand_still(_EMPTY)
