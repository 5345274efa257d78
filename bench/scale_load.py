"""Writing an invented site straight into the tables of a fresh one, on either database, indexes and full text last."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.pool import AsyncResult, Pool
from pathlib import Path
from typing import Any, Protocol

from bench.scale_data import COLUMNS, ORDER, SORTED, Rows, World, check, pieces, rows_of, shared_rows
from headwater.hub.models import RepoKind
from headwater.hub.search import facet_of

PIECE = 2000

_world: World | None = None


class Target(Protocol):
    """Where rows go."""

    def put(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None: ...
    def ask(self, sql: str) -> list[tuple[Any, ...]]: ...


def _begin(n: int, seed: int) -> None:
    global _world  # noqa: PLW0603 - one a process of the pool
    _world = World(n, seed)


def _piece(bounds: tuple[int, int]) -> Rows:
    assert _world is not None
    return rows_of(_world, *bounds)


def fill(target: Target, n: int, *, seed: int = 7, processes: int = 2) -> None:
    """All rows of a site of ``n`` repositories."""
    world = World(n, seed)
    check(world)
    for table, rows in shared_rows(world).items():
        target.put(table, rows)
    began = time.monotonic()
    with multiprocessing.Pool(processes, _begin, (n, seed)) as pool:
        for number, made in enumerate(_ahead(pool, pieces(world, PIECE), 2 * processes)):
            for table in ORDER:
                if made[table]:
                    target.put(table, sorted(made[table]) if table in SORTED else made[table])
            if number % 25 == 24:
                print(f"  {(number + 1) * PIECE:>9,} repositories, {time.monotonic() - began:.0f} s", flush=True)
    counted = target.ask(
        "select t.kind, t.tag, count(*) from repository_tag t join search_entry e on e.repo_id = t.repo_id "
        "where e.is_public group by t.kind, t.tag"
    )
    target.put("tag_total", [(kind, tag, facet_of(RepoKind(kind), tag)[0] or "", n) for kind, tag, n in counted])


def _ahead(pool: Pool, bounds: Iterable[tuple[int, int]], most: int) -> Iterator[Rows]:
    """Pieces in order, made at most so many ahead of the writing: they would fill the memory."""
    waiting: deque[AsyncResult[Rows]] = deque()
    for each in bounds:
        waiting.append(pool.apply_async(_piece, (each,)))
        if len(waiting) >= most:
            yield waiting.popleft().get()
    while waiting:
        yield waiting.popleft().get()


COLUMNS = {**COLUMNS, "tag_total": ("kind", "tag", "facet", "n_public")}


class _Sqlite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        names = COLUMNS[table]
        marks = ", ".join("?" * len(names))
        self._connection.executemany(f"insert into {table} ({', '.join(names)}) values ({marks})", rows)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()


@contextmanager
def sqlite_target(path: Path) -> Iterator[Target]:
    """A database with its schema; in one unsafe transaction, since a load that broke off is begun anew."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in (
        "journal_mode=OFF",
        "synchronous=OFF",
        "cache_size=-1500000",
        "foreign_keys=OFF",
        "locking_mode=EXCLUSIVE",
    ):
        connection.execute(f"PRAGMA {pragma}")
    indexes = connection.execute(
        "select name, sql from sqlite_master where type = 'index' and sql is not null and tbl_name not like 'search_index%'"
    ).fetchall()
    triggers = connection.execute(
        "select name, sql from sqlite_master where type = 'trigger' and tbl_name = 'search_document'"
    ).fetchall()
    connection.execute("BEGIN")
    for kind, found in (("INDEX", indexes), ("TRIGGER", triggers)):
        for name, _ in found:
            connection.execute(f"DROP {kind} {name}")
    yield _Sqlite(connection)
    began = time.monotonic()
    connection.execute("insert into search_index(search_index) values ('rebuild')")
    print(f"  full text built in {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    for _, sql in [*indexes, *triggers]:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.execute("PRAGMA locking_mode=NORMAL")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    print(f"  indexes built in {time.monotonic() - began:.0f} s", flush=True)


class _Postgres:
    def __init__(self, connection: Any, booleans: dict[str, set[str]]) -> None:
        self._connection = connection
        self._booleans = booleans

    def put(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        names = COLUMNS[table]
        with self._connection.cursor().copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._connection.execute(sql).fetchall()
        return found


@contextmanager
def postgres_target(url: str) -> Iterator[Target]:
    """The same on PostgreSQL, by COPY; foreign keys are not checked row by row, and indexes are made at the end."""
    import psycopg

    address = url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SET session_replication_role = origin")
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET statement_timeout = 0")
        connection.execute("SET maintenance_work_mem = '1GB'")
        keys = connection.execute(
            "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint "
            "where contype = 'f' and connamespace = current_schema()::regnamespace"
        ).fetchall()
        indexes = connection.execute(
            "select indexname, indexdef from pg_indexes where schemaname = current_schema() and indexname not in "
            "(select conname from pg_constraint)"
        ).fetchall()
        with connection.transaction():
            for table, name, _ in keys:
                connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
            for name, _ in indexes:
                connection.execute(f'DROP INDEX "{name}"')
        with connection.transaction():
            yield _Postgres(connection, {})
        began = time.monotonic()
        for _, definition in indexes:
            connection.execute(definition)
        for table, name, definition in keys:
            connection.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
        # Ids were given by hand; the next ones come after them.
        for table in ("account", "repository", "pack", "discussion", "entry"):
            connection.execute(
                f"select setval(pg_get_serial_sequence('{table}', 'id'), (select coalesce(max(id), 1) from {table}))"
            )
        connection.execute("VACUUM ANALYZE")
        print(f"  indexes, keys and statistics in {time.monotonic() - began:.0f} s", flush=True)


__all__ = ["Target", "fill", "postgres_target", "sqlite_target"]
