"""PostgreSQL alone: what goes wrong with a server, and who may go beside whom. The promises of both are in test_database."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from headwater import queue
from headwater.db import (
    Database,
    DatabaseAway,
    DatabaseBusy,
    DatabaseRefused,
    DatabaseUnfit,
    TextNotStorable,
    Tx,
    metrics,
    open_database,
    postgresql,
    row_locked,
)
from headwater.hub.checking import scrubbing
from headwater.kernel import utcnow
from tests.conftest import LiveApp, clean_env, wait_for
from tests.servers.postgres import Cluster, cluster

_number = itertools.count(1)


@pytest.fixture(scope="module")
def template() -> str:
    cluster().sql("create database ground")
    made = open_database(Path(), cluster().url_of("ground"))
    made.ensure_schema()
    made.close()
    return "ground"


@pytest.fixture
def name(template: str) -> str:
    found = f"ground_{next(_number)}"
    cluster().sql(f"create database {found} template {template}")
    return found


@pytest.fixture
def db(name: str) -> Iterator[Database]:
    database = open_database(Path(), cluster().url_of(name), connections=4)
    yield database
    database.close()


def put(tx: Tx, key: str, value: str = "1") -> None:
    tx.execute(text("insert into site_setting values (:k, :v)"), {"k": key, "v": value})


def count(tx: Tx) -> int:
    return tx.execute(text("select count(*) from site_setting")).scalar()


# ---- at the start


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        (lambda: cluster().tcp_url_of("ground", password="wrong"), "database_refused", "password"),
        (lambda: cluster().tcp_url_of("ground", account="nobody"), "database_refused", "account"),
        (lambda: cluster().url_of("no_such"), "database_refused", "createdb"),
        (lambda: "postgresql://headwater@127.0.0.1:1/site", "database_away", "127.0.0.1:1/site"),
        (lambda: "postgresql://headwater@no-such-host.invalid/site", "database_away", "no-such-host.invalid"),
        (lambda: "mysql://headwater@localhost/site", "bad_configuration", "postgresql://"),
    ],
)
def test_what_is_wrong_with_the_address_is_told_at_the_start(template, tmp_path, url, code, words):
    done = subprocess.run(
        [sys.executable, "-m", "headwater", "up", f"--data={tmp_path}", "--port=0", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=clean_env({"HEADWATER_DATABASE_URL": url()}),
        timeout=60,
    )
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert code in said
    assert words in said
    assert "Traceback" not in said
    assert "wrong" not in said  # no password is ever repeated


def test_a_database_that_keeps_texts_otherwise_is_refused(template):
    cluster().sql("create database latin encoding 'LATIN1' locale 'C' template template0")
    made = open_database(Path(), cluster().url_of("latin"))
    with pytest.raises(DatabaseUnfit, match="LATIN1"):
        made.ensure_schema()
    made.close()


def test_an_account_that_may_make_no_tables_is_refused(template):
    cluster().sql("create role guest login")
    cluster().sql("create database locked")
    cluster().sql("revoke all on schema public from public", "locked")
    made = open_database(Path(), cluster().url_of("locked").replace("headwater@", "guest@"))
    with pytest.raises(DatabaseRefused, match="right to create tables"):
        made.ensure_schema()
    made.close()


def test_two_hosts_make_the_schema_at_once(template):
    cluster().sql("create database fresh")
    hosts = [open_database(Path(), cluster().url_of("fresh")) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda host: host.ensure_schema(), hosts))
    assert hosts[0].read(lambda tx: tx.execute(text("select count(*) from schema_reach")).scalar()) == 1
    for host in hosts:
        host.close()


# ---- while it runs


def test_a_text_with_nul_is_not_looked_for_either(db):
    with pytest.raises(TextNotStorable):
        db.read(lambda tx: tx.execute(text("select 1 from site_setting where key = :k"), {"k": "\0"}).all())


def test_an_act_that_swallowed_an_error_keeps_nothing(db):
    def act(tx: Tx) -> None:
        put(tx, "k")
        with contextlib.suppress(Exception):
            put(tx, "k")

    with pytest.raises(RuntimeError, match="nothing was kept"):
        db.write(act)
    assert db.read(count) == 0


def test_every_connection_in_use_is_said_in_time(db, monkeypatch):
    monkeypatch.setattr(postgresql, "POOL_WAIT_S", 0.2)
    let_go, inside = threading.Event(), threading.Semaphore(0)

    def hold() -> None:
        with db.reading() as tx:
            count(tx)
            inside.release()
            let_go.wait(30)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(hold)
        for _ in range(4):
            assert inside.acquire(timeout=20)
        with pytest.raises(DatabaseBusy, match="all 4 connections") as refused:
            db.read(count)
        assert refused.value.headers["Retry-After"]
        db.write(put, "a write takes its turn beyond the bound")
        let_go.set()
    assert db.read(count) == 1


def test_readers_that_write_do_not_lock_the_pool(db):
    def read_and_write(n: int) -> None:
        with db.reading() as tx:
            count(tx)
            db.write(put, f"k{n}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(read_and_write, range(64)))
    assert db.read(count) == 64


def test_a_row_locked_act_waits_for_no_turn(db):
    inside, let_go = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        put(tx, "slow")
        inside.set()
        assert let_go.wait(20)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(db.write, slow)
        assert inside.wait(20)
        db.write(row_locked(lambda tx: put(tx, "quick")))
        assert db.read(count) == 1
        let_go.set()
        running.result()
    assert db.read(count) == 2


def test_an_act_is_run_again_when_a_row_changed_under_it(db):
    db.write(put, "n", "0")
    seen: list[int] = []
    retries = metrics.RETRIES.total()

    def add(tx: Tx) -> int:
        found = int(tx.execute(text("select value from site_setting where key = 'n'")).scalar())
        if not seen:
            other = threading.Thread(target=db.write, args=(bump,))
            other.start()
            other.join(20)
        seen.append(found)
        tx.execute(text("update site_setting set value = :v where key = 'n'"), {"v": str(found + 1)})
        return found + 1

    @row_locked
    def bump(tx: Tx) -> None:
        tx.execute(text("update site_setting set value = '10' where key = 'n'"))

    assert db.write(add) == 11
    assert seen == [0, 10]
    assert metrics.RETRIES.total() == retries + 1


def fail_it(tx: Tx, job: queue.Job) -> object:
    return queue.fail(tx, job, "broken", utcnow())


def try_it_again(tx: Tx, _: queue.Job) -> object:
    return queue.retry_failed(tx, utcnow())


@pytest.mark.parametrize("act", [fail_it, try_it_again])
def test_a_job_comes_back_beside_a_commit_that_puts_the_same(db, act):
    """Neither sees the other's row when it looks; the unique index keeps the second out, which then looks again."""
    db.write(queue.put, "k", {}, unique="one")
    job = db.write(queue.claim, utcnow(), ["k"])
    if act is try_it_again:
        db.write(queue.fail, replace(job, attempts=1), "broken", utcnow())
        db.write(lambda tx: tx.execute(text("update job set state = 'failed'")))
    looked: list[int] = []

    def look_then_act(tx: Tx) -> object:
        looked.append(tx.execute(text("select count(*) from job where state = 'waiting'")).scalar())
        if len(looked) == 1:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(db.write, row_locked(queue_one)).result(20)
        return act(tx, job)

    assert db.write(look_then_act)
    assert looked == [0, 1]
    assert db.read(queue.count_by_state) == {"waiting": 1}


def queue_one(tx: Tx) -> None:
    queue.put(tx, "k", {}, unique="one")


@pytest.mark.parametrize("own", [lambda act: act, row_locked])
def test_a_row_that_stands_already_is_said_after_a_bounded_number_of_tries(db, own):
    db.write(put, "k")
    tries: list[int] = []

    def again(tx: Tx) -> None:
        tries.append(1)
        put(tx, "k")

    with pytest.raises(IntegrityError):
        db.write(own(again))
    assert 1 < len(tries) <= postgresql.TRIES
    assert db.read(count) == 1


def test_an_act_comes_through_however_busy_its_rows_are(db):
    """Others change the row each time before it gets there; after some tries they must wait."""
    db.write(put, "n", "0")
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            db.write(row_locked(lambda tx: tx.execute(text("update site_setting set value = value || 'x'"))))

    def add(tx: Tx) -> None:
        tx.execute(text("select count(*) from site_setting")).scalar()
        time.sleep(0.05)  # stands for an act that is always too slow
        tx.execute(text("update site_setting set value = '0' where key = 'n'"))

    with ThreadPoolExecutor(3) as pool:
        busy = [pool.submit(change) for _ in range(2)]
        for _ in range(3):
            db.write(add)
        stop.set()
        for one in busy:
            one.result()


def test_a_statement_that_takes_too_long_is_broken_off(name, monkeypatch):
    monkeypatch.setattr(postgresql, "_SESSION", b"SET statement_timeout = '100ms'")
    made = open_database(Path(), cluster().url_of(name))
    with pytest.raises(DatabaseBusy, match="took longer"):
        made.read(lambda tx: tx.execute(text("select pg_sleep(20)")).all())
    assert made.read(count) == 0
    made.close()


def test_a_lock_is_one_for_all_processes(db, name):
    other = open_database(Path(), cluster().url_of(name))
    with db.holding("sweep", exclusive=False) as held, other.holding("sweep", exclusive=False, wait=False) as also:
        assert held
        assert also
        with other.holding("sweep", exclusive=True, wait=False) as alone:
            assert not alone
        with other.holding("another", exclusive=True, wait=False) as alone:
            assert alone
    with other.holding("sweep", exclusive=True, wait=False) as alone:
        assert alone
        came: list[bool] = []

        def wait() -> None:
            with db.holding("sweep", exclusive=True) as at_last:
                came.append(bool(at_last))

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not came
    waiting.join(20)
    assert came == [True]
    other.close()


def test_threads_that_hold_named_locks_leave_the_pool_to_others(db, monkeypatch):
    monkeypatch.setattr(postgresql, "POOL_WAIT_S", 5)
    n, all_hold = 12, threading.Barrier(12)

    def hold_and_read(number: int) -> int:
        with db.holding(f"stripe-{number}", exclusive=True):
            all_hold.wait(30)
            found: int = db.read(count)
            all_hold.wait(30)
            return found

    with ThreadPoolExecutor(n) as pool:
        assert list(pool.map(hold_and_read, range(n))) == [0] * n
    assert db.read(count) == 0


def test_who_waits_for_a_named_lock_is_told_in_time(db, monkeypatch):
    monkeypatch.setattr(postgresql, "HOLDING_TIMEOUT_S", 0.2)
    with ThreadPoolExecutor(1) as pool, db.holding("sweep", exclusive=True):

        def wait() -> None:
            with db.holding("sweep", exclusive=False):
                raise AssertionError("held by two")

        with pytest.raises(DatabaseBusy, match="not to be had in time"):
            pool.submit(wait).result(20)
    with db.holding("sweep", exclusive=True, wait=False) as held:
        assert held


def test_who_has_lost_a_named_lock_is_told_when_asking(db, name):
    other = open_database(Path(), cluster().url_of(name))
    end = "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted and database = (select oid from pg_database where datname = current_database())"

    def hold() -> None:
        with db.holding("sweep", exclusive=True) as held:
            held.check()
            assert cluster().sql(end, name) == [(True,)]
            wait_for(lambda: can_hold(other), what="the lock that nobody has any more")
            with pytest.raises(DatabaseAway):
                held.check()
            held.check()

    with pytest.raises(DatabaseAway):
        hold()
    assert can_hold(db)
    with other.holding("sweep", exclusive=True), db.holding("sweep", exclusive=True, wait=False) as held:
        assert not held
        with pytest.raises(RuntimeError, match="not held"):
            held.check()
    other.close()


def can_hold(db: Database) -> bool:
    with db.holding("sweep", exclusive=True, wait=False) as held:
        return bool(held)


def test_a_named_lock_outlives_the_servers_patience_with_idle_sessions(name):
    cluster().sql(f"alter database {name} set idle_session_timeout = '50ms'")
    db = open_database(Path(), cluster().url_of(name))
    with db.holding("sweep", exclusive=True) as held:
        cluster().sql("select pg_sleep(0.3)")  # in a database that has more patience
        held.check()
    db.close()


def test_a_job_put_again_is_not_begun_before_what_it_is_for_is_kept(db):
    """The waiting job is locked by whoever puts it again: a runner that began it meanwhile would miss their work."""
    db.write(queue.put, "k", {}, unique="one")
    inside, let_go = threading.Event(), threading.Event()

    def slow(tx: Tx) -> None:
        queue.put(tx, "k", {}, unique="one")
        inside.set()
        assert let_go.wait(20)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(db.write, slow)
        assert inside.wait(20)
        assert db.read(queue.find_due, utcnow(), ["k"])
        assert db.write(queue.claim, utcnow(), ["k"]) is None
        let_go.set()
        running.result()
    job = db.write(queue.claim, utcnow(), ["k"])
    assert job is not None
    db.write(queue.put, "k", {}, unique="one")
    assert db.read(queue.count_by_state) == {"running": 1, "waiting": 1}


def test_every_job_is_claimed_once_by_many(db):
    for n in range(60):
        db.write(queue.put, "k", {"n": n})
    seen: list[int] = []

    def run() -> None:
        while (job := db.write(queue.claim, utcnow(), ["k"])) is not None:
            seen.append(job.payload["n"])
            db.write(queue.finish, job.id)

    with ThreadPoolExecutor(4) as pool:
        for running in [pool.submit(run) for _ in range(4)]:
            running.result()
    assert sorted(seen) == list(range(60))
    assert db.read(queue.count_by_state) == {}


# ---- the server goes away


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    folder = Path(
        tempfile.mkdtemp(prefix="headwater-pg-")
    )  # its account must reach it, which pytest's folders do not allow
    folder.chmod(0o755)
    made = Cluster(folder)
    made.sql("create database site")
    yield made
    made.stop()
    shutil.rmtree(folder)


def test_a_restart_of_the_server_is_survived(own_cluster):
    db = open_database(Path(), own_cluster.url_of("site"))
    db.ensure_schema()
    db.write(put, "before")
    own_cluster.stop()
    for act in (lambda: db.read(count), lambda: db.write(put, "lost"), db.version):
        with pytest.raises(DatabaseAway) as refused:
            act()
        assert refused.value.headers["Retry-After"]
    own_cluster.start()
    db.write(put, "after")
    assert db.read(count) == 2

    def broken_off(tx: Tx) -> None:
        put(tx, "half")
        own_cluster.stop(signal.SIGQUIT)
        put(tx, "other half")

    with pytest.raises(DatabaseAway, match="nothing was changed"):
        db.write(broken_off)
    own_cluster.start()
    assert db.read(count) == 2
    db.close()


def test_a_running_site_answers_503_while_the_server_is_away_and_comes_back(own_cluster, tmp_path):
    import httpx

    app = LiveApp(tmp_path / "data", env={"HEADWATER_DATABASE_URL": own_cluster.url_of("site")}, options={"workers": 1})
    try:
        db = open_database(tmp_path, own_cluster.url_of("site"))
        db.write(lambda tx: queue.put(tx, scrubbing.SCRUB, {}, unique="site"))
        db.close()
        wait_for(
            lambda: app.log_lines("job.finished"), what="the queue worker"
        )  # one that only begins may end, and begin again
        with httpx.Client(base_url=app.url, trust_env=False, timeout=30) as client:
            assert client.get("/api/models").status_code == 200
            own_cluster.stop()
            away = client.get("/api/models")
            assert away.status_code == 503
            assert int(away.headers["retry-after"]) > 0
            assert own_cluster.folder.name not in away.text
            own_cluster.start()
            wait_for(lambda: client.get("/api/models").status_code == 200, what="the site's return")
        assert app.process.poll() is None
        assert not app.log_lines("process.died")
    finally:
        assert app.stop() == 0
