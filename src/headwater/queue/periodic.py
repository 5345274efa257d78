"""What a site does every so often, on one host each time: a row says until when nobody else begins it.

Moments are the database's (``Database.now``), so hosts need not agree about the time. At least once, like jobs: an act
that is held up for longer than its lease may be begun by another host, and must stand that.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from sqlalchemy import select, update

from headwater.db import Database, Tx, insert, row_locked
from headwater.queue.leases import LEASE_S, renewing
from headwater.queue.tables import periodic_run


class Turns:
    """What this process does of what all hosts take turns at. Made after the fork."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.holder = f"{socket.gethostname()[:150]}/{os.getpid()}/{secrets.token_hex(4)}"

    def due(self, names: Collection[str]) -> list[str]:
        """Which of these may be begun: a read, so that idle workers write nothing."""
        held = self._db.read(_list_held, self._db.now())
        return [name for name in names if name not in held]

    def run(self, name: str, every_s: float, act: Callable[[], None]) -> bool:
        """Do it, unless another has begun it or it is not due; returns whether it was done here.

        It is due again ``every_s`` after it began, also when it fails: what ``act`` raises is raised here.
        """
        started = self._db.now()
        if not self._db.write(take, name, self.holder, every_s, started):
            return False
        try:
            with renewing(lambda: self._db.write(hold, name, self.holder, self._db.now())):
                act()
        finally:
            self._db.write(end, name, self.holder, started + timedelta(seconds=every_s))
        return True


def _list_held(tx: Tx, now: datetime) -> set[str]:
    return set(tx.execute(select(periodic_run.c.name).where(periodic_run.c.until > now)).scalars())


@row_locked
def take(tx: Tx, name: str, holder: str, every_s: float, now: datetime) -> bool:
    """Begin it, if it is due. A site has nothing to do in its first period."""
    first = insert(periodic_run).values(
        name=name, holder=holder, started_at=now, until=now + timedelta(seconds=every_s)
    )
    if tx.execute(first.on_conflict_do_nothing(index_elements=["name"]).returning(periodic_run.c.name)).first():
        return False
    due = update(periodic_run).where(periodic_run.c.name == name, periodic_run.c.until <= now)
    taken = tx.execute(due.values(holder=holder, started_at=now, until=now + timedelta(seconds=LEASE_S)))
    return bool(taken.rowcount)


@row_locked
def hold(tx: Tx, name: str, holder: str, now: datetime) -> None:
    """Still at it; says nothing where another has begun it since."""
    _set_until(tx, name, holder, now + timedelta(seconds=LEASE_S))


@row_locked
def end(tx: Tx, name: str, holder: str, due_at: datetime) -> None:
    _set_until(tx, name, holder, due_at)


def _set_until(tx: Tx, name: str, holder: str, until: datetime) -> None:
    mine = update(periodic_run).where(periodic_run.c.name == name, periodic_run.c.holder == holder)
    tx.execute(mine.values(until=until))
