"""A collector whose lock is lost removes nothing more: another, or a backup, may rely on what is still there."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text

from headwater.db import Database, DatabaseAway, Tx, open_database, row_locked
from headwater.hub import collector, files
from headwater.hub.tables.files import blob
from headwater.kernel import Sha256, utcnow
from tests.conftest import wait_for
from tests.servers.postgres import cluster
from tests.storage import Storage, make_storage

NOW = utcnow()
DAY = timedelta(days=1)
DATA = b"weights" * 1000
DIGEST = Sha256(hashlib.sha256(DATA).hexdigest())


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """On PostgreSQL in either mode: a folder's lock goes with its process alone."""
    cluster().sql("create database lost_lock")
    db = open_database(Path(), cluster().url_of("lost_lock"))
    db.ensure_schema()
    made = make_storage(tmp_path / "data")
    made.site.db.close()
    yield Storage(dataclasses.replace(made.site, db=db))
    db.close()


def test_a_collector_without_its_lock_removes_nothing(storage: Storage) -> None:
    db, ada, repo = storage.site.db, storage.person("ada"), storage.repo("ada", "m")
    files.store_plain(storage.site, ada, repo, DATA)
    for day in range(10):
        assert collector.collect(storage.site, now=NOW + day * DAY).blobs_removed == 0
    with ThreadPoolExecutor(2) as pool:
        locked, let_go = threading.Event(), threading.Event()
        locking = pool.submit(db.write, lock_all_blobs, locked, let_go)
        assert locked.wait(30)
        running = pool.submit(collector.collect, storage.site, now=NOW + 10 * DAY)
        wait_for(lambda: waits_for_rows(db), what="a collector that waits for the rows it would doom")
        assert cluster().sql(END_LOCKS, "lost_lock") == [(True,)]
        wait_for(lambda: cluster().sql(LOCKS, "lost_lock") == [(0,)], what="the end of the lock")
        let_go.set()
        locking.result(30)
        with pytest.raises(DatabaseAway):
            running.result(30)
    assert db.read(state_of) == "deleting"
    assert [key for key in storage.files_left() if DIGEST in key]
    # With a lock again, it goes on where it was.
    assert collector.collect(storage.site, now=NOW + 10 * DAY).blobs_removed == 1
    assert not [key for key in storage.files_left() if DIGEST in key]


_NAMED = f"""from pg_locks where locktype = 'advisory' and granted
    and (classid::bigint << 32) | objid::bigint = {int.from_bytes(hashlib.blake2b(b"headwater:held-collector", digest_size=8).digest(), "big", signed=True)}"""
END_LOCKS = f"select pg_terminate_backend(pid) {_NAMED}"
LOCKS = f"select count(*) {_NAMED}"


@row_locked
def lock_all_blobs(tx: Tx, locked: threading.Event, let_go: threading.Event) -> None:
    tx.execute(select(blob).with_for_update()).all()
    locked.set()
    assert let_go.wait(30)


def waits_for_rows(db: Database) -> bool:
    waiting = "select count(*) from pg_locks where not granted and locktype in ('transactionid', 'tuple')"
    return bool(db.read(lambda tx: tx.execute(text(waiting)).scalar()))


def state_of(tx: Tx) -> str:
    found: str = tx.execute(select(blob.c.state).where(blob.c.sha256 == DIGEST)).scalar_one()
    return found
