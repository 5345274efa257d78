"""What becomes of an engine: it is found again, started again, given up, put to sleep and woken."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APIError

from headwater.db import Tx
from headwater.serving import store
from headwater.serving.models import State
from headwater.serving.processes import Running
from headwater.serving.tables import endpoint_state
from tests.conftest import LiveApp, wait_for
from tests.serving.conftest import Serving, engine_of

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Serving]:
    env = {
        "HEADWATER_SERVING_HEALTH_EVERY_S": "0.3",
        "HEADWATER_SERVING_MOST_FAILURES": "3",  # one is killed, one hangs
        "HEADWATER_SERVING_THREADS": "1",
        "HEADWATER_SERVING_ENGINES": "2",
    }
    app = LiveApp(tmp_path_factory.mktemp("lifecycle") / "data", env=env)
    try:
        app.add_people()
        hf = app.hf("ada")
        hf.create_repo("ada/tiny", private=True)
        hf.upload_folder(repo_id="ada/tiny", folder_path=tiny_folder)
        yield Serving(app)
    finally:
        app.stop()
    app.check_clean()


def ask(site: Serving, model: str = "ada/tiny", **more: Any) -> httpx.Response:
    body = {"model": model, "prompt": "x", "max_tokens": 2} | more
    return site.api("POST", "/v1/completions", json=body)


def another(site: Serving, former: Running) -> Running:
    """The engine that came after ``former``, once it is ready."""

    def look() -> Running | None:
        found = engine_of(site, "ada/tiny")
        is_ready = site.get("ada/tiny")["state"] == "ready"
        return found if found is not None and found != former and is_ready else None

    found: Running = wait_for(look, timeout_s=120, what="another engine being ready")
    return found


def test_an_engine_is_looked_after(site: Serving) -> None:
    """One after another, as each start takes seconds."""
    site.create(model="ada/tiny", engine="transformers")
    assert ask(site).status_code == 200  # a request waits for what is starting
    first = engine_of(site, "ada/tiny")
    assert first is not None

    site.app.process.send_signal(signal.SIGHUP)  # every process of the site is replaced
    wait_for(lambda: site.app.log_lines("server.reloaded"), timeout_s=60)
    wait_for(lambda: site.app.log_lines("engine.adopted"), what="the successor taking it over")
    assert engine_of(site, "ada/tiny") == first
    assert first.is_alive
    assert ask(site).status_code == 200

    stream = site.client().completions.create(model="ada/tiny", prompt="x", max_tokens=3000, stream=True)
    chunks = iter(stream)
    next(chunks)
    os.kill(first.pid, signal.SIGKILL)  # in the middle of an answer
    with pytest.raises(APIError) as broken:
        list(chunks)
    assert broken.value.code == "engine_gone"
    second = another(site, first)
    assert ask(site).status_code == 200

    os.kill(second.pid, signal.SIGSTOP)  # it hangs
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, site)
        third = another(site, second)
        assert asked.result().json()["error"]["code"] == "engine_gone"
    assert not second.is_alive

    with site.app.opened() as opened:
        served = opened.db.read(store.find_by_name, "ada", "tiny")
        assert served is not None
        number = served.endpoint.id
        opened.db.write(store.change, number, {"idle_s": 1}, now=opened.db.now())
    site.wait("ada/tiny", "asleep")
    wait_for(lambda: not third.is_alive, what="the engine's end")
    with site.app.opened() as opened:
        opened.db.write(store.change, number, {"idle_s": 600}, now=opened.db.now())
    assert ask(site).status_code == 200  # it wakes, and is waited for
    fourth = engine_of(site, "ada/tiny")
    assert fourth is not None
    assert fourth != third

    assert site.api("POST", "/api/v1/endpoints/ada/tiny/stop").json()["state"] == "stopped"
    wait_for(lambda: not fourth.is_alive, what="the engine's end")
    refused = ask(site)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "endpoint_stopped")
    log = site.api("GET", "/api/v1/endpoints/ada/tiny/log")
    assert log.status_code == 200


def test_what_cannot_be_loaded_says_why(site: Serving, tiny_folder: Path) -> None:
    hf = site.app.hf("ada")
    hf.create_repo("ada/broken")
    hf.upload_folder(repo_id="ada/broken", folder_path=tiny_folder, ignore_patterns=["config.json"])
    hf.upload_file(
        repo_id="ada/broken", path_in_repo="config.json", path_or_fileobj=b'{"model_type": "nothing_like_it"}'
    )
    site.create(model="ada/broken", engine="transformers")
    found = site.wait("ada/broken", "backing_off")
    assert found["failures"] >= 1
    assert "exit code 1" in found["reason"]
    assert "nothing_like_it" in site.api("GET", "/api/v1/endpoints/ada/broken/log").text
    assert site.api("DELETE", "/api/v1/endpoints/ada/broken").status_code == 204


def test_what_cannot_be_served_is_refused_with_what_to_do(site: Serving) -> None:
    hf = site.app.hf("ada")
    hf.create_repo("ada/empty")
    hf.upload_file(repo_id="ada/empty", path_in_repo="README.md", path_or_fileobj=b"# nothing\n")

    def refusal(**wish: Any) -> tuple[int, str, str]:
        answer = site.api("POST", "/api/v1/endpoints", json=wish)
        return answer.status_code, answer.json()["code"], answer.json()["error"]

    assert refusal(model="ada/empty")[:2] == (422, "model_not_servable")
    assert "convert" in refusal(model="ada/tiny", name="x", engine="llama.cpp")[2]
    many = refusal(model="ada/tiny", engine="warp", slots=0, idle_s=3, name="../x", context_tokens=1)
    assert many[:2] == (400, "bad_endpoint")
    assert all(word in many[2] for word in ("engine", "slots", "idle_s", "'../x'", "context_tokens"))
    assert refusal(model="ada/tiny", colour="red")[:2] == (400, "bad_endpoint")
    assert refusal(model="ada/none")[0] == 404
    hidden = site.api("POST", "/api/v1/endpoints", "eve", json={"model": "ada/tiny"})
    assert hidden.status_code == 404  # it is private
    assert site.api("POST", "/api/v1/endpoints", "eve", json={"model": "ada/empty", "owner": "lab"}).status_code == 403


def test_nobody_keeps_others_out_by_engines_that_never_sleep(site: Serving, tiny_folder: Path) -> None:
    """Two engines run on this host, and ada holds both."""
    hf = site.app.hf("ada")
    hf.create_repo("ada/shared")
    hf.upload_folder(repo_id="ada/shared", folder_path=tiny_folder)
    for name in ("first", "second"):
        site.create(model="ada/shared", name=name, engine="transformers", idle_s=0)
        assert ask(site, f"ada/{name}").status_code == 200
    site.create(model="ada/shared", name="third", engine="transformers", idle_s=0)
    wish = {"model": "ada/shared", "name": "own", "engine": "transformers", "idle_s": 0}
    assert site.api("POST", "/api/v1/endpoints", "bob", json=wish).status_code == 201

    def bobs_state() -> bool:
        return bool(site.api("GET", "/api/v1/endpoints/bob/own", "bob").json()["state"] == "ready")

    wait_for(bobs_state, timeout_s=60, what="the one whose owner has none being ready")
    assert {name: site.get(f"ada/{name}")["state"] for name in ("first", "second", "third")} == {
        "first": "asleep",  # unused for longer than the second
        "second": "ready",
        "third": "waiting",  # its owner's own pin is not taken for it
    }
    assert "2 engines" in site.get("ada/third")["reason"]
    n_adopted, n_reloaded = len(site.app.log_lines("engine.adopted")), len(site.app.log_lines("server.reloaded"))
    site.app.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(site.app.log_lines("server.reloaded")) > n_reloaded, timeout_s=60)
    wait_for(lambda: len(site.app.log_lines("engine.adopted")) == n_adopted + 2, what="the successor taking both over")
    assert site.get("ada/third")["state"] == "waiting", "what is taken over counts before anything is started"
    assert "made room" in site.get("ada/first")["reason"]
    _start_at_once(site, "ada/first", "ada/second", "bob/own")
    wait_for(bobs_state, timeout_s=60, what="the one whose owner has none being ready")
    states = [site.get(f"ada/{name}")["state"] for name in ("first", "second")]
    assert sorted(states, key=lambda one: one == "waiting")[1] == "waiting", (
        "older ones of one owner take one place only"
    )
    for name in ("first", "second", "third"):
        assert site.api("DELETE", f"/api/v1/endpoints/ada/{name}").status_code == 204
    assert site.api("DELETE", "/api/v1/endpoints/bob/own", "bob").status_code == 204


def _start_at_once(site: Serving, *models: str) -> None:
    """All of them wait for an engine, and none has one: as after a start of the host."""
    for name in ("first", "second", "third"):
        assert site.api("POST", f"/api/v1/endpoints/ada/{name}/stop").status_code == 200
    assert site.api("POST", "/api/v1/endpoints/bob/own/stop", "bob").status_code == 200
    wait_for(lambda: all(engine_of(site, one) is None for one in models), what="all engines' ends")
    with site.app.opened() as opened:
        now = opened.db.now()

        def start(tx: Tx) -> None:
            for model in models:
                served = store.find_by_name(tx, *model.split("/"))
                assert served is not None
                store.change(tx, served.endpoint.id, {"wanted": "running"}, now=now)
                store.set_state(tx, served.endpoint.id, State.WAITING, now=now)

        opened.db.write(start)


def test_engines_end_with_the_site(site: Serving) -> None:
    site.create(model="ada/tiny", name="last", engine="transformers")
    site.wait("ada/last", "ready")
    engine = engine_of(site, "ada/last")
    assert engine is not None
    site.app.stop()
    assert not engine.is_alive
    with site.app.opened() as opened, contextlib.suppress(IndexError):
        rows = opened.db.read(lambda tx: tx.execute(endpoint_state.select()).all())
    assert {row.pid for row in rows} == {None}
    assert {row.holder for row in rows} == {None}
