"""PostgreSQL by psycopg 3, for sites of several hosts.

Reads are REPEATABLE READ snapshots. Writes take turns over the whole site, as on SQLite, by an advisory lock that is held
before their snapshot is taken, and are SERIALIZABLE; so an act means the same on both databases. Acts that say ``row_locked``
run beside them, READ COMMITTED. Whichever PostgreSQL breaks off because it met another (40001, 40P01) is run again, and so
is one that put a row which another, unseen, had put before (23505).
docs/decisions/0013-postgresql.md has the reasons and the measurements.

Each process keeps a bounded pool. A thread that holds a connection already (a read around a write) never waits for
another, so the pool cannot lock up; what goes beyond the bound is closed again.
"""

from __future__ import annotations

import hashlib
import logging
import random
import re
import select
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

import psycopg
from psycopg.errors import UniqueViolation, error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from headwater.db import metrics
from headwater.db.database import (
    Database,
    DatabaseAway,
    DatabaseBusy,
    DatabaseFull,
    DatabaseRefused,
    DatabaseUnfit,
    Held,
    TextNotStorable,
    Tx,
    ends_hold,
)
from headwater.db.moving import IS_MOVING, refuse_or_thaw_postgresql
from headwater.db.psycopg_dialect import adapters
from headwater.db.schema import upgrade_schema
from headwater.kernel import HeadwaterError

P = ParamSpec("P")
T = TypeVar("T")

LEAST_VERSION = 14
CONNECT_TIMEOUT_S = 5
POOL_WAIT_S = 10.0
STATEMENT_TIMEOUT_S = 60
LOCK_TIMEOUT_S = 15
HOLDING_TIMEOUT_S = 60  # for a named lock; a sweep that holds one may wait for a slow store
IDLE_IN_TRANSACTION_S = 120
# All writers of the site wait for whoever has the turn. A process that stands still (a machine that is paused, or swaps) loses
# it, and what it was writing, after so long without a word to the server.
IDLE_IN_TURN_S = 30
MAX_IDLE_S = 600.0
# A host that loses its power says no farewell: its locks are free once the server has noticed, about 25 s later.
DEAD_PEER = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; SET tcp_user_timeout = 25000; "
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WRITERS = 6  # threads that run what was submitted
TRIES = 12
TRIES_BESIDE_OTHERS = 4  # after which an act whose turn it is has the site to itself
_MET_ANOTHER = ("40001", "40P01", UniqueViolation.sqlstate)


def _lock_key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"headwater:{name}".encode(), digest_size=8).digest(), "big", signed=True)


_TAKE_TURN = (
    f"SET idle_session_timeout = '{IDLE_IN_TURN_S}s'; SET idle_in_transaction_session_timeout = '{IDLE_IN_TURN_S}s'; "
    f"SELECT pg_advisory_lock({_lock_key('turn')})"
).encode()
_END_TURN = (
    f"SELECT pg_advisory_unlock({_lock_key('turn')}); "
    f"RESET idle_session_timeout; SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_S}s'"
).encode()
_KEEP_OTHERS_OUT = f"SELECT pg_advisory_lock({_lock_key('beside')})".encode()
_LET_OTHERS_IN = f"SELECT pg_advisory_unlock({_lock_key('beside')})".encode()
_READ = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Each tells in the end whether the site is on its way elsewhere, as of a moment when nobody can begin to move it any more.
_WRITE = f"BEGIN ISOLATION LEVEL SERIALIZABLE; {IS_MOVING}".encode()
_WRITE_BESIDE_OTHERS = f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '{IDLE_IN_TURN_S}s'; SELECT pg_advisory_xact_lock_shared({_lock_key('beside')}); {IS_MOVING}".encode()
# For a transaction that no other writes beside, and that all which come after see.
KEEP_WRITERS_OUT = "; ".join(f"SELECT pg_advisory_xact_lock({_lock_key(name)})" for name in ("turn", "beside"))
_SESSION = (
    f"SET statement_timeout = '{STATEMENT_TIMEOUT_S}s'; SET lock_timeout = '{LOCK_TIMEOUT_S}s'; "
    f"SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_S}s'; "
    f"{DEAD_PEER}"
    "SET jit = off; SET TimeZone = 'UTC'; SET standard_conforming_strings = on; SET synchronous_commit = on"
).encode()
# A lock's connection has nothing to say for as long as the work takes, whatever else the server thinks of such.
_HOLDING = "SET statement_timeout = 0; SET idle_session_timeout = 0;"

_log = logging.getLogger("headwater.db")


# ---- connections


class _Link:
    """One connection: SQLAlchemy's, and the driver's beneath it. Statements commit by themselves outside of ``run`` BEGIN."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self.raw: psycopg.Connection[Any] = conn.connection.driver_connection  # type: ignore[assignment]
        self.used_at = time.monotonic()
        self.poll = select.poll()
        self.poll.register(self.raw.pgconn.socket, select.POLLIN)

    def run(self, sql: bytes) -> Any:
        """A statement without values, straight by libpq; its result."""
        result = self.raw.pgconn.exec_(sql)
        if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            error = error_from_result(result, encoding="utf-8")
            if error.sqlstate is None:  # libpq's own word: the connection broke, and the server no longer said why
                raise psycopg.OperationalError(str(error))
            raise error
        return result

    def commit(self) -> None:
        if self.run(b"COMMIT").command_status != b"COMMIT":
            raise RuntimeError("an act went on after a statement of it had failed; nothing was kept")

    def is_well(self) -> bool:
        """Open, outside of any transaction, and the server has said nothing: it does so only to take its leave."""
        pgconn = self.raw.pgconn
        return (
            not self.raw.closed
            and pgconn.transaction_status == TransactionStatus.IDLE
            and time.monotonic() - self.used_at < MAX_IDLE_S
            and not self.poll.poll(0)
        )

    def roll_back(self) -> None:
        """What fails here leaves a connection that is not well, and so is closed."""
        if not self.raw.closed and self.raw.pgconn.transaction_status != TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                self.run(b"ROLLBACK")

    def close(self) -> None:
        with suppress(Exception):
            self.raw.close()
        with suppress(Exception):
            self.conn.invalidate()
            self.conn.close()


class _Pool:
    def __init__(self, open_link: Callable[[], _Link], size: int) -> None:
        self._open = open_link
        self._size = size
        self._idle: list[_Link] = []  # the last used first, so that what is not needed grows old
        self._n_out = 0
        self._changed = threading.Condition()
        self._closed = False

    def take(self, *, beyond: bool) -> _Link:
        """A connection that works. ``beyond``: do not wait for one, whatever the bound.

        Raises:
            DatabaseBusy: every connection has been in use for ``POOL_WAIT_S``.
        """
        deadline = time.monotonic() + POOL_WAIT_S
        with self._changed:
            while True:
                if self._closed:
                    raise RuntimeError("the database is closed")
                while self._idle:
                    link = self._idle.pop()
                    if link.is_well():
                        self._n_out += 1
                        self._count()
                        return link
                    link.close()
                if beyond or self._n_out < self._size:
                    self._n_out += 1
                    break
                if not self._changed.wait(deadline - time.monotonic()):
                    raise DatabaseBusy(f"all {self._size} connections of this process are in use")
        try:
            return self._open()
        except BaseException:
            self._give_back(None)
            raise

    def set_apart(self, n: int) -> None:
        """``n`` more connections hold named locks: those stand for as long as others work, so they fill no bound."""
        with self._changed:
            self._n_out -= n
            self._changed.notify()

    def _count(self) -> None:
        metrics.POOL_USED.set(self._n_out)
        metrics.POOL_IDLE.set(len(self._idle))

    def give(self, link: _Link) -> None:
        link.used_at = time.monotonic()
        if link.is_well():
            self._give_back(link)
        else:
            link.close()
            self._give_back(None)

    def _give_back(self, link: _Link | None) -> None:
        with self._changed:
            self._n_out -= 1
            if link is not None:
                if self._closed or len(self._idle) + self._n_out >= self._size:
                    link.close()
                else:
                    self._idle.append(link)
            self._changed.notify()
            self._count()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            self._changed.notify_all()
        for link in idle:
            link.close()


# ---- the database


class PostgresqlDatabase(Database):
    dialect = "postgresql"

    def __init__(self, url: str, *, connections: int = 12) -> None:
        super().__init__()
        parsed = make_url(re.sub(r"^postgres(ql)?://", "headwater://", url))
        # Never with the password.
        self.where = (
            f"{parsed.host or parsed.query.get('host') or 'localhost'}:{parsed.port or 5432}/{parsed.database or ''}"
        )
        # Given in the address, an option of libpq stands above these.
        defaults = {
            "connect_timeout": str(CONNECT_TIMEOUT_S),
            "application_name": "headwater",
            "client_encoding": "utf8",  # else texts of a database that names no encoding would be bytes, before that is refused
            "keepalives_idle": "30",
            "keepalives_interval": "10",
            "keepalives_count": "3",
            "tcp_user_timeout": "30000",
        }
        parsed = parsed.set(query={**defaults, **parsed.query})
        self._engine = create_engine(
            parsed,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",  # transactions are spelled out
            use_native_hstore=False,
            connect_args={"prepare_threshold": 3, "context": adapters()},
        )
        self._pool = _Pool(self._connect, connections)
        self._writers: ThreadPoolExecutor | None = None
        self._start_lock = threading.Lock()
        self._turn = threading.Lock()
        self._is_starting = False

    # ---- opening

    def _connect(self) -> _Link:
        try:
            link = _Link(self._engine.connect())
            link.raw.prepared_max = 500
            link.run(_SESSION)
        except (DBAPIError, psycopg.Error) as exc:
            self._raise(exc)
        return link

    def ensure_schema(self) -> None:
        """As declared. Checks first that this server and this database will do.

        Raises:
            DatabaseAway, DatabaseRefused, DatabaseUnfit: they will not.
        """
        self._is_starting = True
        try:
            with self.holding("schema", exclusive=True), self._link() as link:
                self._check_fitness(link)
                self._upgrade(link)
        finally:
            self._is_starting = False

    def _upgrade(self, link: _Link) -> None:
        link.run(b"BEGIN")
        try:
            upgrade_schema(link.conn)
            link.commit()
        except Exception as exc:  # noqa: BLE001 -- raised again, as what it means
            link.roll_back()
            self._raise(exc)

    def _check_fitness(self, link: _Link) -> None:
        version = link.raw.info.server_version
        if version < LEAST_VERSION * 10_000:
            why = f"it is PostgreSQL {version // 10_000}"
            raise DatabaseUnfit(self.where, why, f"PostgreSQL {LEAST_VERSION} or later is needed.")
        row = link.run(b"SELECT getdatabaseencoding(), pg_is_in_recovery()")
        encoding = row.get_value(0, 0).decode()
        if encoding != "UTF8":
            mend = "Make one that does: createdb --encoding=UTF8 --template=template0 NAME"
            raise DatabaseUnfit(self.where, f"it keeps texts as {encoding}, not as UTF8", mend)
        if row.get_value(0, 1) == b"t":
            raise DatabaseUnfit(
                self.where, "it is a standby, which takes no writes", "Give the address of the primary."
            )

    # ---- reading and writing

    def _take(self, *, beyond: bool = False) -> _Link:
        """A connection from the pool for this thread. If it has one already it goes beyond the bound."""
        depth = getattr(self._local, "depth", 0)
        link = self._pool.take(beyond=beyond or depth > 0)
        self._local.depth = depth + 1
        return link

    def _give(self, link: _Link) -> None:
        self._local.depth -= 1
        link.roll_back()
        self._pool.give(link)

    @contextmanager
    def _link(self, *, beyond: bool = False) -> Iterator[_Link]:
        """A connection for the block."""
        link = self._take(beyond=beyond)
        try:
            yield link
        finally:
            self._give(link)

    def _begin_read(self) -> Tx:
        link = self._take()
        try:
            link.run(_READ)
        except BaseException:
            self._give(link)
            raise
        tx = Tx(link.conn, link.raw, "postgresql", writable=False)
        tx.held = link
        return tx

    def _end_read(self, tx: Tx) -> None:
        self._give(tx.held)

    def _meant(self, exc: Exception) -> Exception:
        return self._refusal_for_anyone(exc) or exc

    def _write(self, act: Callable[..., T], args: Any, kwargs: Any) -> tuple[Tx | None, T]:
        local = self._local
        reads, local.tx = getattr(local, "tx", None), None  # an act's own reads are not the caller's snapshot
        local.writes = True

        def run(tx: Tx) -> T:
            return act(tx, *args, **kwargs)

        try:
            if getattr(act, "is_row_locked", False):
                with self._link() as link:
                    return self._until_it_is_kept(link, _WRITE_BESIDE_OTHERS, run)
            with self._in_turn() as link:
                return self._until_it_is_kept(link, _WRITE, ends_hold(run) if getattr(act, "ends_hold", False) else run)
        finally:
            local.writes, local.tx = False, reads

    @contextmanager
    def _in_turn(self) -> Iterator[_Link]:
        """A connection that holds the turn of the whole site. Of each process one thread alone waits for it there."""
        if not self._turn.acquire(timeout=LOCK_TIMEOUT_S):
            raise DatabaseBusy(f"other changes were not done within {LOCK_TIMEOUT_S} s")
        try:
            # Beyond the bound: those who have the others may be readers that wait for their turn to write.
            with self._link(beyond=True) as link:
                try:
                    link.run(_TAKE_TURN)
                    yield link
                    if link.raw.pgconn.transaction_status == TransactionStatus.IDLE:
                        link.run(_END_TURN)
                except psycopg.Error as exc:
                    link.close()
                    self._raise(exc)
                except BaseException:
                    self._end_turn(link)
                    raise
        finally:
            self._turn.release()

    def _end_turn(self, link: _Link) -> None:
        """After an act that was refused."""
        link.roll_back()
        try:
            if not link.raw.closed:
                link.run(_END_TURN)
        except psycopg.Error:
            link.close()  # and with it the turn

    def _until_it_is_kept(self, link: _Link, begin: bytes, act: Callable[[Tx], T]) -> tuple[Tx, T]:
        for attempt in range(1, TRIES + 1):
            alone = begin is _WRITE and attempt > TRIES_BESIDE_OTHERS
            try:
                if alone:
                    link.run(_KEEP_OTHERS_OUT)
                return self._write_once(link, begin, act)
            except (DBAPIError, psycopg.Error) as exc:
                link.roll_back()
                state, last = _sqlstate(exc), attempt == TRIES
                # Who looked first, and still meets a row that stands while nobody else writes, puts it twice by itself.
                if state not in _MET_ANOTHER or (state == UniqueViolation.sqlstate and (alone or last)):
                    self._raise(exc)
                if last:
                    raise DatabaseBusy("too many wrote the same at once") from exc
            except BaseException:
                link.roll_back()
                raise
            finally:
                if alone and not link.raw.closed:
                    with suppress(psycopg.Error):
                        link.run(_LET_OTHERS_IN)
            metrics.RETRIES.add()
            time.sleep(random.uniform(0, min(0.1, 0.001 * 2**attempt)))  # noqa: S311 -- keeps two from meeting again
        raise AssertionError("unreachable")

    def _write_once(self, link: _Link, begin: bytes, act: Callable[[Tx], T]) -> tuple[Tx, T]:
        if link.run(begin).get_value(0, 0) != b"0":
            refuse_or_thaw_postgresql(link.raw, ends_hold=getattr(act, "ends_hold", False))
        tx = Tx(link.conn, link.raw, "postgresql", writable=True)
        value = act(tx)
        tx.run_at_end()
        try:
            link.commit()
        except psycopg.OperationalError as exc:
            if exc.sqlstate is None or link.raw.closed:
                raise DatabaseAway(unsure=True) from exc
            raise
        metrics.BATCH.observe(1)
        return tx, value

    def submit(self, act: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        self._check_writable()
        if self._writers is None:
            with self._start_lock:
                if self._writers is None:
                    self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="db-writer")
        return self._writers.submit(lambda: self.write(act, *args, **kwargs))

    def settle(self) -> None:
        """For a site that has moved to where it is started: writes are refused no more."""
        self._ask(f"BEGIN; {KEEP_WRITERS_OUT}; DROP TABLE IF EXISTS site_move; COMMIT".encode())

    def stand_still(self, statements: str) -> None:
        """Run what makes every later write be refused, once those that are open have ended."""
        self._ask(f"BEGIN; {KEEP_WRITERS_OUT}; {statements}; COMMIT".encode())

    def version(self) -> int:
        return int(self._ask(b"SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").get_value(0, 0))

    def now(self) -> datetime:
        found = self._ask(b"SELECT (extract(epoch from clock_timestamp()) * 1000000)::bigint").get_value(0, 0)
        return _EPOCH + timedelta(microseconds=int(found))

    def clock_offset_s(self) -> float:
        found = []
        for _ in range(3):  # the quickest round trip is the most exact
            before = time.time()
            there = self.now().timestamp()
            after = time.time()
            found.append((after - before, there - (before + after) / 2))
        return min(found)[1]

    def size_bytes(self) -> int:
        return int(self._ask(b"SELECT pg_database_size(current_database())").get_value(0, 0))

    def _ask(self, sql: bytes) -> Any:
        """Outside of any transaction of the caller's."""
        with self._link() as link:
            try:
                return link.run(sql)
            except psycopg.Error as exc:
                self._raise(exc)

    @contextmanager
    def holding(self, name: str, *, exclusive: bool, wait: bool = True) -> Iterator[Held]:
        key = _lock_key(f"held-{name}")
        how, held = "" if exclusive else "_shared", True
        link = self._pool.take(beyond=True)
        self._pool.set_apart(1)
        try:
            # Whoever upgrades the schema may be long about it; nobody else is.
            patience_s = 0 if name == "schema" else HOLDING_TIMEOUT_S
            link.run(f"{_HOLDING} SET lock_timeout = '{patience_s}s'".encode())
            if wait:
                link.run(f"SELECT pg_advisory_lock{how}({key})".encode())
            else:
                held = link.run(f"SELECT pg_try_advisory_lock{how}({key})".encode()).get_value(0, 0) == b"t"
            yield Held(is_held=held, look=lambda: self._require_well(link))
            if held:
                link.run(f"SELECT pg_advisory_unlock{how}({key})".encode())
            link.run(b"RESET idle_session_timeout; " + _SESSION)
        except psycopg.Error as exc:
            link.close()
            self._raise(exc)
        except BaseException:
            link.close()  # and with it the lock
            raise
        finally:
            self._pool.set_apart(-1)
            self._pool.give(link)

    def _require_well(self, link: _Link) -> None:
        try:
            link.run(b"SELECT 1")
        except psycopg.Error as exc:
            self._raise(exc)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._writers is not None:
            self._writers.shutdown(wait=True)
        self._pool.close()
        self._engine.dispose()

    # ---- what the server says, as refusals

    def _raise(self, exc: BaseException) -> NoReturn:
        refusal = self._refusal_for_anyone(exc)
        if refusal is None:
            raise exc
        raise refusal from exc

    def _refusal_for_anyone(self, exc: BaseException) -> HeadwaterError | None:
        """Once the site is open its refusals reach strangers: where the database is, and what it said, is for the log."""
        refusal = self._refusal(exc)
        if self._is_starting or not isinstance(refusal, DatabaseAway | DatabaseRefused):
            return refusal
        _log.warning("database.away %s", refusal.message)
        return DatabaseAway()

    def _refusal(self, exc: BaseException) -> HeadwaterError | None:
        """What a driver's error means to a caller; None when it is no more than an error."""
        found = getattr(exc, "orig", exc)  # SQLAlchemy wraps the driver's own
        if not isinstance(found, psycopg.Error):
            return None
        state, said = found.sqlstate or "", str(found).strip().splitlines() or ["no answer"]
        if isinstance(found, psycopg.DataError) and (state == "22021" or "NUL" in said[0]):
            return TextNotStorable()
        if state == "53100":
            return DatabaseFull()
        if state == "57014":
            return DatabaseBusy(f"a statement took longer than {STATEMENT_TIMEOUT_S} s")
        if state == "55P03":
            return DatabaseBusy("a lock was not to be had in time")
        if state == "53300" or "too many clients" in said[-1] or "remaining connection slots" in said[-1]:
            return DatabaseBusy("the server takes no more connections")
        if state.startswith(("08", "57P")) or state in ("25006", "25P03"):
            return DatabaseAway(f" at {self.where}", _short(said[0]))
        if state == "42P07" and self._is_starting:
            mend = "Name one that is empty: Headwater's database is for its tables alone."
            return DatabaseUnfit(self.where, f"something else is kept there: {_short(said[0])}", mend)
        if state in ("42501", "3F000"):
            return DatabaseRefused(self.where, _short(said[0]), "Give the account the right to create tables there.")
        if state == "" and isinstance(found, psycopg.OperationalError):
            return no_connection(self.where, str(found))
        return None


def no_connection(where: str, said: str) -> HeadwaterError:
    """Libpq tells why a connection failed in words alone."""
    text = " ".join(said.split())
    if "authentication failed" in text or "no password supplied" in text or "pg_hba.conf" in text:
        mend = "Look at the account and the password in HEADWATER_DATABASE_URL."
        return DatabaseRefused(where, _short(_last_fatal(text)), mend)
    if re.search(r'(database|role) "[^"]*" does not exist', text):
        mend = (
            "Make it first (createuser, createdb --encoding=UTF8 --template=template0), or mend HEADWATER_DATABASE_URL."
        )
        return DatabaseRefused(where, _short(_last_fatal(text)), mend)
    return DatabaseAway(f" at {where}", _short(_last_fatal(text)))


def _sqlstate(exc: BaseException) -> str | None:
    found: str | None = getattr(getattr(exc, "orig", exc), "sqlstate", None)
    return found


def _last_fatal(text: str) -> str:
    return text.rpartition("FATAL:")[2] or text


def _short(text: str) -> str:
    return " ".join(text.split())[:200].rstrip(".")
