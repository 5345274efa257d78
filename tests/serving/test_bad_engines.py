"""Engines that die, hang, never get ready, or answer what is no answer: who asked is told so, and nothing else suffers."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headwater.serving import processes, store
from headwater.serving.processes import Running
from tests.conftest import LiveApp, wait_for
from tests.serving import bad_engine
from tests.serving.conftest import Serving

EMPTY = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)  # no tensors, no facts
WAYS = ("good", "dies", "waits", "stubborn")


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("bad")
    program = folder / "llama-server"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(bad_engine.__file__)} "$@"\n')
    program.chmod(0o755)
    env = {
        "HEADWATER_LLAMA_SERVER": str(program),
        "HEADWATER_SERVING_HEALTH_EVERY_S": "0.3",
        "HEADWATER_SERVING_MOST_FAILURES": "2",
        "HEADWATER_SERVING_STALL_S": "1.5",
        "HEADWATER_SERVING_START_TIMEOUT_S": "4",
        "HEADWATER_SERVING_WAKE_TIMEOUT_S": "3",
    }
    app = LiveApp(folder / "data", env=env)
    try:
        app.add_people()
        hf = app.hf("ada")
        for way in WAYS:
            hf.create_repo(f"ada/{way}")
            hf.upload_file(repo_id=f"ada/{way}", path_in_repo="m.gguf", path_or_fileobj=EMPTY + f" {way} ".encode())
        made = Serving(app)
        made.create(model="ada/good")
        made.wait("ada/good", "ready")
        yield made
    finally:
        app.stop()
    app.check_clean()


def ask(bad: Serving, what: str, model: str = "ada/good", **more: Any) -> httpx.Response:
    return bad.api("POST", "/v1/completions", json={"model": model, "prompt": f"{what} now"} | more)


def running(bad: Serving, name: str) -> Running | None:
    with bad.app.opened() as site:
        found = site.db.read(store.find_by_name, "ada", name)
        assert found is not None
        at = found.standing
        return None if at.pid is None else Running(at.pid, at.pid_started or 0)


def log_of(bad: Serving, name: str) -> str:
    return bad.api("GET", f"/api/v1/endpoints/ada/{name}/log").text


@pytest.mark.parametrize("what", ["silent", "noise", "breaks", "html", "half", "uncounted"])
def test_what_is_no_answer_is_refused_as_the_engines_fault(bad: Serving, what: str) -> None:
    before = running(bad, "good")
    refused = ask(bad, what)
    assert refused.status_code == 503, refused.text
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("server_error", "engine_gone")
    assert refused.headers["retry-after"] == "2"
    assert ask(bad, "answers").status_code == 200
    assert running(bad, "good") == before


@pytest.mark.parametrize("what", ["stalls", "tears"])
def test_a_stream_that_breaks_off_ends_with_its_error(bad: Serving, what: str) -> None:
    from openai import APIError

    chunks = bad.client().completions.create(model="ada/good", prompt=what, stream=True)
    assert next(chunks).choices[0].text == "a"
    with pytest.raises(APIError) as broken:
        next(chunks)
    assert broken.value.code == "engine_gone"


@pytest.mark.parametrize("what", ["refuses", "empty"])
def test_a_stream_that_never_begins_has_a_status_of_its_own(bad: Serving, what: str) -> None:
    refused = ask(bad, what, stream=True)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "engine_gone")


def test_failures_are_counted_as_such_and_kept_out_of_the_log(bad: Serving) -> None:
    def errors() -> int:
        lines = bad.api("GET", "/api/v1/serving/usage?days=1", "ada", "admin").json()
        return sum(int(line["n_errors"]) for line in lines)

    before = errors()
    ask(bad, "breaks quicksilver")
    wait_for(lambda: errors() == before + 1, what="the failure being counted")
    assert "quicksilver" not in bad.app.log()


def test_what_ends_an_engine_does_not_end_the_next_one(bad: Serving) -> None:
    before = running(bad, "good")
    refused = ask(bad, "kill")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "engine_gone")
    assert before is not None
    wait_for(lambda: not before.is_alive, what="the engine's end")
    assert ask(bad, "answers").status_code == 200  # what is started anew is waited for
    assert bad.get("ada/good")["failures"] == 1


def test_what_dies_at_its_start_is_given_up_with_its_last_words(bad: Serving) -> None:
    bad.create(model="ada/dies")
    found = bad.wait("ada/dies", "failed")
    assert (found["failures"], "exit code 1" in found["reason"]) == (2, True)
    assert "no such tensor" in log_of(bad, "dies")
    refused = ask(bad, "answers", "ada/dies")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "endpoint_failed")


def test_what_never_gets_ready_is_waited_for_and_then_given_up(bad: Serving) -> None:
    bad.create(model="ada/waits")
    first = wait_for(lambda: running(bad, "waits"), what="its engine being started")
    refused = ask(bad, "answers", "ada/waits")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "endpoint_starting")
    assert refused.headers["retry-after"] == "10"
    found = bad.wait("ada/waits", "failed")
    assert "not ready after 4 seconds" in found["reason"]
    assert "a bad engine begins" in log_of(bad, "waits")
    wait_for(lambda: not first.is_alive and running(bad, "waits") is None, what="the engine's end")


def test_what_does_not_end_when_told_is_ended(bad: Serving) -> None:
    bad.create(model="ada/stubborn")
    bad.wait("ada/stubborn", "ready")
    engine = running(bad, "stubborn")
    assert engine is not None
    assert bad.api("DELETE", "/api/v1/endpoints/ada/stubborn").status_code == 204
    wait_for(lambda: processes.started_at(engine.pid) != engine.started, what="the engine's end")
    assert ask(bad, "answers", "ada/stubborn").status_code == 404


def test_the_commands_say_and_change_how_endpoints_are(bad: Serving) -> None:
    listed = {one["model"]: one for one in bad.app.cli("endpoint", "list")}
    assert listed["ada/good"]["state"] == "ready"
    assert bad.app.cli("endpoint", "stop", "ada/good")["state"] == "stopped"
    wait_for(lambda: running(bad, "good") is None, what="the engine's end")
    assert bad.app.cli("endpoint", "start", "ada/good")["wanted"] == "running"
    bad.wait("ada/good", "ready")
