"""One database, as the rest of the program sees it: ``read`` and ``write``.

A *read* runs on a connection of the calling thread inside one snapshot. A *write* is handed to the writer
thread of this process: it takes the inter-process lock, opens ``BEGIN IMMEDIATE``, runs every waiting act in a
savepoint of its own, commits once, and only then answers. ``BEGIN IMMEDIATE`` without the lock starves some
processes: with eight, four or five made one commit in three seconds.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from headwater.db.schema import upgrade_schema

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT_S = 30
MAX_BATCH = 64

_log = logging.getLogger("headwater.db")


class Tx:
    """An open transaction: the connection, and what to do once it is on disk."""

    __slots__ = ("_after_commit", "conn", "writable")

    def __init__(self, conn: Connection, *, writable: bool) -> None:
        self.conn = conn
        self.writable = writable
        self._after_commit: list[Callable[[], None]] = []

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """``Connection.execute``, so that a store reads ``tx.execute(select(...))``."""
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
        """Whether the caller stands on the writer thread, where a nested write could never be answered."""
        return threading.current_thread() is self._writer

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """One snapshot for the calling thread; nested calls share it."""
        open_tx: Tx | None = getattr(self._local, "tx", None)
        if open_tx is not None:
            yield open_tx
            return
        conn = self._reader()
        conn.exec_driver_sql("BEGIN")
        tx = self._local.tx = Tx(conn, writable=False)
        try:
            yield tx
        finally:
            self._local.tx = None
            conn.exec_driver_sql("ROLLBACK")

    def read(self, act: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``act(tx, ...)`` inside one read snapshot."""
        with self.reading() as tx:
            return act(tx, *args, **kwargs)

    def write(self, act: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``act(tx, ...)`` in a transaction of its own; returns once it is durable.

        ``act`` does no I/O but SQL, and may be run on another thread. What it raises is raised here and
        leaves no trace in the database.
        """
        return self.submit(act, *args, **kwargs).result()

    def submit(self, act: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As ``write``, without waiting."""
        if self.writing_thread:
            raise RuntimeError("a write inside a write: pass the open Tx on instead")
        if self._closed:
            raise RuntimeError("the database is closed")
        if self._writer is None:
            self._start_writer()
        waiting: _Act = _Act(lambda tx: act(tx, *args, **kwargs))
        self._waiting.put(waiting)
        return waiting.future

    def version(self) -> int:
        """A number that another one replaces whenever any other connection commits: a cheap "has anything happened?"."""
        found: int = self._reader().exec_driver_sql("PRAGMA data_version").scalar_one()
        return found

    def close(self) -> None:
        """Finish what waits, then close every connection."""
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            self._waiting.put(None)
            self._writer.join(timeout=BUSY_TIMEOUT_S)
        for conn in self._connections:
            conn.close()
        self._engine.dispose()

    def _reader(self) -> Connection:
        conn: Connection | None = getattr(self._local, "conn", None)
        if conn is None:
            conn = self._local.conn = self._engine.connect()
            self._connections.append(conn)
        return conn

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
        conn = self._engine.connect()
        try:
            while True:
                first = self._waiting.get()
                if first is None:
                    return
                batch, stop = [first], False
                while len(batch) < MAX_BATCH and not self._waiting.empty():
                    another = self._waiting.get()
                    if another is None:
                        stop = True
                        break
                    batch.append(another)
                self._write_batch(conn, batch)
                if stop:
                    return
        finally:
            conn.close()

    def _write_batch(self, conn: Connection, batch: list[_Act]) -> None:
        done: list[tuple[_Act, Tx, Any]] = []
        try:
            with self._process_lock():
                conn.exec_driver_sql("BEGIN IMMEDIATE")
                try:
                    for act in batch:
                        tx = Tx(conn, writable=True)
                        conn.exec_driver_sql("SAVEPOINT act")
                        try:
                            value = act.run(tx)
                        except BaseException as exc:  # noqa: BLE001 -- raised again in the caller's thread
                            conn.exec_driver_sql("ROLLBACK TO act")
                            conn.exec_driver_sql("RELEASE act")
                            act.future.set_exception(exc)
                        else:
                            conn.exec_driver_sql("RELEASE act")
                            done.append((act, tx, value))
                    conn.exec_driver_sql("COMMIT")
                except BaseException:
                    if conn.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
                        conn.exec_driver_sql("ROLLBACK")
                    raise
        except BaseException as exc:  # noqa: BLE001 -- raised again in each caller's thread
            for act in batch:
                if not act.future.done():
                    act.future.set_exception(exc)
            return
        for act, tx, value in done:
            tx.run_after_commit()
            act.future.set_result(value)


class _Act:
    __slots__ = ("future", "run")

    def __init__(self, run: Callable[[Tx], Any]) -> None:
        self.run = run
        self.future: Future[Any] = Future()


def _sqlite_engine(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",  # transactions are spelled out, BEGIN IMMEDIATE among them
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
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
