"""A migration that cannot begin, or not go on, says why in one sentence; the site goes on where it is."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headwater.db.copying import PostgresqlSide, Shape
from headwater.db.moving import BrokenOff, telling
from headwater.hub.moving.site import declared_tables
from tests.growth import only_on_one_machine
from tests.moving.test_migrate import migrate
from tests.servers.postgres import PASSWORD, cluster
from tests.storage import make_storage

pytestmark = only_on_one_machine


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("refused") / "data"
    made = make_storage(data, hub=True)
    made.repo("ada", "kept")
    made.site.close()
    return data


@pytest.fixture
def left_alone(site: Path, tmp_path: Path) -> Iterator[Path]:
    """A site, on which no trace of a move is found in the end."""
    shutil.copytree(site, tmp_path / "data")
    yield tmp_path / "data"
    with closing(sqlite3.connect(tmp_path / "data" / "headwater.db")) as db:
        assert db.execute("select count(*) from sqlite_master where name like 'site_move%'").fetchone() == (0,)
        assert db.execute("pragma user_version").fetchone() == (0,)


def refused(data: Path, *flags: str) -> Any:
    said = migrate(f"--from={data}", *flags, ok=False)
    assert PASSWORD not in said["error"]
    assert "wrong" not in said["error"]
    return said


@pytest.mark.parametrize("how", ["password", "nobody", "no database", "no encoding", "foreign tables"])
def test_a_target_that_cannot_be_used_is_told_in_a_sentence(left_alone: Path, how: str) -> None:
    cluster().sql("drop database if exists no_target with (force)")
    if how == "no encoding":
        cluster().sql(
            "create database no_target encoding 'SQL_ASCII' locale 'C' locale_provider libc template template0"
        )
    elif how == "foreign tables":
        cluster().sql("create database no_target")
        cluster().sql("create table account (x int)", "no_target")
    url, code, words = {
        "password": (cluster().tcp_url_of("no_target", password="wrong"), "database_refused", "authentication"),
        "nobody": ("postgresql://hub@127.0.0.1:9/hub", "database_away", "127.0.0.1:9/hub"),
        "no database": (cluster().tcp_url_of("no_target"), "database_refused", "does not exist"),
        "no encoding": (cluster().url_of("no_target"), "database_unfit", "SQL_ASCII"),
        "foreign tables": (cluster().url_of("no_target"), "database_unfit", "account"),
    }[how]
    said = refused(left_alone, f"--to-database={url}")
    assert (said["code"], words in said["error"]) == (code, True), said


def test_a_database_that_breaks_off_while_rows_come_is_told() -> None:
    cluster().sql("drop database if exists cut_off with (force)")
    cluster().sql("create database cut_off")
    side = PostgresqlSide(cluster().url_of("cut_off"))
    shape = Shape(next(table for table in declared_tables() if table.name == "account"))
    cluster().sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'cut_off'")
    with pytest.raises(BrokenOff, match="run the same command again"), telling():
        side.count(shape)
    side.close()
