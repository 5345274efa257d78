"""What stands still and what follows while a site moves: writes that are held, leases of the dead, rows that change under a pass."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from headwater.db import SiteMoved, SiteMoving, open_database, row_locked
from headwater.db.comparing import catch_up, copy_table
from headwater.db.copying import PostgresqlSide, Shape, SqliteSide
from headwater.db.moving import find_move, writing_sqlite
from headwater.hub.moving.site import declared_tables
from tests.conftest import wait_for
from tests.growth import only_on_one_machine
from tests.servers.postgres import cluster

pytestmark = only_on_one_machine


def new_database(name: str) -> str:
    cluster().sql(f"create database {name}")
    return cluster().url_of(name)


@pytest.fixture
def frozen(tmp_path) -> Any:
    """A database in PostgreSQL, and the side of it from which a site moves; writes are not refused yet."""
    url = new_database(f"frozen_{os.urandom(4).hex()}")
    db = open_database(tmp_path, url)
    db.ensure_schema()
    side = PostgresqlSide(url)
    side.note_move({"one": 1, "state": "copying", "target": "t", "site": "s"})
    try:
        yield db, side
    finally:
        side.close()
        db.close()


def note_it(tx: Any) -> None:
    tx.execute(text("insert into site_setting (key, value) values ('k', '1')"))


@row_locked
def note_it_beside_others(tx: Any) -> None:
    note_it(tx)


def expire(db: Any, side: Any) -> None:
    side._raw.execute("update site_move set frozen_until = 0")


@pytest.mark.parametrize("note", [note_it, note_it_beside_others])
def test_a_site_in_postgresql_writes_nothing_while_it_moves(frozen, note):
    db, side = frozen
    side.freeze()
    for _ in range(2):
        with pytest.raises(SiteMoving):
            db.write(note)
    with pytest.raises(SiteMoving):
        db.submit(note).result()
    assert side.renew()
    side.thaw()
    db.write(note)
    side.freeze()
    assert side.close_site(("insert into site_setting (key, value) values ('also', '1')",))
    side.thaw()
    with pytest.raises(SiteMoved):
        db.write(note)
    assert db.read(lambda tx: tx.execute(text("select key from site_setting order by key")).scalars().all()) == [
        "also",
        "k",
    ]


@pytest.mark.parametrize("note", [note_it, note_it_beside_others])
def test_a_dead_migrations_lease_ends_on_postgresql_and_it_cannot_end_the_move(frozen, note):
    db, side = frozen
    side.freeze()
    expire(db, side)
    db.write(note)
    assert not side.renew()
    assert not side.close_site(("delete from site_setting",))
    assert db.read(find_move).state == "copying"
    assert db.read(lambda tx: tx.execute(text("select count(*) from site_setting")).scalar()) == 1
    side.give_up()
    assert db.read(find_move) is None


@pytest.mark.parametrize("is_row_locked", [False, True])
def test_writes_under_way_end_before_a_site_in_postgresql_stands_still(frozen, is_row_locked):
    db, side = frozen
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Any) -> None:
        begun.set()
        go_on.wait(30)
        note_it(tx)

    writer = threading.Thread(target=lambda: db.write(row_locked(slow) if is_row_locked else slow))
    writer.start()
    assert begun.wait(30)
    freezer = threading.Thread(target=side.freeze)
    freezer.start()
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    try:
        wait_for(lambda: side._raw.execute(waiting).fetchone()[0], what="the migration to wait for the write")
        assert db.read(find_move).state == "copying"
    finally:
        go_on.set()
        writer.join()
        freezer.join()
    assert db.read(find_move).state == "frozen"
    assert db.read(lambda tx: tx.execute(text("select count(*) from site_setting")).scalar()) == 1
    with pytest.raises(SiteMoving):
        db.write(note_it)


def test_writes_go_on_when_a_dead_migrations_lease_is_over(tmp_path):
    db = open_database(tmp_path)
    db.ensure_schema()
    side = SqliteSide(tmp_path / "headwater.db")
    side.note_move({"one": 1, "state": "copying", "target": "t", "site": "s"})
    note = lambda tx: tx.execute(text("insert into site_setting (key, value) values ('k', '1')"))  # noqa: E731
    side.freeze()
    with pytest.raises(SiteMoving):
        db.write(note)
    with pytest.raises(SiteMoving):
        db.submit(note).result()
    with writing_sqlite(side.path) as raw:
        raw.execute("update site_move set frozen_until = ?", (time.time() - 1,))
    db.write(note)
    assert db.read(lambda tx: tx.execute(text("select state from site_move")).scalar()) == "copying"
    side.close()
    db.close()


class Meanwhile(SqliteSide):
    """The site writes on, just before a table's rows are read a second time."""

    def __init__(self, path: Path, act: Callable[[], None]) -> None:
        super().__init__(path)
        self.act: Callable[[], None] | None = act
        self.before = "rows_of"
        self.n_walks = 0

    def _write_on(self) -> None:
        act, self.act = self.act, None
        if act is not None:
            act()

    def rows(self, shape: Shape) -> Any:
        self.n_walks += 1
        if self.before == "second walk" and self.n_walks == 2:
            self._write_on()
        return super().rows(shape)

    def rows_of(self, shape: Shape, keys: Any) -> Any:
        if self.before == "rows_of":
            self._write_on()
        return super().rows_of(shape, keys)


@pytest.mark.parametrize("before", ["rows_of", "second walk"])
def test_values_that_change_hands_inside_a_pass_are_not_met_twice(tmp_path, before):
    """``b`` passes from the second row to one that the pass brings, after the pass has found the second row unchanged."""
    db = open_database(tmp_path)
    db.ensure_schema()
    declared = [table for table in declared_tables() if table.name == "account"]
    shapes = [Shape(table) for table in declared]
    there = open_database(tmp_path, url := new_database(f"meanwhile_{before[:4]}"))
    there.ensure_schema()
    target = PostgresqlSide(url)
    target.begin_arrival({"one": 1, "state": "arriving", "target": "t", "site": "s"}, declared)

    def name(number: int, new: str) -> None:
        set_name = text("update account set name = :new, name_key = :new where id = :id")
        db.write(lambda tx: tx.execute(set_name, {"new": new, "id": number}))

    def pass_on() -> None:
        name(2, "elsewhere")
        name(1, "b")

    source = Meanwhile(tmp_path / "headwater.db", pass_on)
    source.before = before
    try:
        add = text("insert into account (kind, name, name_key, created_at) values ('person', :n, :n, 1)")
        for new in ("a", "b"):
            db.write(lambda tx, new=new: tx.execute(add, {"n": new}))
        copy_table(shapes[0], SqliteSide(source.path), target, None, lambda _: None)
        source.watch(declared)
        name(1, "c")
        if before == "rows_of":
            assert catch_up(shapes, source, target, {}) == 1
        else:
            copy_table(shapes[0], source, target, None, lambda _: None)
        assert source.act is None
        assert [row[3] for row in target.rows(shapes[0])] != [row[3] for row in source.rows(shapes[0])]
        while catch_up(shapes, source, target, {}):
            pass
        assert list(target.rows(shapes[0])) == list(source.rows(shapes[0]))
    finally:
        for one in (source, target, db, there):
            one.close()


def test_values_that_change_hands_between_two_passes_follow(tmp_path):
    """Unique names swap rows after they were copied: first found by comparison, then by what was noted."""
    db = open_database(tmp_path)
    db.ensure_schema()
    declared = [table for table in declared_tables() if table.name == "account"]
    shapes = [Shape(table) for table in declared]
    url = new_database("swaps")
    there = open_database(tmp_path, url)
    there.ensure_schema()
    source, target = SqliteSide(tmp_path / "headwater.db"), PostgresqlSide(url)
    target.begin_arrival({"one": 1, "state": "arriving", "target": "t", "site": "s"}, declared)
    add = "insert into account (kind, name, name_key, created_at) values ('person', :n, :n, 1)"

    def names(side: Any) -> list[Any]:
        return list(side.rows(shapes[0]))

    def swap(tx: Any) -> None:
        for old, new in (("a", "z"), ("b", "a"), ("z", "b")):
            tx.execute(
                text("update account set name = :new, name_key = :new where name_key = :old"), {"new": new, "old": old}
            )

    try:
        for name in ("a", "b", "c"):
            db.write(lambda tx, name=name: tx.execute(text(add), {"n": name}))
        copy_table(shapes[0], source, target, None, lambda _: None)
        assert names(source) == names(target)
        db.write(swap)
        db.write(lambda tx: tx.execute(text("delete from account where name_key = 'c'")))
        copy_table(shapes[0], source, target, None, lambda _: None)
        assert names(source) == names(target)
        source.watch(declared)
        db.write(swap)
        db.write(lambda tx: tx.execute(text(add), {"n": "d"}))
        assert {key[0] for key in source.changed()[1]["account"]} == {1, 2, 4}
        assert catch_up(shapes, source, target, {}) == 3
        assert names(source) == names(target)
        assert source.changed() == (0, {})
        assert source.numbers(declared)["account"] == 4
        target.make_whole(declared, source.numbers(declared))
        there.write(lambda tx: tx.execute(text(add), {"n": "e"}))
        assert names(target)[-1][0] == 5
    finally:
        for one in (source, target, db, there):
            one.close()
