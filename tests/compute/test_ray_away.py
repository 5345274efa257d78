"""A Ray cluster that does not answer: runs wait, what was begun there is lost in the end, and a wish to end is not forgotten."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.accounts.service import people
from headwater.assembly import build_site, prepare_data
from headwater.compute.dispatching import Dispatcher
from headwater.compute.models import State
from headwater.compute.runners import StartFailed, ray
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


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """One whose cluster is an address at which nobody listens."""
    kinds.register()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        settings = growth.settings_of(tmp_path / "data", ComputeSettings(ray_address=address))
        prepare_data(tmp_path / "data", settings)
        found = build_site(tmp_path / "data", settings, base_url="http://127.0.0.1:1")
        yield found
        found.close()


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
    with pytest.raises(StartFailed, match="does not answer"):
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
