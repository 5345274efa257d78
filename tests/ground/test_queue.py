"""Jobs: a state machine against a short model, leases, retries."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import integers, sampled_from

from headwater import queue
from headwater.db import Database
from headwater.kernel import utcnow
from headwater.queue import jobs, leases
from tests import growth

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def db(tmp_path: Path):
    database = growth.new_database(tmp_path)
    yield database
    database.close()


def test_jobs_run_in_order_and_leave_no_row(db: Database):
    seen: list[int] = []
    for n in range(5):
        db.write(queue.put, "note", {"n": n})
    runner = queue.Runner(db, {"note": lambda _site, payload: seen.append(payload["n"])}, None)
    assert runner.run_all() == 5
    assert seen == [0, 1, 2, 3, 4]
    assert db.read(queue.count_by_state) == {}


def test_a_failed_job_comes_back_later_and_is_given_up_in_the_end(db: Database):
    db.write(queue.put, "bad", {}, now=START)
    now = START
    for attempt in range(1, jobs.MAX_ATTEMPTS + 1):
        job = db.write(queue.claim, now, ["bad"])
        assert job is not None
        assert job.attempts == attempt
        again = db.write(queue.fail, job, "broken", now)
        assert again is (attempt < jobs.MAX_ATTEMPTS)
        assert db.write(queue.claim, now, ["bad"]) is None
        now += timedelta(seconds=jobs.LONGEST_RETRY_S)
    assert db.read(queue.count_by_state) == {"failed": 1}


def test_a_dead_workers_job_is_taken_over(db: Database):
    db.write(queue.put, "slow", {}, now=START)
    first = db.write(queue.claim, START, ["slow"])
    assert db.write(queue.claim, START + timedelta(seconds=jobs.LEASE_S - 1), ["slow"]) is None
    second = db.write(queue.claim, START + timedelta(seconds=jobs.LEASE_S + 1), ["slow"])
    assert first is not None
    assert second is not None
    assert (second.id, second.attempts) == (first.id, 2)


def test_a_job_that_ends_its_worker_each_time_is_given_up(db: Database):
    db.write(queue.put, "deadly", {}, now=START)
    now = START
    for attempt in range(1, jobs.MAX_ATTEMPTS + 1):
        job = db.write(queue.claim, now, ["deadly"])
        assert job is not None
        assert job.attempts == attempt
        now += timedelta(seconds=jobs.LEASE_S + 1)  # and its worker is gone
    db.write(queue.put, "deadly", {"n": 2}, now=now)
    behind = db.write(queue.claim, now, ["deadly"])
    assert behind is not None
    assert behind.payload == {"n": 2}
    [given_up] = db.read(queue.list_failed)
    assert (given_up.attempts, given_up.at) == (jobs.MAX_ATTEMPTS, now)
    assert "worker ended" in given_up.error
    assert db.write(queue.claim, now, ["deadly"]) is None
    assert db.write(queue.retry_failed, now) == 1
    again = db.write(queue.claim, now, ["deadly"])
    assert again is not None
    assert again.attempts == 1


def test_a_lease_that_is_being_renewed_ends_after_that(monkeypatch):
    """What is given back at the end of the block would else be held once more by a renewal that comes too late."""
    monkeypatch.setattr(leases, "LEASE_S", 0.03)
    renewing, let_go, left = threading.Event(), threading.Event(), threading.Event()
    order: list[str] = []

    def renew() -> None:
        renewing.set()
        let_go.wait(20)
        order.append("renewed")

    def work() -> None:
        with leases.renewing(renew):
            assert renewing.wait(20)
        order.append("given back")
        left.set()

    worker = threading.Thread(target=work)
    worker.start()
    assert renewing.wait(20)
    assert not left.wait(0.2)
    let_go.set()
    worker.join(20)
    assert order[-1] == "given back"


class QueueMachine(RuleBasedStateMachine):
    """At most one waiting job a key; what was put is claimed once; nothing is lost."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.db = growth.new_database(Path(self.folder.name))
        self.now = START
        self.waiting: set[str] = set()
        self.running: dict[int, tuple[str, queue.Job]] = {}

    @rule(key=sampled_from("abc"))
    def put(self, key: str) -> None:
        self.db.write(queue.put, "k", {"key": key}, unique=key, now=self.now)
        self.waiting.add(key)

    @rule()
    def claim(self) -> None:
        self.now += timedelta(seconds=1)
        job = self.db.write(queue.claim, self.now, ["k"])
        assert (job is None) == (not self.waiting)
        if job is not None:
            self.waiting.remove(job.payload["key"])
            self.running[job.id] = (job.payload["key"], job)

    @rule(which=integers(0, 5))
    def finish(self, which: int) -> None:
        if self.running:
            job_id = sorted(self.running)[which % len(self.running)]
            self.db.write(queue.finish, self.running.pop(job_id)[1].id)

    @invariant()
    def counts_agree(self) -> None:
        counts = self.db.read(queue.count_by_state)
        assert counts.get("waiting", 0) == len(self.waiting)
        assert counts.get("running", 0) == len(self.running)

    def teardown(self) -> None:
        self.db.close()
        self.folder.cleanup()


QueueMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestQueueMachine = QueueMachine.TestCase


def test_a_lane_leaves_other_kinds_alone(db: Database):
    db.write(queue.put, "other", {})
    assert queue.Runner(db, {"mine": lambda _site, _payload: None}, None).run_all() == 0
    assert db.read(queue.count_by_state) == {"waiting": 1}


def test_an_error_with_nul_in_it_can_be_kept(db: Database):
    db.write(queue.put, "bad", {})
    job = db.write(queue.claim, utcnow(), ["bad"])
    assert job is not None
    assert db.write(queue.fail, job, "read \0 at the start", utcnow())
