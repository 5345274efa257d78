"""How runs end: by themselves, by a limit, by somebody's wish, with their server or without it."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from tests.compute.client import RunsClient, act
from tests.compute.conftest import ENV
from tests.conftest import LiveApp, wait_for


def test_a_run_begins_at_once_and_says_so_live(runs_app: LiveApp, ada: RunsClient) -> None:
    made = ada.submit(act("brief", "sleep", seconds=0.3))
    over = ada.wait(made["id"])
    assert over["state"] == "succeeded", (over["reason"], ada.log(made["id"]))
    assert over["result"]["steps"] >= 1
    assert over["usage"]["cpu_s"] > 0
    assert over["environment"]["packages_digest"]
    assert ada.log(made["id"]) == "started sleep attempt 1\n"


def test_cancelled_while_it_runs(ada: RunsClient) -> None:
    made = ada.submit(act("long", "sleep"))
    ada.wait_for_log(made["id"], "started")
    told = ada.http.post(f"/runs/{made['id']}/cancel").json()
    assert told["cancel_requested"]
    over = ada.wait(made["id"])
    assert (over["state"], over["reason"]["code"]) == ("cancelled", "cancelled")
    assert ada.log(made["id"]) == "started sleep attempt 1\n", "being asked to end is no crash"
    again = ada.http.post(f"/runs/{made['id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "run_is_over")


def test_cancelled_it_may_save_what_it_has(ada: RunsClient) -> None:
    made = ada.submit(act("careful", "save"))
    ada.wait_for_log(made["id"], "started")
    ada.http.post(f"/runs/{made['id']}/cancel")
    over = ada.wait(made["id"])
    assert (over["state"], over["result"]) == ("cancelled", {"saved": True})
    assert "saved" in ada.log(made["id"])


def test_cancelled_while_it_waits(ada: RunsClient) -> None:
    holding = ada.submit(act("all", "sleep").replace("cpus: 0.5", "cpus: 4"))
    waiting = ada.submit(act("next", "sleep"))
    ada.wait_for_log(holding["id"], "started")
    told = ada.http.post(f"/runs/{waiting['id']}/cancel").json()
    assert (told["state"], told["attempts"]) == ("cancelled", 0)
    ada.http.post(f"/runs/{holding['id']}/cancel")
    assert ada.wait(holding["id"])["state"] == "cancelled"


def test_what_a_failure_is_called(ada: RunsClient) -> None:
    runs = {
        "exit": ada.submit(act("exit", "exit", code=9)),
        "crash": ada.submit(act("crash", "crash")),
        "fail": ada.submit(act("fail", "fail", retries=3)),
        "time": ada.submit(act("time", "sleep", resources="time_limit_s: 2")),
    }
    over = {name: ada.wait(made["id"]) for name, made in runs.items()}
    assert {found["state"] for found in over.values()} == {"failed"}
    assert over["exit"]["reason"]["code"] == "exit_code"
    assert over["exit"]["attempt_list"][0]["exit_code"] == 9
    assert over["crash"]["reason"] == {"code": "exception", "message": "ValueError: the weights are of another shape"}
    assert over["fail"]["reason"]["code"] == "nan_loss"
    assert over["fail"]["attempts"] == 1, "what a program itself calls a failure is not tried again"
    assert over["time"]["reason"]["code"] == "time_limit"
    assert "Traceback" in ada.log(runs["crash"]["id"])


def test_the_memory_limit_ends_the_run_and_not_the_site(runs_app: LiveApp, ada: RunsClient) -> None:
    made = ada.submit(act("hungry", "eat", mb=900, seconds=30))
    over = ada.wait(made["id"])
    assert (over["state"], over["reason"]["code"]) == ("failed", "memory_limit")
    assert runs_app.process.poll() is None


def test_tried_again_it_goes_on_from_its_checkpoint(ada: RunsClient) -> None:
    made = ada.submit(act("again", "again", retries=1))
    over = ada.wait(made["id"])
    assert over["state"] == "succeeded", ada.log(made["id"])
    assert over["result"] == {"from": 7, "attempt": 2}
    assert [each["state"] for each in over["attempt_list"]] == ["failed", "succeeded"]
    assert "[attempt 2]" in ada.log(made["id"])


def test_tried_again_by_hand(ada: RunsClient) -> None:
    made = ada.submit(act("by hand", "again"))
    assert ada.wait(made["id"])["state"] == "failed"
    assert ada.http.post(f"/runs/{made['id']}/retry").status_code == 200
    over = ada.wait(made["id"])
    assert (over["state"], over["result"]["attempt"]) == ("succeeded", 2)
    refused = ada.http.post(f"/runs/{made['id']}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "run_goes_on")


def test_a_log_that_floods_is_kept_at_both_ends(ada: RunsClient) -> None:
    made = ada.submit(act("flood", "flood", mb=12))
    assert ada.wait(made["id"])["state"] == "succeeded"
    log = ada.log(made["id"])
    assert log.startswith("started flood")
    assert log.endswith("the end\n")
    assert "bytes of this log were left out" in log
    assert len(log) < 10 << 20


def test_nothing_of_the_servers_own_settings_reaches_a_run(ada: RunsClient) -> None:
    made = ada.submit(act("env", "environment"))
    over = ada.wait(made["id"])
    names = set(over["result"]["names"])
    assert {name for name in names if name.startswith("HEADWATER_")} == {
        "HEADWATER_RUN_ID",
        "HEADWATER_RUN_URL",
        "HEADWATER_RUN_FOLDER",
        "HEADWATER_RUN_CPUS",
        "HEADWATER_RUN_MEMORY_BYTES",
        "HEADWATER_RUN_COUNTRY",
        "HEADWATER_ENGINES",
    }
    assert not {name for name in names if "SECRET" in name or name.startswith("AWS_")}
    assert over["result"]["cwd"] == over["result"]["folder"]


def test_a_run_goes_on_while_workers_are_replaced(runs_app: LiveApp, ada: RunsClient) -> None:
    made = ada.submit(act("replaced", "sleep", seconds=6))
    ada.wait_for_log(made["id"], "started")
    before = len(runs_app.log_lines("server.reloaded"))
    runs_app.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(runs_app.log_lines("server.reloaded")) > before, timeout_s=120)
    over = ada.wait(made["id"], timeout_s=120)
    assert (over["state"], over["attempts"]) == ("succeeded", 1)
    assert ada.log(made["id"]) == "started sleep attempt 1\n", "two who follow it would ship its log twice"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_run_survives_the_death_of_its_server(tmp_path: Path) -> None:
    options = {"workers": 1, "port": _free_port()}
    app = LiveApp(tmp_path / "data", env=ENV, options=options, module="tests.compute.server")
    try:
        app.add_people()
        ada = RunsClient(app, "ada")
        kept = ada.submit(act("kept", "sleep", seconds=4))
        doomed = ada.submit(act("doomed", "first", seconds=600, retries=0))
        for made in (kept, doomed):
            ada.wait_for_log(made["id"], "started")
        pids = app.processes()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        app.process.wait()
        # One of the two loses its supervisor, too, as when a host goes down.
        told = (tmp_path / "data/runs" / str(doomed["id"]) / "attempt-1/started.json").read_text()
        os.kill(int(told.split('"pid": ')[1].split(",")[0]), signal.SIGKILL)
    finally:
        app.stop()
    app = LiveApp(tmp_path / "data", env=ENV, options=options, module="tests.compute.server")
    try:
        ada = RunsClient(app, "ada")
        over = ada.wait(kept["id"])
        assert (over["state"], over["attempts"]) == ("succeeded", 1), ada.log(kept["id"])
        steps = [step for step, _ in ada.http.get(f"/runs/{kept['id']}/metrics").json()["step"]]
        assert steps == list(range(1, over["result"]["steps"] + 1)), (
            "what was said while the server was away came later"
        )
        over = ada.wait(doomed["id"])
        assert over["state"] == "succeeded"
        assert [(each["state"], (each["reason"] or {}).get("code")) for each in over["attempt_list"]] == [
            ("lost", "supervisor_lost"),
            ("succeeded", None),
        ]
        assert not app.log_lines("runs.stumbled")
    finally:
        app.stop()
        app.end_runs()
    app.check_clean()
