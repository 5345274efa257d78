"""A site on its way from one database or store to another: what both ends say of it, and how its writes are held meanwhile.

While a site moves, its database has one more table, ``site_move`` with one row; no other site has it. Each write transaction
looks whether writes are refused: on SQLite by the file's ``user_version``, on PostgreSQL by whether there is such a table. A
refusal is leased: if the migration dies, writes go on once the lease is over, and the migration finds out before it ends.
docs/decisions/0018-migrate-site.md.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from sqlalchemy import text

from headwater.db.database import Database, Tx, ends_hold
from headwater.kernel import HeadwaterError, Kind

State = Literal["copying", "frozen", "moved", "arriving", "restoring", "behind"]
BEHIND = "behind"  # no move at all: writes are refused until an operator has decided; ``target`` says why

FREEZE_S = 30.0  # writes go on so long after a migration that held them has died
RETRY_AFTER_S = 5

MAKE_TABLE = (
    "CREATE TABLE IF NOT EXISTS site_move (one INTEGER PRIMARY KEY, state TEXT NOT NULL, target TEXT NOT NULL, "
    "to_blobs TEXT, to_database TEXT, frozen_until DOUBLE PRECISION, site TEXT NOT NULL)"
)
# What each write on PostgreSQL asks as it begins; "0" but while its site moves.
IS_MOVING = (
    "SELECT count(*) FROM pg_class WHERE relname = 'site_move' AND relnamespace = current_schema()::regnamespace"
)
POSTGRESQL_NOW = "extract(epoch FROM clock_timestamp())"


class SiteMoving(HeadwaterError):
    code = "site_moving"
    kind = Kind.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__(
            "This site is being moved and takes no changes meanwhile; nothing was changed. Reading goes on; try again in a moment.",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )


class SiteMoved(HeadwaterError):
    """For writers of a server that still runs on the former place, and at the start of another."""

    code = "site_moved"
    kind = Kind.UNAVAILABLE

    def __init__(self, told: str = "") -> None:
        super().__init__(
            f"This site has moved{told}, and nothing is written here any more.", headers={"Retry-After": "60"}
        )


class SiteBehind(SiteMoved):
    """Its database is older than what others have seen of its log."""

    code = "site_behind"
    kind = Kind.UNAVAILABLE

    def __init__(self, why: str) -> None:
        HeadwaterError.__init__(
            self,
            f"This site takes no changes: {why}. An older database stands here than was served before. Its operator restores the "
            "latest backup, or goes on from here with `headwater log begin-anew`, which everyone will see. Reading goes on.",
            headers={"Retry-After": "3600"},
        )


class SiteHalfMoved(HeadwaterError):
    code = "site_half_moved"
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__(
            "This database holds a site that has not arrived in full: its move from another place has not ended. Run the "
            "same `headwater migrate-site` command again, which goes on where it was, or start the site at its former place."
        )


class SiteHalfRestored(HeadwaterError):
    code = "site_half_restored"
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__(
            "This place holds a site that has not been restored in full. Run the same `headwater restore` command again, "
            "which goes on where it was."
        )


class BrokenOff(HeadwaterError):
    """A database said no, or nothing any more, while rows were copied."""

    code = "move_broken_off"
    kind = Kind.UNAVAILABLE

    def __init__(self, said: str) -> None:
        super().__init__(
            f"It was broken off: {said}. Mend that, and run the same command again: it goes on where it was."
        )


@contextmanager
def telling() -> Iterator[None]:
    """What the databases complain of, in one sentence.

    Raises:
        BrokenOff
    """
    try:
        yield
    except sqlite3.Error as exc:
        raise BrokenOff(f"the database in the folder says {exc}") from exc
    except Exception as exc:
        if not type(exc).__module__.startswith("psycopg"):
            raise
        raise BrokenOff(f"PostgreSQL says {' '.join(str(exc).split())[:300].rstrip('.')}") from exc


def without_password(url: str) -> str:
    parts = urlsplit(url)
    where = f"{parts.netloc.rpartition('@')[2]}{parts.path}"
    return f"postgresql://{where}" + (f"?{parts.query}" if parts.query and "password" not in parts.query else "")


@dataclass(frozen=True)
class Move:
    """The row. ``target`` is where to, as people are told: it never holds a password."""

    state: State
    target: str
    site: str
    to_blobs: str | None  # None: objects stay where they are
    to_database: str | None  # likewise; as people are told
    frozen_until: float | None  # by the database's clock


def find_move(tx: Tx) -> Move | None:
    """What this database says of a move of its site; None when there is none."""
    there = (
        "SELECT count(*) FROM sqlite_master WHERE name = 'site_move'"
        if tx.dialect == "sqlite"
        else "SELECT count(*) FROM pg_class WHERE oid = to_regclass('site_move')"
    )
    if not tx.execute(text(there)).scalar():
        return None
    row = tx.execute(text("SELECT state, target, site, to_blobs, to_database, frozen_until FROM site_move")).first()
    return None if row is None else Move(*row)


def refuse_or_thaw(raw: sqlite3.Connection, *, ends_hold: bool = False) -> None:
    """For a write transaction that has met a ``user_version``: go on only if whoever held the writes has died.

    ``ends_hold``: or if the act is the one that an operator has decided on (``end_hold``).

    Raises:
        SiteMoving, SiteMoved
    """
    row = raw.execute("SELECT state, frozen_until, target FROM site_move").fetchone()
    if row is not None and row[0] == "moved":
        raise SiteMoved
    if row is not None and row[0] == BEHIND:
        if ends_hold:
            return
        raise SiteBehind(row[2])
    if row is not None and row[0] == "frozen" and row[1] > time.time():
        raise SiteMoving
    if row is not None:
        raw.execute("UPDATE site_move SET state = 'copying', frozen_until = NULL")
    raw.execute("PRAGMA user_version = 0")


def refuse_or_thaw_postgresql(raw: Any, *, ends_hold: bool = False) -> None:
    """As ``refuse_or_thaw``, for a write transaction that has found the table; ``raw`` is its connection.

    Raises:
        SiteMoving, SiteMoved
    """
    over = f"state = 'frozen' AND frozen_until <= {POSTGRESQL_NOW}"
    raw.execute(f"UPDATE site_move SET state = 'copying', frozen_until = NULL WHERE {over}")
    row = raw.execute("SELECT state, target FROM site_move").fetchone()
    if row is not None and row[0] == "moved":
        raise SiteMoved
    if row is not None and row[0] == BEHIND and not ends_hold:
        raise SiteBehind(row[1])
    if row is not None and row[0] == "frozen":
        raise SiteMoving


@contextmanager
def writing_sqlite(path: Path) -> Iterator[sqlite3.Connection]:
    """A write transaction on the file that no refusal stops, in turn with those of the site's own processes."""
    fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    raw = sqlite3.connect(path, timeout=60, isolation_level=None)
    try:
        raw.execute("PRAGMA synchronous=FULL")
        fcntl.flock(fd, fcntl.LOCK_EX)
        raw.execute("BEGIN IMMEDIATE")
        try:
            yield raw
            raw.execute("COMMIT")
        except BaseException:
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            raise
    finally:
        raw.close()
        os.close(fd)


def settle(db: Database) -> None:
    """The site goes on in this very database, whose objects have moved: it is started with them for the first time."""
    if db.dialect == "sqlite":
        from headwater.db.sqlite import SqliteDatabase

        assert isinstance(db, SqliteDatabase)  # noqa: S101
        with writing_sqlite(db.path) as raw:
            raw.execute("DROP TABLE IF EXISTS site_move")
            raw.execute("PRAGMA user_version = 0")
    else:
        from headwater.db.postgresql import PostgresqlDatabase

        assert isinstance(db, PostgresqlDatabase)  # noqa: S101
        db.settle()


_HELD = "one, state, target, site"
# A move that is under way breaks off when it finds the row so; its ``site`` stays, for when writes are taken again.
_OVER_A_MOVE = (
    f"ON CONFLICT (one) DO UPDATE SET state = '{BEHIND}', target = excluded.target, frozen_until = NULL "
    "WHERE site_move.state IN ('copying', 'frozen')"
)


def hold_writes(db: Database, why: str) -> None:
    """Refuse every write of every process from now on, and after each start, with ``SiteBehind``.

    A move that was begun does not keep it from that. Of a site that has moved away, or has not arrived, nothing is written anyway.
    """
    if db.dialect == "sqlite":
        from headwater.db.sqlite import SqliteDatabase

        assert isinstance(db, SqliteDatabase)  # noqa: S101
        with writing_sqlite(db.path) as raw:
            raw.execute(MAKE_TABLE)
            raw.execute(f"INSERT INTO site_move ({_HELD}) VALUES (1, ?, ?, '') {_OVER_A_MOVE}", (BEHIND, why))
            if raw.execute("SELECT state FROM site_move").fetchone()[0] in (BEHIND, "moved"):
                raw.execute("PRAGMA user_version = 1")
    else:
        from headwater.db.postgresql import PostgresqlDatabase

        assert isinstance(db, PostgresqlDatabase)  # noqa: S101
        quoted = why.replace("'", "''").replace("\0", "")
        insertion = f"INSERT INTO site_move ({_HELD}) VALUES (1, '{BEHIND}', '{quoted}', '') {_OVER_A_MOVE}"
        db.stand_still(f"{MAKE_TABLE}; {insertion}")


@ends_hold
def end_hold(tx: Tx) -> None:
    """In an act that says ``ends_hold``: writes that ``hold_writes`` has refused are taken again once it is durable."""
    move = find_move(tx)
    if move is None or move.state != BEHIND:
        return
    if move.site:  # it can be begun again, or given up
        tx.execute(text("UPDATE site_move SET state = 'copying', target = 'a place that was not reached'"))
    else:
        tx.execute(text("DELETE FROM site_move"))  # on PostgreSQL others may just look at the table
    if tx.dialect == "sqlite":
        tx.execute(text("PRAGMA user_version = 0"))


def release_writes(db: Database) -> None:
    """Take writes again that ``hold_writes`` has refused."""
    db.write(end_hold)
    forget_hold(db)


def forget_hold(db: Database) -> None:
    """Put the empty table away that a hold which has ended leaves: on PostgreSQL every write would look at it."""
    if db.dialect == "sqlite":
        return
    from headwater.db.postgresql import PostgresqlDatabase

    assert isinstance(db, PostgresqlDatabase)  # noqa: S101
    db.stand_still(
        "DO $$ BEGIN IF to_regclass('site_move') IS NULL THEN RETURN; END IF; "
        "IF NOT EXISTS (SELECT 1 FROM site_move) THEN DROP TABLE site_move; END IF; END $$"
    )
