"""What a site does every so often is done by one host each time, and taken over from a host that died."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from headwater import queue
from headwater.db import Database, open_database
from headwater.queue import leases, periodic
from tests import growth
from tests.servers.postgres import cluster

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def db(tmp_path: Path):
    database = growth.new_database(tmp_path)
    yield database
    database.close()


def test_a_turn_is_one_hosts_until_its_period_is_over(db: Database):
    assert not db.write(periodic.take, "sweep", "a", 3600, START)  # a new site has nothing to sweep
    assert not db.write(periodic.take, "sweep", "b", 3600, START + HOUR / 2)
    now = START + HOUR
    assert db.write(periodic.take, "sweep", "b", 3600, now)
    assert not db.write(periodic.take, "sweep", "a", 3600, now)
    db.write(periodic.end, "sweep", "b", now + HOUR)
    assert not db.write(periodic.take, "sweep", "a", 3600, now + HOUR / 2)
    assert db.write(periodic.take, "sweep", "a", 3600, now + HOUR)


def test_a_dead_hosts_turn_is_taken_over_and_its_end_is_not_believed(db: Database):
    db.write(periodic.take, "sweep", "a", 3600, START)
    now = START + HOUR
    assert db.write(periodic.take, "sweep", "a", 3600, now)
    db.write(periodic.hold, "sweep", "a", now + timedelta(seconds=10))
    late = now + timedelta(seconds=10 + leases.LEASE_S)
    assert not db.write(periodic.take, "sweep", "b", 3600, late - timedelta(seconds=1))
    assert db.write(periodic.take, "sweep", "b", 3600, late)
    db.write(periodic.end, "sweep", "a", late + HOUR)  # it was held up, not dead
    db.write(periodic.hold, "sweep", "a", late)
    assert db.write(periodic.take, "sweep", "c", 3600, late + timedelta(seconds=leases.LEASE_S))


def test_an_act_that_fails_comes_again_after_its_period(db: Database):
    db.write(periodic.take, "sweep", "before", 0, db.now() - HOUR)
    turns = queue.Turns(db)
    assert turns.due(["sweep", "other"]) == ["sweep", "other"]

    def fail() -> None:
        raise OSError("no such disk")

    with pytest.raises(OSError, match="no such disk"):
        turns.run("sweep", 3600, fail)
    assert turns.due(["sweep"]) == []
    assert not turns.run("sweep", 3600, fail)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_of_many_hosts_exactly_one_begins(tmp_path: Path, kind: str):
    url = None
    if kind == "postgresql":
        cluster().sql("drop database if exists turns")
        cluster().sql("create database turns")
        url = cluster().url_of("turns")
    hosts = [open_database(tmp_path, url) for _ in range(4)]
    hosts[0].ensure_schema()
    hosts[0].write(periodic.take, "sweep", "before", 0, hosts[0].now() - HOUR)
    barrier, done = threading.Barrier(4), []

    def host(own: Database) -> None:
        turns = queue.Turns(own)
        for _ in range(5):
            barrier.wait(30)
            turns.run("sweep", 3600, lambda: done.append(turns.holder))
            barrier.wait(30)
            if own is hosts[0]:  # the period is over
                own.write(periodic.end, "sweep", done[-1], own.now() - HOUR)

    threads = [threading.Thread(target=host, args=(own,)) for own in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for own in hosts:
        own.close()
    assert len(done) == 5


def test_a_worker_that_was_held_up_ends_nothing_of_its_successors(db: Database):
    db.write(queue.put, "slow", {}, now=START)
    first = db.write(queue.claim, START, ["slow"])
    late = START + timedelta(seconds=leases.LEASE_S + 1)
    second = db.write(queue.claim, late, ["slow"])
    assert first is not None
    assert second is not None
    db.write(queue.finish, first.id, first.attempts)
    db.write(queue.renew, first, late + timedelta(days=1))
    assert db.write(queue.fail, first, "cut off", late)
    assert db.read(queue.count_by_state) == {"running": 1}
    assert db.write(queue.claim, late + timedelta(seconds=leases.LEASE_S + 1), ["slow"]) is not None


def test_the_server_is_asked_to_notice_a_host_that_lost_its_power(tmp_path: Path):
    db = open_database(tmp_path, cluster().tcp_url_of("postgres"))
    try:
        with db.reading() as tx:
            names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
            idle, interval, count = (int(tx.execute(text(f"show {name}")).scalar()) for name in names)
        assert idle + interval * count <= 30
    finally:
        db.close()
