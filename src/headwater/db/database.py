"""One database, as the rest of the program sees it: ``read`` and ``write``, on SQLite or on PostgreSQL.

``Database`` says what both promise; ``sqlite.py`` and ``postgresql.py`` say how each keeps it.
"""

# ruff: noqa: SLF001 -- ``_Reading`` is a part of ``Database``

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from sqlalchemy import Connection

from headwater.db import metrics
from headwater.db.prepared import Prepared
from headwater.kernel import HeadwaterError, Kind, utcnow

P = ParamSpec("P")
T = TypeVar("T")
Act = TypeVar("Act", bound=Callable[..., Any])
Dialect = Literal["sqlite", "postgresql"]

SQLITE_FILE = "headwater.db"
RETRY_AFTER_S = 2

_log = logging.getLogger("headwater.db")


class Memory:
    """What one connection has found since anybody last committed anything; see ``Tx.remembered``."""

    MOST = 256  # each thread that reads has a connection
    LARGEST_BYTES = 8192  # of bytes that are kept

    def __init__(self, version: Callable[[], int]) -> None:
        self._read_version = version
        self._version: int | None = None
        self._known: dict[Hashable, Any] = {}

    def now(self) -> dict[Hashable, Any]:
        """What holds in the open snapshot."""
        version = self._read_version()
        if version != self._version or len(self._known) >= self.MOST:
            self._known.clear()
            self._version = version
        return self._known


class Tx:
    """An open transaction: the connection, and what to do once it is on disk.

    ``memory``: for snapshots of databases that can tell, at next to no cost, whether anybody has committed.
    """

    __slots__ = ("_after_commit", "_at_end", "_known", "_memory", "_raw", "conn", "dialect", "held", "writable")

    held: Any  # what the database lets go of at the end

    def __init__(
        self, conn: Connection, raw: Any, dialect: Dialect, *, writable: bool, memory: Memory | None = None
    ) -> None:
        self.conn = conn
        self._raw = raw
        self.dialect = dialect
        self.writable = writable
        self._memory = memory
        self._known: dict[Hashable, Any] | None = None
        self._at_end: list[Callable[[], None]] = []
        self._after_commit: list[Callable[[], None]] = []

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """``Connection.execute``, so that a store reads ``tx.execute(select(...))``; takes a ``Prepared``, too."""
        if isinstance(args[0], Prepared):
            if self.writable and self.dialect == "sqlite" and len(args) > 1:
                refuse_nul(args[1])
            return args[0].run(self.dialect, self._raw, *args[1:])
        return self.conn.execute(*args, **kwargs)

    def remembered(self, key: Hashable, find: Callable[[], T]) -> T:
        """``find()``, or what it gave before for this key where no other connection has committed anything since.

        For rows that every request asks for again: what is remembered is what ``find`` would read in this very snapshot,
        so it outlives no change. What ``find`` gives must follow from the snapshot, be small, and be changed by nobody; None is
        not kept, nor are many bytes.
        """
        known = self._known
        if known is None:
            if self._memory is None:
                return find()
            known = self._known = self._memory.now()
        found: T | None = known.get(key)
        if found is not None:
            return found
        made = find()
        is_large = isinstance(made, bytes) and len(made) > Memory.LARGEST_BYTES
        if made is not None and not is_large and len(known) < Memory.MOST:
            known[key] = made
        return made

    def at_end(self, act: Callable[[], None]) -> None:
        """Run ``act`` as the last of this transaction, after everything else that is written in it; in the order given."""
        self._at_end.append(act)

    def run_at_end(self) -> None:
        for act in self._at_end:
            act()

    def after_commit(self, act: Callable[[], None]) -> None:
        """Run ``act`` once this transaction is durable; a failure there is logged and changes nothing."""
        self._after_commit.append(act)

    def run_after_commit(self) -> None:
        for act in self._after_commit:
            try:
                act()
            except Exception:  # noqa: BLE001 -- the act is durable; nothing here may undo its answer
                _log.exception("after_commit.failed")


class Held:
    """A named lock, as ``Database.holding`` gives it: true if it is held."""

    __slots__ = ("_is_held", "_look")

    def __init__(self, *, is_held: bool, look: Callable[[], None] = lambda: None) -> None:
        self._is_held = is_held
        self._look = look

    def __bool__(self) -> bool:
        return self._is_held

    def check(self) -> None:
        """Ask the database whether it is held still, on the thread that holds it; before what cannot be undone.

        Raises:
            DatabaseAway: the connection that held it broke, and another may hold it by now.
        """
        if not self._is_held:
            raise RuntimeError("a lock that was not to be had is not held")
        self._look()


class _Reading:
    """``Database.reading``; a class, as a generator would cost a tenth of a short read more."""

    __slots__ = ("_db", "_span", "_started", "_tx")

    def __init__(self, db: Database) -> None:
        self._db = db
        self._tx: Tx | None = None

    def __enter__(self) -> Tx:
        local = self._db._local
        open_tx: Tx | None = getattr(local, "tx", None)
        if open_tx is not None:
            return open_tx
        self._span, self._started = metrics.begin("db.read"), perf_counter()
        try:
            tx = self._tx = local.tx = self._db._begin_read()
        except Exception as exc:
            self._end(exc)
            raise
        return tx

    def __exit__(self, _type: object, exc: BaseException | None, _traceback: object) -> None:
        tx, db = self._tx, self._db
        if tx is None:
            return
        db._local.tx = None
        try:
            db._end_read(tx)
        except Exception as failed:
            self._end(failed)
            raise
        self._end(exc)

    def _end(self, exc: BaseException | None) -> None:
        metrics.end(metrics.READ, self._started, self._span)
        if isinstance(exc, Exception):
            metrics.count_error(exc)
            meant = self._db._meant(exc)
            if meant is not exc:
                raise meant from exc


class Database(ABC):
    """Open it after a fork, never before: connections do not survive one.

    Acts given to ``write`` and ``submit`` do no I/O but SQL and may be run again from the start, so they change nothing
    outside but through what they return and ``tx.after_commit``.
    """

    dialect: Dialect

    def __init__(self) -> None:
        self._local = threading.local()  # ``tx``: the open snapshot of this thread; ``writes``: inside a write
        self._closed = False

    @abstractmethod
    def ensure_schema(self) -> None:
        """Create or upgrade the tables; safe to repeat and to race.

        Raises:
            SchemaTooNew: a later release has written this database, and this one cannot work on it.
        """

    @property
    def writing_thread(self) -> bool:
        """Whether the caller stands inside a write, where a nested one could never be answered."""
        return getattr(self._local, "writes", False)

    @abstractmethod
    def _begin_read(self) -> Tx:
        """A snapshot of its own."""

    @abstractmethod
    def _end_read(self, tx: Tx) -> None:
        """Let go of it."""

    def _meant(self, exc: Exception) -> Exception:
        """What an error of the driver means to a caller."""
        return exc

    def reading(self) -> AbstractContextManager[Tx]:
        """One snapshot for the calling thread; nested calls share it."""
        return _Reading(self)

    def read(self, act: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``act(tx, ...)`` inside one read snapshot."""
        with self.reading() as tx:
            return act(tx, *args, **kwargs)

    def write(self, act: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``act(tx, ...)`` in a transaction of its own; returns once it is durable.

        What ``act`` raises is raised here and leaves no trace in the database.
        """
        self._check_writable()
        span, started = metrics.begin("db.write"), perf_counter()
        try:
            tx, value = self._write(act, args, kwargs)
        except Exception as exc:
            metrics.count_error(exc)
            raise
        finally:
            metrics.end(metrics.WRITE, started, span)
        if tx is not None:
            tx.run_after_commit()
        return value

    @abstractmethod
    def _write(self, act: Callable[..., T], args: Any, kwargs: Any) -> tuple[Tx | None, T]:
        """As ``write``; with the value comes the transaction whose ``run_after_commit`` is still to be called."""

    @abstractmethod
    def submit(self, act: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As ``write``, without waiting, on another thread."""

    @abstractmethod
    def version(self) -> int:
        """A number that another one replaces whenever any other connection commits: a cheap "has anything happened?"."""

    def now(self) -> datetime:
        """The moment by the one clock that every process of the site can read: leases are counted by it."""
        return utcnow()

    def clock_offset_s(self) -> float:
        """By how much that clock is ahead of this host's, as exactly as a round trip tells."""
        return 0.0

    @abstractmethod
    def size_bytes(self) -> int:
        """What the database takes up on its disk."""

    @abstractmethod
    def holding(self, name: str, *, exclusive: bool, wait: bool = True) -> AbstractContextManager[Held]:
        """A lock of this name between all processes of the site, on whatever host; shared or exclusive.

        What it gives is false only with ``wait=False``, where another holds it. It ends with the block, or with the process; on
        PostgreSQL also with its connection, which ``Held.check`` tells at once and the end of the block at the latest.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish what waits, then close every connection."""

    def _check_writable(self) -> None:
        if self.writing_thread:
            raise RuntimeError("a write inside a write: pass the open Tx on instead")
        if self._closed:
            raise RuntimeError("the database is closed")


def open_database(data_dir: Path, url: str | None = None, *, connections: int = 12) -> Database:
    """The site's database: PostgreSQL at ``url``, or SQLite in ``data_dir``. Connects on first use.

    Raises:
        DriverMissing: ``url`` is given, and the driver for it is not installed.
    """
    if url is None:
        from headwater.db.sqlite import SqliteDatabase

        return SqliteDatabase(data_dir / SQLITE_FILE)
    try:
        from headwater.db.postgresql import PostgresqlDatabase
    except ImportError as exc:
        raise DriverMissing from exc
    return PostgresqlDatabase(url, connections=connections)


def row_locked(act: Act) -> Act:
    """Declare that ``act`` keeps its promises by row locks, unique indexes and compare-and-swap alone.

    On PostgreSQL it then waits for no other act but those that write the same rows. SQLite makes no difference.
    docs/decisions/0013-postgresql.md says which acts are so, and what must hold for one to be.
    """
    act.is_row_locked = True  # type: ignore[attr-defined]
    return act


def ends_hold(act: Act) -> Act:
    """Declare that ``act`` is what an operator has decided on for a site that takes no changes (``db.moving.end_hold``, which it calls)."""
    act.ends_hold = True  # type: ignore[attr-defined]
    return act


class DatabaseFull(HeadwaterError):
    code = "database_full"
    kind = Kind.FULL

    def __init__(self) -> None:
        super().__init__(
            "The disk under this server's database is full; nothing was changed. Tell its operator, then try again."
        )


class DriverMissing(HeadwaterError):
    code = "database_driver_missing"
    kind = Kind.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__(
            "HEADWATER_DATABASE_URL names PostgreSQL, and the driver for it is not installed. "
            "Install it into Headwater's virtual environment: pip install 'psycopg[binary]'."
        )


class DatabaseAway(HeadwaterError):
    """It does not answer, or broke off. ``unsure``: it did so while a change was being kept."""

    code = "database_away"
    kind = Kind.UNAVAILABLE

    def __init__(self, at: str = "", why: str = "", *, unsure: bool = False) -> None:
        so = "whether the last change was kept is not known" if unsure else "nothing was changed"
        because = f" ({why})" if why else ""
        super().__init__(
            f"The database{at} does not answer{because}; {so}. Try again in a moment.",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )


class DatabaseBusy(HeadwaterError):
    code = "database_busy"
    kind = Kind.UNAVAILABLE

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The database is too busy: {why}. Nothing was changed; try again in a moment.",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )


class DatabaseRefused(HeadwaterError):
    """Credentials, rights or the database's name are wrong: trying again changes nothing."""

    code = "database_refused"
    kind = Kind.UNAVAILABLE

    def __init__(self, where: str, why: str, mend: str) -> None:
        super().__init__(f"PostgreSQL at {where} refuses: {why}. {mend}")


class DatabaseUnfit(HeadwaterError):
    code = "database_unfit"
    kind = Kind.UNAVAILABLE

    def __init__(self, where: str, why: str, mend: str) -> None:
        super().__init__(f"The database at {where} cannot be used: {why}. {mend}")


def refuse_nul(values: Any) -> None:
    """SQLite would keep what PostgreSQL does not, so that a site could not grow any more: what is written has no NUL on either.

    ``values`` are those of one statement, by name or by place, or of several.

    Raises:
        TextNotStorable
    """
    rows = values if isinstance(values, list) and values and isinstance(values[0], dict | tuple) else (values,)
    for row in rows:
        for value in row.values() if isinstance(row, dict) else row:
            if type(value) is str and "\0" in value:
                raise TextNotStorable


class TextNotStorable(HeadwaterError):
    code = "text_not_storable"
    kind = Kind.BAD_INPUT

    def __init__(self) -> None:
        super().__init__(
            "A text holds the character NUL (U+0000), which no database keeps. Take it out, and try again."
        )
