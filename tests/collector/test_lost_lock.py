"""Whoever has lost a lock does nothing more that relies on it: a collector removes nothing, an upload names nothing."""

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
from headwater.hub.xet import ingest
from headwater.hub.xet import store as xet_store
from headwater.kernel import Sha256, utcnow
from tests.conftest import wait_for
from tests.servers.postgres import cluster
from tests.storage import Storage, make_storage
from tests.xet.making import Body, MadeXorb, grant_of

NOW = utcnow()
DAY = timedelta(days=1)
DATA = b"weights" * 1000
DIGEST = Sha256(hashlib.sha256(DATA).hexdigest())


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """On PostgreSQL in either mode: a folder's lock goes with its process alone."""
    cluster().sql("drop database if exists lost_lock with (force)")
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
        lose_lock("collector")
        let_go.set()
        locking.result(30)
        with pytest.raises(DatabaseAway):
            running.result(30)
    assert db.read(state_of) == "deleting"
    assert [key for key in storage.files_left() if DIGEST in key]
    # With a lock again, it goes on where it was.
    assert collector.collect(storage.site, now=NOW + 10 * DAY).blobs_removed == 1
    assert not [key for key in storage.files_left() if DIGEST in key]


def lose_lock(name: str) -> None:
    """End the connection that holds a named lock, as a fault of the network does."""
    digest = hashlib.blake2b(f"headwater:held-{name}".encode(), digest_size=8).digest()
    named = f"""from pg_locks where locktype = 'advisory' and granted
        and (classid::bigint << 32) | objid::bigint = {int.from_bytes(digest, "big", signed=True)}"""
    assert cluster().sql(f"select pg_terminate_backend(pid) {named}", "lost_lock") == [(True,)]
    wait_for(lambda: cluster().sql(f"select count(*) {named}", "lost_lock") == [(0,)], what="the end of the lock")


@pytest.mark.parametrize("way", ["file", "xorb"])
def test_an_upload_without_its_lock_gets_no_row(storage: Storage, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """A sweep for orphans may run from the moment on at which the lock is gone, and what it looks at has no row yet."""
    db, ada, repo, blobs = storage.site.db, storage.person("ada"), storage.repo("ada", "m"), storage.site.blobs
    if way == "xorb" and blobs.is_remote:
        pytest.skip("every upload has a key of its own there, which no sweep looks at for a day")
    made, lost = MadeXorb([DATA]), []
    exists = blobs.exists

    def lost_at_the_last_look(key: str) -> bool:
        found = exists(key)
        if not lost:
            lost.append(key)
            lose_lock("placing")
        return found

    def send() -> None:
        if way == "file":
            files.store_plain(storage.site, ada, repo, DATA)
        else:
            ingest.accept_xorb(storage.site, grant_of(storage, "ada", repo), made.name, Body(made.body))

    with monkeypatch.context() as patch:
        patch.setattr(blobs, "exists", lost_at_the_last_look)
        with pytest.raises(DatabaseAway):
            send()
    assert lost
    assert db.read(files.blob_sizes, [DIGEST]) == {}
    assert db.read(xet_store.find_xorbs, [made.name]) == {}
    send()
    assert db.read(files.blob_sizes, [DIGEST]) or db.read(xet_store.find_xorbs, [made.name])


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
