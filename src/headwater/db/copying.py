"""The two sides that rows go between, of whichever kind of database; how they go is in ``comparing``.

A ``Side`` has connections of its own and knows nothing of sites. Foreign keys are off in the target until all is there, and
are checked then.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, Date, Integer, Table

from headwater.db.moving import FREEZE_S, MAKE_TABLE, POSTGRESQL_NOW, without_password, writing_sqlite
from headwater.kernel import HeadwaterError, Kind

_UNDER_WAY = "WHERE state IN ('copying', 'frozen')"  # and not one whose writes are held for another reason by now

BATCH = 2000
KEYS = 200  # looked up in one statement

Row = tuple[Any, ...]
Key = tuple[Any, ...]


class RowNotMovable(HeadwaterError):
    code = "row_not_movable"
    kind = Kind.UNPROCESSABLE

    def __init__(self, table: str, why: str) -> None:
        super().__init__(
            f"Something in the table {table} cannot be kept in the other database: {why}. Mend it there and run it again."
        )


def key_columns(table: Table) -> list[str]:
    return [column.name for column in table.primary_key]


class Shape:
    """A table's columns, keys first, as both databases give them."""

    def __init__(self, table: Table) -> None:
        keys = key_columns(table)
        self.table = table
        self.name = table.name
        self.columns = [*keys, *(column.name for column in table.columns if column.name not in keys)]
        self.n_keys = len(keys)
        self.bools = [n for n, name in enumerate(self.columns) if isinstance(table.c[name].type, Boolean)]
        self.dates = [n for n, name in enumerate(self.columns) if isinstance(table.c[name].type, Date)]
        self.listed = ", ".join(f'"{name}"' for name in self.columns)
        self.ordered = ", ".join(f'"{name}"' for name in keys)
        self.select = f'SELECT {self.listed} FROM "{self.name}"'

    def key(self, row: Row) -> Key:
        return row[: self.n_keys]

    def alike(self, row: Sequence[Any]) -> Row:
        """A row as the other database would give it: truth values and days are not the same in both."""
        if not self.bools and not self.dates:
            return tuple(row)
        found = list(row)
        for n in self.bools:
            found[n] = None if found[n] is None else bool(found[n])
        for n in self.dates:
            found[n] = found[n].isoformat() if isinstance(found[n], date) else found[n]
        return tuple(found)


class Side(ABC):
    """One of the two databases."""

    @abstractmethod
    def one_moment(self) -> AbstractContextManager[None]:
        """Whatever is read inside is of one moment, while the site goes on writing."""

    @abstractmethod
    def rows(self, shape: Shape) -> Iterator[Row]:
        """All rows of one moment, by key."""

    @abstractmethod
    def rows_of(self, shape: Shape, keys: Sequence[Key]) -> dict[Key, Row]:
        """Those of ``keys`` that are there."""

    @abstractmethod
    def delete(self, shape: Shape, keys: Iterable[Key]) -> None: ...

    @abstractmethod
    def insert(self, shape: Shape, rows: Sequence[Row]) -> None: ...

    @abstractmethod
    def count(self, shape: Shape) -> int: ...

    @abstractmethod
    def numbers(self, tables: Sequence[Table]) -> dict[str, int]:
        """The last number that each counted table has given out: none is ever given again."""

    @abstractmethod
    def note_move(self, move: dict[str, Any]) -> None:
        """What this database says of the move from now on."""

    @abstractmethod
    def freeze(self) -> None:
        """Refuse writes from now on, for ``FREEZE_S``; those that were under way have ended."""

    @abstractmethod
    def renew(self) -> bool:
        """Whether writes are still refused, which they then are for another ``FREEZE_S``."""

    @abstractmethod
    def thaw(self) -> None:
        """Let the site write again, unless it was closed."""

    @abstractmethod
    def close_site(self, also: Sequence[str] = ()) -> bool:
        """Nothing is ever written here again, but for the statements ``also``; False where writes have gone on meanwhile."""

    @abstractmethod
    def give_up(self) -> None:
        """The site goes on here as if no move had been begun."""

    @abstractmethod
    def begin_arrival(self, move: dict[str, Any], tables: Sequence[Table]) -> None:
        """Note that what is here is not whole, and let rows come in any order."""

    @abstractmethod
    def make_whole(self, tables: Sequence[Table], numbers: dict[str, int]) -> None:
        """Foreign keys hold again, and numbers go on where they were; all of it or none.

        Raises:
            RowNotMovable: a row names one that is not there.
        """

    @abstractmethod
    def end_arrival(self) -> None:
        """The site may be started here."""

    @abstractmethod
    def tidy(self) -> None:
        """What makes a filled database quick."""

    @abstractmethod
    def close(self) -> None: ...


def _counted(tables: Iterable[Table]) -> Iterator[tuple[Table, str]]:
    for table in tables:
        columns = list(table.primary_key)
        one = columns[0]
        if (
            len(columns) == 1
            and isinstance(one.type, Integer)
            and one.autoincrement is not False
            and not one.foreign_keys
        ):
            yield table, one.name


class SqliteSide(Side):
    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: sqlite3.Connection | None = None
        self._moment: sqlite3.Connection | None = None

    @property
    def _raw(self) -> sqlite3.Connection:
        """Opened when it is needed: that makes the file."""
        if self._moment is not None:
            return self._moment
        if self._kept is None:
            self._kept = self._open()
        return self._kept

    def _open(self) -> sqlite3.Connection:
        raw = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
        raw.execute("PRAGMA temp_store=MEMORY")
        return raw

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        raw = self._open()
        try:
            raw.execute("BEGIN")
            self._moment = raw
            yield
        finally:
            self._moment = None
            raw.close()

    def rows(self, shape: Shape) -> Iterator[Row]:
        raw = self._moment or self._open()
        try:
            for row in raw.execute(f"{shape.select} ORDER BY {shape.ordered}"):
                yield shape.alike(row)
        finally:
            if raw is not self._moment:
                raw.close()

    def rows_of(self, shape: Shape, keys: Sequence[Key]) -> dict[Key, Row]:
        found = {}
        where = " AND ".join(f'"{name}" = ?' for name in shape.columns[: shape.n_keys])
        for key in keys:
            row = self._raw.execute(f"{shape.select} WHERE {where}", key).fetchone()
            if row is not None:
                found[key] = shape.alike(row)
        return found

    def delete(self, shape: Shape, keys: Iterable[Key]) -> None:
        where = " AND ".join(f'"{name}" = ?' for name in shape.columns[: shape.n_keys])
        with writing_sqlite(self.path) as raw:
            raw.executemany(f'DELETE FROM "{shape.name}" WHERE {where}', keys)

    def insert(self, shape: Shape, rows: Sequence[Row]) -> None:
        marks = ", ".join("?" * len(shape.columns))
        with writing_sqlite(self.path) as raw:
            raw.executemany(f'INSERT INTO "{shape.name}" ({shape.listed}) VALUES ({marks})', rows)

    def count(self, shape: Shape) -> int:
        found: int = self._raw.execute(f'SELECT count(*) FROM "{shape.name}"').fetchone()[0]
        return found

    def numbers(self, tables: Sequence[Table]) -> dict[str, int]:
        kept = dict(self._raw.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        found = {}
        for table, column in _counted(tables):
            largest = self._raw.execute(f'SELECT coalesce(max("{column}"), 0) FROM "{table.name}"').fetchone()[0]
            found[table.name] = max(kept.get(table.name, 0), largest)
        return found

    def note_move(self, move: dict[str, Any]) -> None:
        with writing_sqlite(self.path) as raw:
            raw.execute(MAKE_TABLE)
            names, marks = ", ".join(move), ", ".join("?" * len(move))
            raw.execute(f"INSERT OR REPLACE INTO site_move ({names}) VALUES ({marks})", tuple(move.values()))
            raw.execute("PRAGMA user_version = 0")  # what an earlier run that died may have left

    def freeze(self) -> None:
        with writing_sqlite(self.path) as raw:
            raw.execute(
                f"UPDATE site_move SET state = 'frozen', frozen_until = ? {_UNDER_WAY}", (time.time() + FREEZE_S,)
            )
            raw.execute("PRAGMA user_version = 1")

    def renew(self) -> bool:
        with writing_sqlite(self.path) as raw:
            return self._renew(raw)

    def _renew(self, raw: sqlite3.Connection) -> bool:
        until = "UPDATE site_move SET frozen_until = ? WHERE state = 'frozen'"
        return raw.execute(until, (time.time() + FREEZE_S,)).rowcount == 1

    def thaw(self) -> None:
        with writing_sqlite(self.path) as raw:
            thawed = raw.execute("UPDATE site_move SET state = 'copying', frozen_until = NULL WHERE state = 'frozen'")
            if thawed.rowcount:
                raw.execute("PRAGMA user_version = 0")

    def close_site(self, also: Sequence[str] = ()) -> bool:
        with writing_sqlite(self.path) as raw:
            if not self._renew(raw):
                return False
            for statement in also:
                raw.execute(statement)
            raw.execute("UPDATE site_move SET state = 'moved', frozen_until = NULL")
            self._unwatch(raw)
        return True

    def give_up(self) -> None:
        with writing_sqlite(self.path) as raw:
            self._unwatch(raw)
            raw.execute("DROP TABLE IF EXISTS site_move")
            raw.execute("PRAGMA user_version = 0")

    def begin_arrival(self, move: dict[str, Any], tables: Sequence[Table]) -> None:
        self.note_move(move)  # foreign keys are off in connections that do not ask for them

    def make_whole(self, tables: Sequence[Table], numbers: dict[str, int]) -> None:
        with writing_sqlite(self.path) as raw:
            broken = raw.execute("PRAGMA foreign_key_check").fetchone()
            if broken is not None:
                raise RowNotMovable(broken[0], f"it names a row of {broken[2]} that is not there")
            for table, _ in _counted(tables):
                if table.dialect_options["sqlite"].get("autoincrement"):
                    raw.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table.name,))
                    raw.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table.name, numbers[table.name]))

    def end_arrival(self) -> None:
        with writing_sqlite(self.path) as raw:
            raw.execute("DROP TABLE IF EXISTS site_move")

    def tidy(self) -> None:
        self._raw.execute("ANALYZE")

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()

    # ---- noting what changes, where the site goes on meanwhile

    def watch(self, tables: Sequence[Table]) -> None:
        """From now on each changed row's key is noted."""
        with writing_sqlite(self.path) as raw:
            raw.execute(
                "CREATE TABLE IF NOT EXISTS site_move_change "
                "(seq INTEGER PRIMARY KEY AUTOINCREMENT, tbl TEXT NOT NULL, key TEXT NOT NULL)"
            )
            for name, table, when, whose in _triggers(tables):
                values = "".join(
                    f"INSERT INTO site_move_change (tbl, key) VALUES ('{table.name}', json_array({_columns(one, table)})); "
                    for one in whose
                )
                raw.execute(f'CREATE TRIGGER IF NOT EXISTS "{name}" AFTER {when} ON "{table.name}" BEGIN {values}END')

    def _unwatch(self, raw: sqlite3.Connection) -> None:
        """Inside an open write: nothing is noted any more, and what was is forgotten."""
        found = raw.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'site#_move#_%' ESCAPE '#'"
        )
        for (name,) in found.fetchall():
            raw.execute(f'DROP TRIGGER "{name}"')
        raw.execute("DROP TABLE IF EXISTS site_move_change")

    def changed(self) -> tuple[int, dict[str, set[Key]]]:
        """Keys by table that were noted so far, and the number to forget them by."""
        found: dict[str, set[Key]] = {}
        last = 0
        for last, table, key in self._raw.execute("SELECT seq, tbl, key FROM site_move_change ORDER BY seq"):  # noqa: B007
            found.setdefault(table, set()).add(tuple(json.loads(key)))
        return last, found

    def forget(self, last: int) -> None:
        with writing_sqlite(self.path) as raw:
            raw.execute("DELETE FROM site_move_change WHERE seq <= ?", (last,))


def _triggers(tables: Sequence[Table]) -> Iterator[tuple[str, Table, str, tuple[str, ...]]]:
    for table in tables:
        yield f"site_move_{table.name}_i", table, "INSERT", ("new",)
        yield f"site_move_{table.name}_u", table, "UPDATE", ("old", "new")
        yield f"site_move_{table.name}_d", table, "DELETE", ("old",)


def _columns(whose: str, table: Table) -> str:
    return ", ".join(f'{whose}."{name}"' for name in key_columns(table))


class PostgresqlSide(Side):
    def __init__(self, url: str) -> None:
        import psycopg

        self._psycopg = psycopg
        self.url = url.replace("postgres://", "postgresql://", 1)
        self.where = without_password(self.url).partition("://")[2]
        self._raw = self._open()

    def _open(self) -> Any:
        from headwater.db.postgresql import CONNECT_TIMEOUT_S, no_connection

        try:
            raw = self._psycopg.connect(
                self.url,
                autocommit=True,
                application_name="headwater-migrate-site",
                client_encoding="utf8",
                connect_timeout=CONNECT_TIMEOUT_S,
            )
        except self._psycopg.OperationalError as exc:
            raise no_connection(self.where, str(exc)) from exc
        raw.execute("SET statement_timeout = 0; SET TimeZone = 'UTC'; SET lock_timeout = '60s'")
        return raw

    def one_moment(self) -> AbstractContextManager[None]:
        return nullcontext()  # a site moves from here only while it writes nothing

    def rows(self, shape: Shape) -> Iterator[Row]:
        with self._open() as raw, raw.transaction(), raw.cursor(name="moving") as cursor:
            cursor.itersize = BATCH
            for row in cursor.execute(f"{shape.select} ORDER BY {shape.ordered}"):
                yield shape.alike(row)

    def rows_of(self, shape: Shape, keys: Sequence[Key]) -> dict[Key, Row]:
        found = {}
        for some in batches(keys, KEYS):
            cursor = self._raw.execute(
                f"{shape.select} WHERE {_any_of(shape, len(some))}", [v for k in some for v in k]
            )
            for row in cursor:
                alike = shape.alike(row)
                found[shape.key(alike)] = alike
        return found

    def delete(self, shape: Shape, keys: Iterable[Key]) -> None:
        for some in batches(keys, KEYS):
            self._raw.execute(
                f'DELETE FROM "{shape.name}" WHERE {_any_of(shape, len(some))}',
                [value for key in some for value in key],
            )

    def insert(self, shape: Shape, rows: Sequence[Row]) -> None:
        try:
            into = f'COPY "{shape.name}" ({shape.listed}) FROM STDIN'
            with self._raw.transaction(), self._raw.cursor() as cursor, cursor.copy(into) as copy:
                for row in rows:
                    copy.write_row(row)
        except (self._psycopg.DataError, self._psycopg.IntegrityError) as exc:
            raise RowNotMovable(shape.name, str(exc).strip().splitlines()[0]) from exc

    def count(self, shape: Shape) -> int:
        found: int = self._raw.execute(f'SELECT count(*) FROM "{shape.name}"').fetchone()[0]
        return found

    def numbers(self, tables: Sequence[Table]) -> dict[str, int]:
        found = {}
        for table, column in _counted(tables):
            name = self._sequence(table, column)
            largest = self._raw.execute(f'SELECT coalesce(max("{column}"), 0) FROM "{table.name}"').fetchone()[0]
            last = 0
            if name is not None:
                row = self._raw.execute(f"SELECT last_value, is_called FROM {name}").fetchone()
                last = row[0] if row[1] else row[0] - 1
            found[table.name] = max(last, largest)
        return found

    def _sequence(self, table: Table, column: str) -> str | None:
        found: str | None = self._raw.execute(
            "SELECT pg_get_serial_sequence(%s, %s)", (f'"{table.name}"', column)
        ).fetchone()[0]
        return found

    def note_move(self, move: dict[str, Any]) -> None:
        with self._raw.transaction():
            self._raw.execute(MAKE_TABLE)
            names, marks = ", ".join(move), ", ".join(["%s"] * len(move))
            self._raw.execute("DELETE FROM site_move")
            self._raw.execute(f"INSERT INTO site_move ({names}) VALUES ({marks})", tuple(move.values()))

    @contextmanager
    def _alone(self) -> Iterator[Any]:
        """A transaction that begins when no process of the site writes any more, and that those see which write next."""
        from headwater.db.postgresql import KEEP_WRITERS_OUT

        with self._open() as raw, raw.transaction():
            raw.execute(KEEP_WRITERS_OUT)
            yield raw

    def freeze(self) -> None:
        with self._alone() as raw:
            raw.execute(
                f"UPDATE site_move SET state = 'frozen', frozen_until = {POSTGRESQL_NOW} + {FREEZE_S} {_UNDER_WAY}"
            )

    def renew(self) -> bool:
        with self._open() as raw:
            return self._renew(raw)

    def _renew(self, raw: Any) -> bool:
        until = f"UPDATE site_move SET frozen_until = {POSTGRESQL_NOW} + {FREEZE_S} WHERE state = 'frozen'"
        found: bool = raw.execute(until).rowcount == 1
        return found

    def thaw(self) -> None:
        self._raw.execute("UPDATE site_move SET state = 'copying', frozen_until = NULL WHERE state = 'frozen'")

    def close_site(self, also: Sequence[str] = ()) -> bool:
        with self._alone() as raw:
            if not self._renew(raw):
                return False
            for statement in also:
                raw.execute(statement)
            raw.execute("UPDATE site_move SET state = 'moved', frozen_until = NULL")
        return True

    def give_up(self) -> None:
        with self._alone() as raw:  # who has found the table reads it next
            raw.execute("DROP TABLE IF EXISTS site_move")

    def begin_arrival(self, move: dict[str, Any], tables: Sequence[Table]) -> None:
        from sqlalchemy.schema import DropConstraint

        from headwater.db.psycopg_dialect import DRIVER

        with self._raw.transaction():
            self.note_move(move)
            for table in tables:
                for constraint in table.foreign_key_constraints:
                    drop = DropConstraint(constraint, if_exists=True)
                    self._raw.execute(str(drop.compile(dialect=DRIVER.dialect)))

    def make_whole(self, tables: Sequence[Table], numbers: dict[str, int]) -> None:
        from sqlalchemy.schema import AddConstraint

        from headwater.db.psycopg_dialect import DRIVER

        try:
            with self._raw.transaction():
                for table in tables:
                    for constraint in table.foreign_key_constraints:
                        self._raw.execute(str(AddConstraint(constraint).compile(dialect=DRIVER.dialect)))
                for table, column in _counted(tables):
                    name = self._sequence(table, column)
                    if name is not None:
                        last = numbers[table.name]
                        self._raw.execute("SELECT setval(%s::regclass, %s, %s)", (name, max(last, 1), last > 0))
        except self._psycopg.errors.ForeignKeyViolation as exc:
            raise RowNotMovable(exc.diag.table_name or "?", str(exc).strip().splitlines()[0]) from exc

    def end_arrival(self) -> None:
        self._raw.execute("DROP TABLE IF EXISTS site_move")

    def others(self) -> int:
        """Connections of the site's own processes."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'headwater'"
        found: int = self._raw.execute(query).fetchone()[0]
        return found

    def tidy(self) -> None:
        self._raw.execute("ANALYZE")

    def close(self) -> None:
        self._raw.close()


def _any_of(shape: Shape, n_keys: int) -> str:
    one = "(" + " AND ".join(f'"{name}" = %s' for name in shape.columns[: shape.n_keys]) + ")"
    return " OR ".join([one] * n_keys)


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of at most ``size``."""
    walk = iter(items)
    while some := list(itertools.islice(walk, size)):
        yield some
