"""Statements of the hottest paths, translated once a process and run on the driver's own connection.

SQLAlchemy takes about eighty microseconds to run a statement that SQLite answers in five; a commit runs two dozen.
``prepared(select(...))`` goes wherever the statement itself would: ``tx.execute(_HEAD, {"repo_id": 1})``. Types are
converted as declared, and what the driver raises is raised as SQLAlchemy would.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.base import ColumnCollection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

Values = Mapping[str, Any]
_Convert = Callable[[Any], Any]
_ONE = (dict, Mapping)  # in this order: to ask an abstract class takes ten times as long


class Driver:
    """What statements are translated for: SQLAlchemy's dialect, and the driver's base error."""

    def __init__(self, dialect: Dialect, error: type[Exception], coltype: int | None = None) -> None:
        self.dialect = dialect
        self.error = error
        self.coltype = coltype  # what SQLAlchemy's numbers are told that the driver gives

    def translated(self, exc: BaseException, sql: str) -> BaseException:
        """A driver's error as SQLAlchemy raises it."""
        return DBAPIError.instance(sql, None, exc, self.error, dialect=self.dialect)

    def execute_on(self) -> Callable[[Any, str, list[Any]], Any]:
        """The driver's own function that runs one statement on a connection and gives a cursor."""
        return sqlite3.Connection.execute

    def run_many(self, connection: Any, sql: str, values: list[list[Any]]) -> int:
        """Run one statement for each of several lists of values; how many rows it touched in all."""
        found: int = connection.executemany(sql, values).rowcount
        return found


SQLITE = Driver(SQLiteDialect(paramstyle="qmark"), sqlite3.Error)


@cache
def _driver(name: str) -> Driver:
    if name == "sqlite":
        return SQLITE
    from headwater.db.psycopg_dialect import DRIVER

    return DRIVER


class Rows:
    """What a statement gave: all of it, read already. Rows are named tuples."""

    __slots__ = ("_rows", "rowcount")

    def __init__(self, rows: list[Any], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> list[Any]:
        return self._rows

    def first(self) -> Any:
        return self._rows[0] if self._rows else None

    def scalar(self) -> Any:
        return self._rows[0][0] if self._rows else None

    def scalar_one(self) -> Any:
        if len(self._rows) != 1:
            raise LookupError(f"one row was expected, {len(self._rows)} were found")
        return self._rows[0][0]


class Prepared:
    """See the module. Lists inside ``IN`` are not served: their text depends on their length."""

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._texts: dict[str, dict[tuple[str, ...], _Text]] = {"sqlite": {}, "postgresql": {}}

    def run(self, dialect: str, connection: Any, values: Values | Sequence[Values] | None = None) -> Rows:
        if values is None:
            values = {}
        several = not isinstance(values, _ONE)
        one: Values = values[0] if several else values  # type: ignore[assignment, index]
        keys = tuple(one)
        text = self._texts[dialect].get(keys)
        if text is None:
            text = self._texts[dialect][keys] = _Text(self._statement, keys, _driver(dialect))
        try:
            if several:
                return Rows([], text.driver.run_many(connection, text.sql, [text.bind(each) for each in values]))  # type: ignore[arg-type]
            cursor = text.execute(connection, text.sql, text.bind(one))
            return Rows(text.read(cursor.fetchall()), cursor.rowcount) if text.columns else Rows([], cursor.rowcount)
        except text.driver.error as exc:
            raise text.driver.translated(exc, text.sql) from exc


def prepared(statement: Any) -> Prepared:
    """A Core statement made ready to run often; see the module."""
    return Prepared(statement)


class _Text:
    """One SQL text: what to bind at each place, and how to read what comes."""

    def __init__(self, statement: Any, keys: tuple[str, ...], driver: Driver) -> None:
        self.driver = driver
        self.execute = driver.execute_on()
        dialect = driver.dialect
        compiled: SQLCompiler = statement.compile(dialect=dialect, column_keys=list(keys) or None)
        self.sql = str(compiled)
        if "POSTCOMPILE" in self.sql or compiled.update_prefetch:
            raise ValueError(f"this statement cannot be prepared: {self.sql}")
        fixed: dict[str, Any] = {}
        for column in compiled.insert_prefetch:
            if column.default is None or not column.default.is_scalar:
                raise ValueError(f"the default of {column} is not a plain value")
            fixed[column.key] = column.default.arg  # type: ignore[attr-defined]
        # What is bound at each place: the same each time, or what is given, as it is or converted.
        self._bound: list[Any] = []
        self._given: list[tuple[int, str]] = []
        self._converted: list[tuple[int, str, _Convert]] = []
        for at, name in enumerate(compiled.positiontup or ()):
            bind = compiled.binds[name]
            value, convert = fixed.get(name, bind.value), _impl(bind.type, dialect).bind_processor(dialect)
            self._bound.append(value if convert is None or name in keys else convert(value))
            if name in keys:
                if convert is None:
                    self._given.append((at, name))
                else:
                    self._converted.append((at, name, convert))
        columns: ColumnCollection[str, Any] | tuple[()] = getattr(statement, "exported_columns", ())
        self.columns = [column.key for column in columns]
        make = namedtuple("Row", self.columns, rename=True)  # type: ignore[misc]  # noqa: PYI024
        self._make = partial(tuple.__new__, make)  # a third of what ``_make`` takes
        found = [_impl(column.type, dialect).result_processor(dialect, driver.coltype) for column in columns]
        self._converts = [(at, convert) for at, convert in enumerate(found) if convert is not None]

    def bind(self, values: Values) -> list[Any]:
        bound = self._bound.copy()
        for at, name in self._given:
            bound[at] = values[name]
        for at, name, convert in self._converted:
            bound[at] = convert(values[name])
        return bound

    def read(self, rows: list[tuple[Any, ...]]) -> list[Any]:
        make = self._make
        if not self._converts:
            return [make(row) for row in rows]
        out = []
        for row in rows:
            values = list(row)
            for at, convert in self._converts:
                values[at] = convert(values[at])
            out.append(make(values))
        return out


def _impl(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return kind.dialect_impl(dialect)
