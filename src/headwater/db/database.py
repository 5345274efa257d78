"""One database, as the rest of the program sees it: ``read`` and ``write``.

A *read* runs on a connection of the calling thread inside one snapshot. A *write* takes its turn on the one writing
connection of this process: on the caller's own thread when nobody else writes, else it waits for the writer thread, which
takes the inter-process lock, opens ``BEGIN IMMEDIATE``, runs every waiting act in a savepoint of its own, commits once,
and only then answers. ``BEGIN IMMEDIATE`` without the lock starves some processes: with eight, four or five made one
commit in three seconds.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from headwater.db import metrics
from headwater.db.prepared import Prepared, translated
from headwater.db.schema import upgrade_schema
from headwater.kernel import HeadwaterError, Kind

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT_S = 30
MAX_BATCH = 64

_log = logging.getLogger("headwater.db")


class Tx:
    """An open transaction: the connection, and what to do once it is on disk."""

    __slots__ = ("_after_commit", "_raw", "conn", "writable")

    def __init__(self, conn: Connection, raw: sqlite3.Connection, *, writable: bool) -> None:
        self.conn = conn
        self._raw = raw
        self.writable = writable
        self._after_commit: list[Callable[[], None]] = []

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """``Connection.execute``, so that a store reads ``tx.execute(select(...))``; takes a ``Prepared``, too."""
        if isinstance(args[0], Prepared):
            return args[0].run(self._raw, *args[1:])
        return self.conn.execute(*args, **kwargs)

    def after_commit(self, act: Callable[[], None]) -> None:
        """Run ``act`` once this transaction is durable; a failure there is logged and changes nothing."""
        self._after_commit.append(act)

    def run_after_commit(self) -> None:
        for act in self._after_commit:
            try:
                act()
            except Exception:  # noqa: BLE001 -- the act is durable; nothing here may undo its answer
                _log.exception("after_commit.failed")


class Database:
    """SQLite in WAL mode at ``path``. Open it after a fork, never before: connections do not survive one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = _sqlite_engine(path)
        self._local = threading.local()
        self._waiting: queue.SimpleQueue[_Act | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._start_lock = threading.Lock()
        self._turn = threading.Lock()  # who holds it may use the writing connection
        self._writing: _Writing | None = None
        self._connections: list[Connection] = []
        self._closed = False

    def ensure_schema(self) -> None:
        """Create or upgrade the tables; safe to repeat and to race.

        Raises:
            SchemaTooNew: a later release has written this database.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._process_lock(), self._engine.connect() as conn:
            conn.exec_driver_sql("BEGIN IMMEDIATE")
            upgrade_schema(conn)
            conn.exec_driver_sql("COMMIT")

    @property
    def writing_thread(self) -> bool:
        """Whether the caller stands inside a write, where a nested one could never be answered."""
        return getattr(self._local, "writes", False)

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """One snapshot for the calling thread; nested calls share it."""
        open_tx: Tx | None = getattr(self._local, "tx", None)
        if open_tx is not None:
            yield open_tx
            return
        span, started = metrics.begin("db.read"), perf_counter()
        try:
            conn, raw = self._reader()
            _run(raw, "BEGIN")
            tx = self._local.tx = Tx(conn, raw, writable=False)
            try:
                yield tx
            finally:
                self._local.tx = None
                _run(raw, "ROLLBACK")
        except Exception as exc:
            metrics.count_error(exc)
            raise
        finally:
            metrics.end(metrics.READ, started, span)

    def read(self, act: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``act(tx, ...)`` inside one read snapshot."""
        with self.reading() as tx:
            return act(tx, *args, **kwargs)

    def write(self, act: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``act(tx, ...)`` in a transaction of its own; returns once it is durable.

        ``act`` does no I/O but SQL, and may be run on another thread. What it raises is raised here and
        leaves no trace in the database.
        """
        self._check_writable()
        span, started = metrics.begin("db.write"), perf_counter()
        try:
            if not self._waiting.empty() or not self._turn.acquire(blocking=False):
                return self.submit(act, *args, **kwargs).result()
            try:  # nobody else writes: on this thread, without waking another
                tx, value = self._write_alone(act, args, kwargs)
            finally:
                self._turn.release()
        except Exception as exc:
            metrics.count_error(exc)
            raise
        finally:
            metrics.end(metrics.WRITE, started, span)
        tx.run_after_commit()
        return value

    def submit(self, act: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As ``write``, without waiting."""
        self._check_writable()
        if self._writer is None:
            self._start_writer()
        waiting: _Act = _Act(lambda tx: act(tx, *args, **kwargs))
        self._waiting.put(waiting)
        return waiting.future

    def _check_writable(self) -> None:
        if self.writing_thread:
            raise RuntimeError("a write inside a write: pass the open Tx on instead")
        if self._closed:
            raise RuntimeError("the database is closed")

    def version(self) -> int:
        """A number that another one replaces whenever any other connection commits: a cheap "has anything happened?"."""
        found: int = _run(self._reader()[1], "PRAGMA data_version").fetchone()[0]
        return found

    def close(self) -> None:
        """Finish what waits, then close every connection."""
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

    def _reader(self) -> tuple[Connection, sqlite3.Connection]:
        found: tuple[Connection, sqlite3.Connection] | None = getattr(self._local, "conn", None)
        if found is None:
            conn = self._engine.connect()
            self._connections.append(conn)
            found = self._local.conn = conn, _driver_connection(conn)
            metrics.POOL_USED.set(len(self._connections))
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
    def _committing(self) -> Iterator[_Writing]:
        """A write transaction, committed at the end; whoever holds ``_turn`` may enter."""
        if self._writing is None:
            self._writing = _Writing(self._engine.connect(), f"{self.path}.lock")
        writing, local = self._writing, self._local
        reads, local.tx = getattr(local, "tx", None), None  # an act's own reads are not the caller's snapshot
        local.writes = True
        try:
            with writing.locked():
                _run(writing.raw, "BEGIN IMMEDIATE")
                try:
                    yield writing
                    _run(writing.raw, "COMMIT")
                except BaseException as exc:
                    if writing.raw.in_transaction:
                        _run(writing.raw, "ROLLBACK")
                    if _says_full(exc):
                        raise DatabaseFull from exc
                    raise
        finally:
            local.writes, local.tx = False, reads

    def _write_alone(self, act: Callable[..., T], args: Any, kwargs: Any) -> tuple[Tx, T]:
        with self._committing() as writing:
            tx = Tx(writing.conn, writing.raw, writable=True)
            value = act(tx, *args, **kwargs)
        metrics.BATCH.observe(1)
        return tx, value

    def _write_batch(self, batch: list[_Act]) -> list[tuple[_Act, Tx, Any]]:
        """Run the acts in one transaction; gives back those that are durable now, and has told the others."""
        done: list[tuple[_Act, Tx, Any]] = []
        try:
            with self._committing() as writing:
                for act in batch:
                    tx = Tx(writing.conn, writing.raw, writable=True)
                    _run(writing.raw, "SAVEPOINT act")
                    try:
                        value = act.run(tx)
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
        metrics.BATCH.observe(len(done))
        return done


class DatabaseFull(HeadwaterError):
    code = "database_full"
    kind = Kind.FULL

    def __init__(self) -> None:
        super().__init__(
            "The disk under this server's database is full; nothing was changed. Tell its operator, then try again."
        )


def _says_full(exc: BaseException) -> bool:
    found = getattr(exc, "orig", exc)  # SQLAlchemy wraps the driver's own
    return isinstance(found, sqlite3.OperationalError) and found.sqlite_errorcode == sqlite3.SQLITE_FULL


class _Writing:
    """The writing connection, and the lock between processes that goes with it."""

    def __init__(self, conn: Connection, lock_path: str) -> None:
        self.conn = conn
        self.raw = _driver_connection(conn)
        self._lock_fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def locked(self) -> Iterator[None]:
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def close(self) -> None:
        self.conn.close()
        os.close(self._lock_fd)


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
        raise translated(exc, sql) from exc


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
        cursor.close()

    return engine
