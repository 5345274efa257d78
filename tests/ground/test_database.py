"""What every database promises: acts one by one, snapshots, several processes; and SQLite's full disk."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import BigInteger, Integer, create_engine, insert, select, text

from headwater.accounts.tables import account, site_setting
from headwater.db import SQLITE_FILE, Database, DatabaseFull, SchemaTooNew, TextNotStorable, Tx, open_database, prepared
from headwater.kernel import utcnow
from headwater.ledger.tables import entry
from tests import growth


@pytest.fixture
def db(tmp_path: Path):
    database = growth.new_database(tmp_path)
    yield database
    database.close()


def put(tx: Tx, key: str, value: int) -> None:
    tx.execute(text("insert into site_setting values(:k, :v)"), {"k": key, "v": str(value)})


def add_one(tx: Tx) -> int:
    found = tx.execute(text("select value from site_setting where key = 'n'")).scalar()
    if found is None:
        tx.execute(text("insert into site_setting values('n', '1')"))
        return 1
    tx.execute(text("update site_setting set value = :v where key = 'n'"), {"v": str(int(found) + 1)})
    return int(found) + 1


def count(tx: Tx) -> int:
    return tx.execute(text("select count(*) from site_setting")).scalar()


def test_an_act_that_raises_leaves_nothing_and_spares_its_neighbours(db: Database):
    def spoil(tx: Tx, key: str) -> None:
        put(tx, key, 1)
        raise ValueError(key)

    futures = [db.submit(spoil if i % 3 == 0 else put, *([f"k{i}"] if i % 3 == 0 else [f"k{i}", i])) for i in range(30)]
    failures = [f.exception() for f in futures]
    assert [isinstance(e, ValueError) for e in failures] == [i % 3 == 0 for i in range(30)]
    assert db.read(count) == 20


def test_threads_and_processes_lose_no_increment(db: Database, tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_increment, args=(tmp_path, growth.database_url_of(tmp_path), 40)) for _ in range(2)
    ]
    for other in others:
        other.start()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: db.write(add_one), range(80)))
    for other in others:
        other.join(60)
        assert other.exitcode == 0
    assert db.read(lambda tx: tx.execute(text("select value from site_setting where key='n'")).scalar()) == "160"


def _increment(folder: Path, url: str | None, times: int) -> None:
    database = open_database(folder, url)
    for _ in range(times):
        database.write(add_one)
    database.close()


def test_a_reader_sees_one_snapshot(db: Database):
    with db.reading() as tx:
        before = count(tx)
        writer = threading.Thread(target=db.write, args=(put, "late", 1))
        writer.start()
        writer.join()
        assert count(tx) == before
    assert db.read(count) == before + 1


def test_what_is_remembered_is_what_a_snapshot_would_read(db: Database, tmp_path: Path):
    asked = 0

    def find(tx: Tx) -> int:
        def read() -> int:
            nonlocal asked
            asked += 1
            return count(tx)

        assert tx.remembered("count", read) == tx.remembered("count", read)
        return tx.remembered("count", read)

    assert [db.read(find) for _ in range(3)] == [0, 0, 0]
    if db.dialect == "sqlite":
        assert asked == 1
    db.write(put, "a", 1)
    assert db.read(find) == 1
    other = open_database(tmp_path, growth.database_url_of(tmp_path))
    with db.reading() as tx:
        assert find(tx) == 1
        other.write(put, "b", 2)
        assert find(tx) == 1  # as the snapshot has it
    assert db.read(find) == 2
    with ThreadPoolExecutor(2) as pool:
        for n in range(20):
            (db if n % 2 else other).write(put, f"more{n}", n)
            assert db.read(find) == pool.submit(db.read, find).result() == 3 + n

    def write_and_find(tx: Tx) -> tuple[int, int]:
        before = find(tx)
        put(tx, "own", 1)
        return before, tx.remembered("count", lambda: count(tx))

    assert db.write(write_and_find) == (22, 23)
    assert db.read(find) == 23
    other.close()


def test_what_failed_is_not_remembered_and_memory_is_bounded(db: Database):
    with db.reading() as tx:
        with pytest.raises(ZeroDivisionError):
            tx.remembered("bad", lambda: 1 // 0)
        assert tx.remembered("bad", lambda: 7) == 7
    for n in range(5000):
        with db.reading() as tx:
            assert tx.remembered(n, lambda n=n: n) == n
    if db.dialect == "sqlite":
        with db.reading() as tx:
            assert len(tx._memory.now()) <= tx._memory.MOST


def test_after_commit_runs_only_for_what_was_committed(db: Database):
    seen: list[str] = []

    def act(tx: Tx, key: str, *, fails: bool) -> None:
        tx.after_commit(lambda: seen.append(key))
        put(tx, key, 1)
        if fails:
            raise ValueError

    db.write(act, "kept", fails=False)
    with pytest.raises(ValueError):
        db.write(act, "lost", fails=True)
    assert seen == ["kept"]


def test_a_write_inside_a_write_is_refused_rather_than_hanging(db: Database):
    with pytest.raises(RuntimeError, match="a write inside a write"):
        db.write(lambda tx: db.write(count))


def test_a_database_of_a_later_release_is_left_alone(db: Database):
    db.write(lambda tx: tx.execute(text("update alembic_version set version_num = '9999'")))
    db.ensure_schema()  # it adds what this release does not know, and breaks nothing
    db.write(lambda tx: tx.execute(text("update schema_reach set breaks_before = '9998'")))
    with pytest.raises(SchemaTooNew, match="9999"):
        db.ensure_schema()


def test_the_migrations_make_the_declared_tables(db: Database, tmp_path: Path):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from tools.initial_migration import declared_tables

    from headwater.db import metadata

    declared_tables()
    raw = " ".join(
        sql for table in metadata.tables.values() for sql in table.info.get("raw_sql", {}).get(db.dialect, ())
    )

    def ours(_object, name, kind, *_rest) -> bool:
        if kind == "table":
            return name in metadata.tables or name.split("_")[0] not in raw
        return f" {name} " not in raw  # a column or an index that only the raw statements know

    def is_another_type(_context, _in_database, _declared, was, wanted) -> bool | None:
        return (
            False if isinstance(was, BigInteger) and isinstance(wanted, Integer) else None
        )  # on PostgreSQL all are wide

    # SQLAlchemy's own dialect: to look into the catalogues it relies on narrow numbers.
    url = growth.database_url_of(tmp_path) or f"sqlite:///{tmp_path / SQLITE_FILE}"
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as conn:
        options = {"include_object": ours, "compare_type": is_another_type}
        assert compare_metadata(MigrationContext.configure(conn, opts=options), metadata) == []
    engine.dispose()


@pytest.mark.parametrize("how", ["text", "values", "many", "prepared", "prepared many"])
def test_a_text_with_nul_is_refused_and_changes_nothing(db: Database, how: str):
    """Alike, or a site on SQLite could not move to PostgreSQL any more."""
    made = prepared(insert(site_setting))

    def act(tx: Tx, value: str) -> None:
        row = {"key": value, "value": 1}
        if how == "text":
            tx.execute(text("insert into site_setting values(:key, '1')"), {"key": value})
        elif how == "values":
            tx.execute(insert(site_setting).values(**row))
        else:
            rows = [{"key": "other", "value": 2}, row] if how.endswith("many") else row
            tx.execute(made if "prepared" in how else insert(site_setting), rows)

    with pytest.raises(TextNotStorable):
        db.write(act, "a\0b")
    assert db.read(count) == 0
    assert isinstance(db.submit(act, "a\0b").exception(), TextNotStorable)
    db.write(act, "ab")
    assert db.read(count) > 0


def test_texts_sort_by_their_bytes_and_numbers_are_wide(db: Database):
    """Whatever PostgreSQL's own order is: the tests' cluster sorts as English does."""
    names = ["a", "B", "b", "A", "é", "Z", "z", "_", "-", "中", "0"]

    def sorted_by_sql(tx: Tx) -> list[str]:
        for name in names:
            tx.execute(text("insert into site_setting values (:k, '1')"), {"k": name})
        return list(tx.execute(text("select key from site_setting order by key")).scalars())

    assert db.write(sorted_by_sql) == sorted(names)

    def wide(tx: Tx) -> list[int]:
        now = {"created_at": utcnow()}
        tx.execute(insert(account).values(id=1 << 40, kind="person", name="x", name_key="x", **now))
        tx.execute(insert(entry).values(id=1 << 41, kind="k", is_private=False, leaf="", account_id=1 << 40, **now))
        return list(tx.execute(select(entry.c.account_id).where(entry.c.id > (1 << 40))).scalars())

    assert db.write(wide) == [1 << 40]
    if db.dialect == "postgresql":
        by_another_rule = (
            "select table_name, column_name from information_schema.columns where table_schema = 'public' "
            "and (data_type in ('integer', 'smallint') or collation_name <> 'C' "
            "or (data_type in ('text', 'character varying') and collation_name is null))"
        )
        assert db.read(lambda tx: tx.execute(text(by_another_rule)).all()) == []


@growth.only_on_one_machine
def test_a_full_disk_is_told_as_such_and_changes_nothing(db: Database):
    db.write(put, "before", 1)
    db.write(
        lambda tx: tx.conn.exec_driver_sql("pragma max_page_count = 1")
    )  # SQLite's own limit stands for the disk's
    big = "x" * 5_000_000

    def fill(tx: Tx) -> None:
        tx.execute(text("insert into site_setting values('big', :v)"), {"v": f'"{big}"'})

    with pytest.raises(DatabaseFull):
        db.write(fill)
    futures = [db.submit(fill) for _ in range(3)]
    assert all(isinstance(future.exception(), DatabaseFull) for future in futures)
    db.write(lambda tx: tx.conn.exec_driver_sql("pragma max_page_count = 1000000"))
    db.write(put, "after", 1)
    assert db.read(count) == 2
