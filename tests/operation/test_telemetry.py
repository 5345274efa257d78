"""Traces reach a real receiver; without one nothing is imported for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import clean_env, wait_for
from tests.servers.collector import TraceReceiver

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.fixture
def receiver():
    made = TraceReceiver().start()
    yield made
    made.stop()


def test_requests_jobs_and_transactions_are_one_trace_each(new_app, receiver):
    env = {
        "HEADWATER_OTLP_ENDPOINT": receiver.url,
        "HEADWATER_OTLP_HEADERS": "x-tenant=lab",
        "HEADWATER_WEB_TRUSTED_PROXIES": "127.0.0.1",
    }
    app = new_app(env=env, workers=1)
    hf = app.hf("ada")
    hf.create_repo("ada/traced")
    hf.upload_file(path_or_fileobj=b"hello", path_in_repo="a.txt", repo_id="ada/traced")
    httpx.get(
        f"{app.url}/api/models/ada/traced", headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "q" * 12}
    )
    wait_for(lambda: app.log_lines("job.finished"), what="a job")
    app.stop()  # what is held is sent before the end

    asked = [span for span in receiver.spans if span.trace == TRACE and span.parent == PARENT]
    assert [span.facts["http.route"] for span in asked] == ["/api/{type:models|datasets|spaces}/{ns}/{name}"]
    assert asked[0].kind == 2  # server
    assert asked[0].facts["http.response.status_code"] == 200
    inside = [span for span in receiver.spans if span.parent == asked[0].id]
    assert "db.read" in {span.name for span in inside}
    assert {span.trace for span in inside} == {TRACE}

    (commit,) = [s for s in receiver.spans if s.name.startswith("POST ") and s.name.endswith("/commit/{rev}")] or [None]
    assert commit is not None
    assert "db.write" in {span.name for span in receiver.spans if span.trace == commit.trace}
    jobs = [span for span in receiver.spans if span.name.startswith("job ")]
    assert jobs
    assert {span.name for span in receiver.spans if span.parent == jobs[0].id} >= {"db.write"}
    assert {span.resource["service.name"] for span in receiver.spans} == {"headwater"}
    assert receiver.headers[0]["x-tenant"] == "lab"


def test_strangers_name_no_trace_and_a_refusal_is_no_fault(new_app, receiver):
    app = new_app(env={"HEADWATER_OTLP_ENDPOINT": receiver.url}, people=False, workers=1)
    httpx.get(f"{app.url}/api/models/no/such", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    app.stop()
    assert receiver.spans
    assert TRACE not in {span.trace for span in receiver.spans}
    assert not any(span.is_error for span in receiver.spans)


def test_a_receiver_that_is_away_hinders_nothing(new_app):
    app = new_app(env={"HEADWATER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, workers=1)
    assert app.hf("ada").whoami()["name"] == "ada"
    assert app.stop(timeout_s=15) == 0


def test_without_an_endpoint_nothing_of_it_is_imported():
    code = (
        "import sys, headwater.server as s; s._preload(); from headwater.worker import lanes; lanes(with_store=True);"
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean_env())
    assert done.stdout.strip() == "[]", done.stderr


def test_a_missing_extra_is_a_clear_error(tmp_path: Path):
    (tmp_path / "opentelemetry").mkdir()  # stands before the real one, and has nothing in it
    (tmp_path / "opentelemetry" / "__init__.py").touch()
    env = clean_env({"HEADWATER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    env["PYTHONPATH"] = f"{tmp_path}:{env.get('PYTHONPATH', '')}"
    command = [sys.executable, "-m", "headwater", "up", f"--data={tmp_path / 'D'}", "--port=0"]
    failed = subprocess.run(command, capture_output=True, text=True, env=env)
    assert failed.returncode == 1
    assert "pip install opentelemetry-sdk" in failed.stderr
