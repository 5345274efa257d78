"""Upgrading hosts one by one: older code goes on where a migration only adds, and refuses where one removes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from headwater.db import Database, SchemaTooNew, open_database
from headwater.db.schema import MIGRATIONS, current_version, upgrade_schema, versions
from tests import growth

FIRST = """
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
breaks_before = "0001"


def upgrade():
    op.create_table("schema_reach", sa.Column("breaks_before", sa.String(32), primary_key=True))
    op.create_table("thing", sa.Column("id", sa.Integer, primary_key=True), sa.Column("old", sa.Text))
"""
ADDS = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
breaks_before = "0001"


def upgrade():
    op.add_column("thing", sa.Column("new", sa.Text))
"""
REMOVES = """
from alembic import op

revision = "0003"
down_revision = "0002"
breaks_before = "0002"


def upgrade():
    with op.batch_alter_table("thing") as batch:
        batch.drop_column("old")
"""


@pytest.fixture
def db(tmp_path: Path):
    made = open_database(tmp_path, growth.empty_database_url_of(tmp_path))
    yield made
    made.close()


def release(folder: Path, *migrations: str) -> Path:
    """The migrations that one release ships."""
    (folder / "versions").mkdir(parents=True)
    for number, migration in enumerate(migrations, 1):
        (folder / "versions" / f"{number:04}_some.py").write_text(migration)
    for name in ("env.py", "script.py.mako"):
        shutil.copy(MIGRATIONS / name, folder)
    return folder


def upgrade(db: Database, migrations: Path) -> str | None:
    """What a host of that release does when it starts."""

    def act(tx):
        upgrade_schema(tx.conn, migrations)
        return current_version(tx.conn)

    return db.write(act)


def test_hosts_are_upgraded_one_by_one(db, tmp_path):
    first = release(tmp_path / "first", FIRST)
    second = release(tmp_path / "second", FIRST, ADDS)
    third = release(tmp_path / "third", FIRST, ADDS, REMOVES)
    assert upgrade(db, first) == "0001"
    db.write(lambda tx: tx.execute(text("insert into thing (id, old) values (1, 'a')")))
    assert upgrade(db, second) == "0002"
    assert upgrade(db, first) == "0002"  # older code starts on it, and leaves it as it is
    db.write(lambda tx: tx.execute(text("insert into thing (id, old) values (2, 'b')")))
    assert upgrade(db, second) == "0002"
    assert upgrade(db, third) == "0003"
    assert upgrade(db, second) == "0003"
    with pytest.raises(SchemaTooNew, match="0003"):
        upgrade(db, first)
    assert db.read(lambda tx: tx.execute(text("select count(*) from thing")).scalar()) == 2


def test_a_host_may_skip_releases(db, tmp_path):
    assert upgrade(db, release(tmp_path / "third", FIRST, ADDS, REMOVES)) == "0003"
    with pytest.raises(SchemaTooNew):
        upgrade(db, release(tmp_path / "first", FIRST))


def test_a_migration_that_does_not_say_what_it_breaks_is_not_run(db, tmp_path):
    silent = release(tmp_path / "silent", FIRST, ADDS.replace("breaks_before", "breaks_nothing"))
    with pytest.raises(ValueError, match="must say which code it breaks"):
        upgrade(db, silent)
    assert db.read(lambda tx: current_version(tx.conn)) is None


def test_every_migration_says_what_it_breaks():
    from headwater.db.schema import _declared_break

    for version in versions(MIGRATIONS):
        assert _declared_break(MIGRATIONS, version) <= version
