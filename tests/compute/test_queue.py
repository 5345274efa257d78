"""Who is next, what a host and a quota hold, what becomes of runs whose host is lost: services on a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from headwater import accounts, compute
from headwater.accounts.service import organisations, people
from headwater.cli.open import open_site
from headwater.compute import tables
from headwater.compute.errors import TooManyWaiting
from headwater.compute.models import RunId, State
from headwater.compute.rows import Run, RunHost
from headwater.compute.runners.local import LocalRunner
from headwater.compute.service import lifecycle
from headwater.compute.service.lifecycle import Outcome
from headwater.compute.service.quotas import Quota
from headwater.compute.service.submitting import submit
from headwater.compute.settings import ComputeSettings
from headwater.compute.store import attempts, runs
from headwater.db import Tx, insert
from headwater.kernel import SYSTEM, Actor, utcnow
from headwater.web import Site
from tests import growth
from tests.compute import kinds
from tests.compute.client import act
from tests.conftest import wait_for

GB = 10**9


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    kinds.register()
    growth.write_settings(tmp_path / "data")
    found = open_site(tmp_path / "data")
    for name in ("ada", "bob"):
        found.db.write(people.create_person, SYSTEM, name, password_hash=None, now=utcnow())
    found.db.write(organisations.create_organisation, SYSTEM, "lab", owner="ada", now=utcnow())
    yield found
    found.close()


def actor(site: Site, name: str, *, admin: bool = False) -> Actor:
    return Actor(site.db.read(accounts.get_account, name).id, name, is_site_admin=admin)


def host(name: str = "one", **more: Any) -> RunHost:
    values = {"cpus": 2.0, "memory_bytes": 4 * GB, "gpus": 0, "chip": None, **more}
    return RunHost(id=name, name=name, runner="local", extras={}, seen_at=utcnow(), **values)


def add(
    site: Site, who: str, name: str, *, cpus: float = 1.0, owner: str = "", priority: str = "normal", **own: Any
) -> Run:
    recipe = act(name, "sleep", **own).replace("cpus: 0.5", f"cpus: {cpus}")
    if owner:
        recipe += f"outputs: {{model: {{repo: {owner}/{name}}}}}\n"
    return submit(site, actor(site, who, admin=priority == "high"), text=recipe, priority=priority)


def next_of(
    site: Site, where: RunHost | None = None, settings: ComputeSettings | None = None, later_s: float = 0
) -> str:
    """The name of the run that begins now; "" if none does."""
    now = site.db.now() + timedelta(seconds=later_s)
    claimed = site.db.write(lifecycle.claim, where or host(), settings or ComputeSettings(), now)
    return "" if claimed is None else claimed.run.name


def end(site: Site, run_id: RunId, state: State = State.SUCCEEDED, code: str = "") -> Run | None:
    number = site.db.read(lambda tx: runs.find_run(tx, run_id)).n_attempts
    return site.db.write(lifecycle.end_attempt, run_id, number, Outcome(state, code, code), utcnow())


def test_by_priority_then_whose_owner_uses_least_then_by_time(site: Site) -> None:
    for who, name, priority in (
        ("ada", "a1", "normal"),
        ("ada", "a2", "normal"),
        ("ada", "a3", "low"),
        ("bob", "b1", "normal"),
        ("ada", "a4", "high"),
    ):
        add(site, who, name, cpus=0.5, priority=priority)
    wide = host(cpus=8.0)
    # The high one first, though it came last; then bob, who uses nothing yet.
    assert [next_of(site, wide) for _ in range(6)] == ["a4", "b1", "a1", "a2", "a3", ""]


def test_a_host_holds_what_it_has(site: Site) -> None:
    for name, cpus in (("big", 1.5), ("next", 1.0), ("small", 0.5), ("huge", 64.0)):
        add(site, "ada", name, cpus=cpus)
    assert [next_of(site) for _ in range(3)] == ["big", "small", ""], "a smaller one goes where the next does not fit"
    assert next_of(site, host("two")) == "next"
    assert next_of(site, host("three", cpus=128.0)) == "huge"


def test_what_waits_too_long_is_not_overtaken(site: Site) -> None:
    add(site, "ada", "first", cpus=1.0)
    add(site, "ada", "wide", cpus=2.0)
    add(site, "ada", "small", cpus=0.5)
    assert next_of(site) == "first"
    assert next_of(site, later_s=lifecycle.PATIENCE_S + 1) == "", "what becomes free is for the wide one"
    assert next_of(site) == "small"


def test_an_account_holds_its_quota_and_no_more(site: Site) -> None:
    for n in (1, 2, 3):
        add(site, "ada", f"lab{n}", cpus=0.5, owner="lab")
        add(site, "bob", f"bob{n}", cpus=0.5)
    wide = host(cpus=64.0, memory_bytes=64 * GB)
    site.db.write(lifecycle.set_quota, SYSTEM, "lab", Quota(runs=1))
    by_settings = ComputeSettings(account_cpus=1.0)
    began = [next_of(site, wide, by_settings) for _ in range(4)]
    assert sorted(filter(None, began)) == ["bob1", "bob2", "lab1"], "one of lab's by its quota, one processor of bob's"
    site.db.write(lifecycle.set_quota, SYSTEM, "lab", Quota())
    assert next_of(site, wide, by_settings) == "lab2"
    with pytest.raises(accounts.NotAllowed):
        site.db.write(lifecycle.set_quota, actor(site, "bob"), "bob", Quota(runs=9))


def test_gpus_and_chips(site: Site) -> None:
    gpu = act("gpu", "sleep", resources="gpus: 2, chip: npu-910")
    submit(site, actor(site, "ada"), text=gpu)
    assert next_of(site, host(gpus=8, chip="other")) == ""
    assert next_of(site, host(gpus=1, chip="npu-910")) == ""
    assert next_of(site, host(gpus=2, chip="npu-910")) == "gpu"
    with pytest.raises(compute.BadRecipe, match=r"resources\.gpus"):
        submit(site, actor(site, "ada"), text=act("none", "sleep", resources="chip: npu-910"))


def test_a_lost_host_loses_its_runs_which_are_begun_again_elsewhere(site: Site) -> None:
    ended: list[tuple[int, str]] = []
    compute.on_end("act", lambda tx, run: ended.append((run.id, run.state.value)))
    run = add(site, "ada", "moved")
    assert next_of(site, host("one")) == "moved"
    soon = site.db.now() + timedelta(seconds=lifecycle.LEASE_S - 1)
    assert site.db.write(lifecycle.lose_expired, soon, but_of="two") == []
    later = site.db.now() + timedelta(seconds=lifecycle.LEASE_S + 1)
    assert site.db.write(lifecycle.lose_expired, later, but_of="one") == [], "a host knows better about its own"
    for loss in range(1, lifecycle.LOSSES + 2):
        later = site.db.now() + timedelta(seconds=1000 * loss)
        assert site.db.write(lifecycle.lose_expired, later, but_of="two") == [run.id]
        found = site.db.read(lambda tx: runs.find_run(tx, run.id))
        assert found is not None
        assert found.n_losses == loss
        if loss <= lifecycle.LOSSES:
            assert found.state is State.QUEUED
            assert next_of(site, host(f"host{loss}"), later_s=1000 * loss + 1) == "moved"
            # The first host comes back: what it holds is over for the site.
            assert site.db.write(lifecycle.renew, [(run.id, loss)], site.db.now()) == [(run.id, loss)]
    assert (found.state, found.reason_code) == (State.LOST, "host_lost")
    assert ended == [(run.id, "lost")]


def test_failures_are_tried_again_as_often_as_the_recipe_says(site: Site) -> None:
    recipe = act("again", "sleep", retries=2)
    run = submit(site, actor(site, "ada"), text=recipe)
    for attempt in (1, 2, 3):
        assert next_of(site, later_s=1000) == "again", attempt
        found = end(site, run.id, State.FAILED, "exit_code")
        assert found is not None
        assert found.state is (State.QUEUED if attempt < 3 else State.FAILED)
    assert end(site, run.id) is None, "it is over already"
    retried = site.db.write(lifecycle.retry, actor(site, "ada"), run.id, ComputeSettings())
    assert retried.state is State.QUEUED
    assert next_of(site, later_s=1000) == "again"
    assert end(site, run.id, State.FAILED, "time_limit").state is State.FAILED, "more time is not in another try"


def test_who_was_cancelled_is_not_tried_again(site: Site) -> None:
    run = submit(site, actor(site, "ada"), text=act("gone", "sleep", retries=5))
    assert next_of(site) == "gone"
    site.db.write(lifecycle.cancel, actor(site, "ada"), run.id)
    found = end(site, run.id, State.FAILED, "signal")
    assert found is not None
    assert (found.state, found.reason_code) == (State.CANCELLED, "cancelled")


def test_what_a_later_day_left_under_the_same_number_is_not_believed(site: Site) -> None:
    """A site whose database was set back gives numbers again, whose folders are there."""
    run = submit(site, actor(site, "ada"), text=act("again", "sleep"))
    claimed = site.db.write(lifecycle.claim, host(), ComputeSettings(), site.db.now())
    assert claimed is not None
    runner = LocalRunner(site)
    runner.settings = ComputeSettings(interpreters=("act=/bin/true",))
    left = runner.folder / str(run.id) / "attempt-1"
    left.mkdir(parents=True)
    (left / "exit.json").write_text('{"reason": "memory_limit", "code": null, "signal": 9}')
    runner.start(claimed)
    found = wait_for(lambda: runner.find_outcome((run.id, 1)))
    assert (found.state, found.exit_code) == (State.SUCCEEDED, 0)


def test_what_happens_at_the_end_happens_with_it_or_not_at_all(site: Site) -> None:
    run = add(site, "ada", "handled")
    next_of(site)

    def refuse(tx: Tx, ended: Run) -> None:
        if ended.name == "handled":
            raise RuntimeError("not now")

    compute.on_end("*", refuse)
    with pytest.raises(RuntimeError):
        end(site, run.id)
    found = site.db.read(lambda tx: runs.find_run(tx, run.id))
    assert found is not None
    assert found.state is State.STARTING


def test_a_long_queue_of_one_hides_nobody_elses(site: Site) -> None:
    first = add(site, "ada", "first", cpus=0.5)

    def copy(tx: Tx) -> None:
        row = dict(tx.execute(select(tables.run).where(tables.run.c.id == first.id)).one()._mapping)
        del row["id"]
        tx.execute(insert(tables.run), [row] * 5001)

    site.db.write(copy)
    add(site, "bob", "bobs", cpus=0.5)
    by_one = ComputeSettings(account_runs=1)
    assert [next_of(site, settings=by_one) for _ in range(3)] == ["first", "bobs", ""]
    with pytest.raises(TooManyWaiting, match="1000 runs of this owner"):
        add(site, "ada", "more")
    with pytest.raises(TooManyWaiting):
        add(site, "ada", "more", owner="lab")
    ended = site.db.write(lifecycle.cancel, actor(site, "ada"), first.id + 1)
    with pytest.raises(TooManyWaiting):
        site.db.write(lifecycle.retry, actor(site, "ada"), ended.id, ComputeSettings())


def test_what_no_quota_could_hold_is_told_and_nothing_is_asked_for_by_halves(site: Site) -> None:
    site.db.write(lifecycle.set_quota, SYSTEM, "ada", Quota(cpus=1.0, memory_bytes=GB // 4))
    site.db.write(attempts.save_host, host(cpus=0.5, memory_bytes=GB // 8))
    with pytest.raises(compute.BadRecipe) as found:
        add(site, "ada", "large", cpus=2.0)
    assert [each.where for each in found.value.problems] == ["resources.cpus", "resources.memory_gb"] * 2
    for nothing in ("cpus: 0.0001", "cpus: 0.5, memory_gb: 1.0e-10"):
        text = act("nothing", "sleep").replace("cpus: 0.5, memory_gb: 0.5", nothing)
        with pytest.raises(compute.BadRecipe, match=r"0\.05"):
            submit(site, actor(site, "bob"), text=text)


def test_how_long_it_took_is_of_its_last_attempt(site: Site) -> None:
    run = add(site, "ada", "again")
    next_of(site)
    end(site, run.id, State.FAILED, "failed")
    again = site.db.write(lifecycle.retry, actor(site, "ada"), run.id, ComputeSettings())
    assert again.started_at is None
    assert next_of(site, later_s=50) == "again"
    begun = site.db.read(runs.find_run, run.id)
    assert begun.started_at == site.db.read(attempts.find_attempt, run.id, 2).started_at
