"""How statements read on PostgreSQL: whole numbers, texts and ``ON CONFLICT`` as on SQLite; and psycopg's own settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap, Loader
from psycopg.types.numeric import Int8Dumper
from sqlalchemy import Column
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.base import PGDDLCompiler, PGTypeCompiler
from sqlalchemy.dialects.postgresql.psycopg import PGCompiler_psycopg, PGDialect_psycopg

from headwater.db.prepared import Driver


class _Types(PGTypeCompiler):
    """Whole numbers have 64 bits, as SQLite's have."""

    def visit_INTEGER(self, type_: Any, **kw: Any) -> str:  # noqa: N802 -- SQLAlchemy names it so
        return "BIGINT"

    def visit_VARCHAR(self, type_: Any, **kw: Any) -> str:  # noqa: N802
        return self._by_bytes(super().visit_VARCHAR(type_, **kw), **kw)

    def visit_TEXT(self, type_: Any, **kw: Any) -> str:  # noqa: N802
        return self._by_bytes(super().visit_TEXT(type_, **kw), **kw)

    def _by_bytes(self, name: str, **kw: Any) -> str:
        """Columns of text sort and compare by their bytes, whatever the database's own order is."""
        return f'{name} COLLATE "C"' if isinstance(kw.get("type_expression"), Column) else name


class _Tables(PGDDLCompiler):
    def get_column_specification(self, column: Column[Any], **kwargs: Any) -> str:
        found: str = super().get_column_specification(column, **kwargs)  # type: ignore[no-untyped-call]
        return re.sub(r"^(\S+) SERIAL\b", r"\1 BIGSERIAL", found)


class _Statements(PGCompiler_psycopg):
    def _on_conflict_target(self, clause: Any, **kw: Any) -> Any:
        """``headwater.db.insert`` makes SQLite's clause, which says the same but cannot name a constraint."""
        if not hasattr(clause, "constraint_target"):
            clause.constraint_target = None
        return super()._on_conflict_target(clause, **kw)  # type: ignore[no-untyped-call]


class PostgresqlDialect(PGDialect_psycopg):
    supports_statement_cache = True
    type_compiler = _Types
    type_compiler_cls = _Types
    ddl_compiler = _Tables
    statement_compiler = _Statements


registry.register("headwater", __name__, "PostgresqlDialect")


class _Numeric(Loader):
    """Sums of whole numbers are ``numeric`` on PostgreSQL; nothing else of ours is."""

    def load(self, data: Any) -> Any:
        text = bytes(data).decode()
        return float(text) if any(mark in text for mark in ".eN") else int(text)


def adapters() -> AdaptersMap:
    """One width for whole numbers, so that a statement is prepared once and not once for each size of its values."""
    found = AdaptersMap(psycopg.adapters)
    found.register_dumper(int, Int8Dumper)
    found.register_loader("numeric", _Numeric)
    return found


class _Psycopg(Driver):
    def execute_on(self) -> Callable[[Any, str, list[Any]], Any]:
        return partial(psycopg.Connection.execute, prepare=True)

    def run_many(self, connection: Any, sql: str, values: list[list[Any]]) -> int:
        with connection.cursor() as cursor:
            cursor.executemany(sql, values)
            found: int = cursor.rowcount
            return found


_FLOAT8 = 701
DRIVER = _Psycopg(PostgresqlDialect(dbapi=psycopg, paramstyle="format"), psycopg.Error, _FLOAT8)  # type: ignore[no-untyped-call]
