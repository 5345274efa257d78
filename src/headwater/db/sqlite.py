"""SQLite in WAL mode.

A *read* runs on a connection of the calling thread inside one snapshot. A *write* takes its turn on the one writing
connection of this process: on the caller's own thread when nobody else writes, else it waits for the writer thread, which
takes the inter-process lock, opens ``BEGIN IMMEDIATE``, runs every waiting act in a savepoint of its own, commits once,
and only then answers. ``BEGIN IMMEDIATE`` without the lock starves some processes: with eight, four or five made one
commit in three seconds (docs/decisions/0003-one-writer-thread.md).
"""

from __future__ import annotations

import fcntl
import os
import queue
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from headwater.db import metrics
from headwater.db.database import Database, DatabaseFull, Held, Memory, Tx, refuse_nul
from headwater.db.moving import refuse_or_thaw
from headwater.db.prepared import SQLITE
from headwater.db.schema import upgrade_schema

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT_S = 30
MAX_BATCH = 64
# Of each connection; a process has one for each of its threads that reads. What one reads anew comes out of the system's own cache, and
# whatever another writes empties SQLite's: at a million repositories a quarter of its 2 MB made no difference to searches, lists and pages.
READ_CACHE_KIB, WRITE_CACHE_KIB = 512, 2048


class SqliteDatabase(Database):
    """The file at ``path``, and beside it its lock."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._engine = _sqlite_engine(path)
        self._waiting: queue.SimpleQueue[_Act | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._start_lock = threading.Lock()
        self._turn = threading.Lock()  # who holds it may use the writing connection
        self._writing: _Writing | None = None
        self._connections: list[Connection] = []

    def ensure_schema(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._process_lock(), self._engine.connect() as conn:
            conn.exec_driver_sql("BEGIN IMMEDIATE")
            upgrade_schema(conn)
            conn.exec_driver_sql("COMMIT")

    def _begin_read(self) -> Tx:
        conn, raw, memory = self._reader()
        _run(raw, "BEGIN")
        return Tx(conn, raw, "sqlite", writable=False, memory=memory)

    def _end_read(self, tx: Tx) -> None:
        _run(tx._raw, "ROLLBACK")  # noqa: SLF001 -- a transaction is the database's own

    def _write(self, act: Callable[..., T], args: Any, kwargs: Any) -> tuple[Tx | None, T]:
        if getattr(act, "ends_hold", False):  # in no batch with others, which are refused
            with self._turn:
                return self._write_alone(act, args, kwargs)
        if not self._waiting.empty() or not self._turn.acquire(blocking=False):
            return None, self.submit(act, *args, **kwargs).result()
        try:  # nobody else writes: on this thread, without waking another
            return self._write_alone(act, args, kwargs)
        finally:
            self._turn.release()

    def submit(self, act: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        self._check_writable()
        if self._writer is None:
            self._start_writer()
        waiting: _Act = _Act(lambda tx: act(tx, *args, **kwargs))
        self._waiting.put(waiting)
        return waiting.future

    def version(self) -> int:
        return _data_version(self._reader()[1])

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.path.parent.glob(f"{self.path.name}*"))

    @contextmanager
    def holding(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[Held]:
        if not re.fullmatch(r"[a-z0-9-]{1,64}", name):
            raise ValueError(f"{name!r} is no name for a lock")
        fd = os.open(self.path.parent / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            how = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB)
            try:
                fcntl.flock(fd, how)
            except BlockingIOError:
                held = False
            else:
                held = True
            yield Held(is_held=held)
        finally:
            # Said aloud: a child that is just being started has the descriptor too, until it executes its program.
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            self._waiting.put(None)
            self._writer.join(timeout=BUSY_TIMEOUT_S)
        with self._turn:
            if self._writing is not None:
                self._writing.close()
                self._writing = None
        for conn in self._connections:
            conn.close()
        self._engine.dispose()

    def _reader(self) -> tuple[Connection, sqlite3.Connection, Memory]:
        found: tuple[Connection, sqlite3.Connection, Memory] | None = getattr(self._local, "conn", None)
        if found is None:
            conn = self._engine.connect()
            self._connections.append(conn)
            metrics.POOL_USED.set(len(self._connections))
            raw = _driver_connection(conn)
            found = self._local.conn = conn, raw, Memory(partial(_data_version, raw))
        return found

    def _start_writer(self) -> None:
        with self._start_lock:
            if self._writer is None:
                thread = threading.Thread(target=self._write_forever, name="db-writer", daemon=True)
                self._writer = thread
                thread.start()

    @contextmanager
    def _process_lock(self) -> Iterator[None]:
        fd = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _write_forever(self) -> None:
        while True:
            first = self._waiting.get()
            if first is None:
                return
            with self._turn:
                batch, stop = [first], False
                while len(batch) < MAX_BATCH and not self._waiting.empty():
                    another = self._waiting.get()
                    if another is None:
                        stop = True
                        break
                    batch.append(another)
                done = self._write_batch(batch)
            for act, tx, value in done:
                tx.run_after_commit()
                act.future.set_result(value)
            if stop:
                return

    @contextmanager
    def _committing(self, *, ends_hold: bool = False) -> Iterator[_Writing]:
        """A write transaction, committed at the end; whoever holds ``_turn`` may enter."""
        if self._writing is None:
            self._writing = _Writing(self._engine.connect(), f"{self.path}.lock")
        writing, local = self._writing, self._local
        reads, local.tx = getattr(local, "tx", None), None  # an act's own reads are not the caller's snapshot
        local.writes = True
        try:
            fcntl.flock(writing.lock_fd, fcntl.LOCK_EX)
            _run(writing.raw, "BEGIN IMMEDIATE")
            try:
                if _run(writing.raw, "PRAGMA user_version").fetchone()[0]:
                    refuse_or_thaw(writing.raw, ends_hold=ends_hold)
                yield writing
                _run(writing.raw, "COMMIT")
            except BaseException as exc:
                if writing.raw.in_transaction:
                    _run(writing.raw, "ROLLBACK")
                if _says_full(exc):
                    raise DatabaseFull from exc
                raise
        finally:
            fcntl.flock(writing.lock_fd, fcntl.LOCK_UN)
            local.writes, local.tx = False, reads

    def _write_alone(self, act: Callable[..., T], args: Any, kwargs: Any) -> tuple[Tx, T]:
        with self._committing(ends_hold=getattr(act, "ends_hold", False)) as writing:
            tx = Tx(writing.conn, writing.raw, "sqlite", writable=True)
            value = act(tx, *args, **kwargs)
            tx.run_at_end()
        metrics.BATCH.observe_alone(1)  # as in a batch: whoever writes has the turn
        return tx, value

    def _write_batch(self, batch: list[_Act]) -> list[tuple[_Act, Tx, Any]]:
        """Run the acts in one transaction; gives back those that are durable now, and has told the others."""
        done: list[tuple[_Act, Tx, Any]] = []
        try:
            with self._committing() as writing:
                for act in batch:
                    tx = Tx(writing.conn, writing.raw, "sqlite", writable=True)
                    _run(writing.raw, "SAVEPOINT act")
                    try:
                        value = act.run(tx)
                        tx.run_at_end()
                    except BaseException as exc:
                        if not writing.raw.in_transaction:  # SQLite has given up the whole of it: the disk is full
                            raise
                        _run(writing.raw, "ROLLBACK TO act")
                        _run(writing.raw, "RELEASE act")
                        act.future.set_exception(DatabaseFull() if _says_full(exc) else exc)
                    else:
                        _run(writing.raw, "RELEASE act")
                        done.append((act, tx, value))
        except BaseException as exc:  # noqa: BLE001 -- raised again in each caller's thread
            for act in batch:
                if not act.future.done():
                    act.future.set_exception(exc)
            return []
        metrics.BATCH.observe_alone(len(done))
        return done


def _says_full(exc: BaseException) -> bool:
    found = getattr(exc, "orig", exc)  # SQLAlchemy wraps the driver's own
    return isinstance(found, sqlite3.OperationalError) and found.sqlite_errorcode == sqlite3.SQLITE_FULL


class _Writing:
    """The writing connection, and the lock between processes that goes with it."""

    def __init__(self, conn: Connection, lock_path: str) -> None:
        self.conn = conn
        self.raw = _driver_connection(conn)
        _run(self.raw, f"PRAGMA cache_size=-{WRITE_CACHE_KIB}")
        event.listen(conn, "before_cursor_execute", _look_at_values)
        self.lock_fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        self.conn.close()
        os.close(self.lock_fd)


def _look_at_values(_conn: Any, _cursor: Any, _sql: str, values: Any, _context: Any, _several: bool) -> None:  # noqa: FBT001
    refuse_nul(values)


class _Act:
    __slots__ = ("future", "run")

    def __init__(self, run: Callable[[Tx], Any]) -> None:
        self.run = run
        self.future: Future[Any] = Future()


def _driver_connection(conn: Connection) -> sqlite3.Connection:
    found: sqlite3.Connection = conn.connection.driver_connection  # type: ignore[assignment]
    return found


def _run(raw: sqlite3.Connection, sql: str) -> sqlite3.Cursor:
    try:
        return raw.execute(sql)
    except sqlite3.Error as exc:
        raise SQLITE.translated(exc, sql) from exc


def _data_version(raw: sqlite3.Connection) -> int:
    """Inside a transaction: of its snapshot, which this takes if nothing else has."""
    found: int = _run(raw, "PRAGMA data_version").fetchone()[0]
    return found


def _sqlite_engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",  # transactions are spelled out, BEGIN IMMEDIATE among them
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False, "cached_statements": 512},
    )

    @event.listens_for(engine, "connect")
    def _prepare(dbapi_connection: Any, _record: Any) -> None:
        cursor = dbapi_connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.execute(f"PRAGMA cache_size=-{READ_CACHE_KIB}")
        cursor.close()

    return engine
