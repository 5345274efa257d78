"""A Ray cluster that does not answer: runs wait, what was begun there is lost in the end, and a wish to end is not forgotten."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from headwater.accounts.service import people
from headwater.assembly import build_site, prepare_data
from headwater.compute.dispatching import Dispatcher
from headwater.compute.models import State
from headwater.compute.runners import RunnerAway, ray
from headwater.compute.service import lifecycle
from headwater.compute.service.submitting import submit
from headwater.compute.settings import ComputeSettings
from headwater.compute.store import attempts, runs
from headwater.kernel import SYSTEM, Actor, utcnow
from headwater.web import Site
from tests import growth
from tests.compute import kinds
from tests.compute.client import act
from tests.compute.test_queue import host


@contextmanager
def opened(data: Path) -> Iterator[Site]:
    """A site whose cluster is an address at which nobody listens."""
    kinds.register()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        settings = growth.settings_of(data, ComputeSettings(ray_address=address))
        prepare_data(data, settings)
        found = build_site(data, settings, base_url="http://127.0.0.1:1")
        yield found
        found.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with opened(tmp_path / "data") as found:
        yield found


def test_what_was_begun_there_is_lost_and_what_waits_goes_on_waiting(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site.db.write(people.create_person, SYSTEM, "ada", password_hash=None, now=utcnow())
    ada = Actor(made.id, "ada")
    first, second = (submit(site, ada, text=act(name, "sleep")) for name in ("first", "second"))
    runner = ray.RayRunner(site)
    claimed = site.db.write(lifecycle.claim, host(runner.host_id), ComputeSettings(), site.db.now())
    assert claimed is not None
    assert claimed.run.id == first.id
    with pytest.raises(RunnerAway, match="does not answer"):
        runner.start(claimed)
    monkeypatch.setattr(ray, "SILENT_S", 0.0)
    monkeypatch.setattr(ray, "LOOK_S", 0.0)
    dispatcher = Dispatcher(site, ray.RayRunner(site))
    site.db.write(lifecycle.cancel, ada, first.id)
    dispatcher.step()
    assert dispatcher.host is None, "nothing begins there"
    assert list(dispatcher.held) == [(first.id, 1)], "what was begun is followed all the same"
    assert not dispatcher.held[first.id, 1].is_asked, "nobody has heard it yet"
    assert site.db.read(attempts.find_attempt, first.id, 1).state.is_active
    monkeypatch.setattr(ray, "AWAY_S", 0.0)
    dispatcher.step()
    ended = site.db.read(runs.find_run, first.id)
    assert (ended.state, ended.reason_code) == (State.LOST, "host_lost")
    assert "does not answer" in ended.reason
    waiting = site.db.read(runs.find_run, second.id)
    assert (waiting.state, waiting.n_attempts) == (State.QUEUED, 0)


def test_what_a_cluster_does_not_take_now_waits_and_what_it_refuses_fails(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = site.db.write(people.create_person, SYSTEM, "ada", password_hash=None, now=utcnow())
    first, second = (submit(site, Actor(made.id, "ada"), text=act(name, "sleep")) for name in ("first", "second"))
    nodes = {"data": {"result": {"result": [{"state": "ALIVE", "resources_total": {"CPU": 2.0, "memory": 4e9}}]}}}
    left, calls, status = {"status": "RUNNING"}, [], 503

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append((request.method, request.url.path))
        if request.url.path == "/api/v0/nodes":
            return httpx.Response(200, json=nodes)
        if request.method == "POST" and request.url.path == "/api/jobs/":
            return httpx.Response(status, text="busy")
        return httpx.Response(200, json=left) if left else httpx.Response(404)

    def step() -> None:
        dispatcher._due.clear()
        dispatcher._looked_at = 0.0
        dispatcher._seen = -1
        dispatcher.step()

    runner = ray.RayRunner(site)
    runner._http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://ray")
    dispatcher = Dispatcher(site, runner)
    step()
    assert [path.endswith("/stop") for _, path in calls].count(True) == 1, "one that nobody heard of is ended first"
    left["status"] = "STOPPED"
    step()
    assert calls[-2][0] == "DELETE"
    left.clear()
    step()
    assert dispatcher.host is None
    for each in (first, second):
        waiting = site.db.read(runs.find_run, each.id)
        assert (waiting.state, waiting.n_attempts, waiting.n_losses) == (State.QUEUED, 0, 0)
        assert site.db.read(attempts.find_attempt, each.id, 1) is None
    status = 400
    step()
    assert {site.db.read(runs.find_run, each.id).reason_code for each in (first, second)} == {"cannot_start"}


def test_runs_of_two_sites_never_meet_on_a_cluster(tmp_path: Path) -> None:
    names, keys = [], []
    for each in ("one", "other"):
        with opened(tmp_path / each) as made:
            owner = made.db.write(people.create_person, SYSTEM, "ada", password_hash=None, now=utcnow())
            run = submit(made, Actor(owner.id, "ada"), text=act("same", "sleep"))
            runner = ray.RayRunner(made)
            names.append(runner._name_of(run, 1))
            keys.append(runner._key_of(run))
            assert runner._name_of(run, 1) == names[-1]
            assert runner._name_of(run, 2) != names[-1]
    assert len(set(names)) == len(set(keys)) == 2
