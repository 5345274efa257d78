"""Runs on a real Ray cluster of three nodes: the same recipe, the same outputs; limits, ends, and a node that is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.compute.client import RunsClient, act
from tests.compute.conftest import ENV, ROOT
from tests.compute.test_runs import WORDS, text_of
from tests.conftest import LiveApp, clean_env, wait_for

pytest.importorskip("ray")
pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

TOKEN = "a-token-of-the-cluster-for-tests"
START_S = 240.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Cluster:
    process: subprocess.Popen[str]
    address: str
    nodes: list[str]

    def kill(self, node: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"kill {node}\n")
        self.process.stdin.flush()
        while self.process.stdout.readline().strip() != f"killed {node}":
            pass

    def job(self, name: str) -> dict[str, Any]:
        return httpx.get(
            f"{self.address}/api/jobs/{name}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
        ).json()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    port = _free_port()
    env = clean_env(
        {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.servers.ray_cluster", str(port), "2", "2"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(tmp_path_factory.mktemp("ray") / "log").open("w"),
        text=True,
        env=env,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        while not said.startswith("ready"):
            said = process.stdout.readline()
            assert said, "the cluster did not start"
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: _answers(address), timeout_s=START_S, what="the dashboard")
        yield Cluster(process, address, said.split()[1:])
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _answers(address: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{address}/api/version", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5).is_success
    return False


@pytest.fixture(scope="module")
def ray_app(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    env = {
        **ENV,
        "HEADWATER_COMPUTE_RAY_ADDRESS": cluster.address,
        "HEADWATER_COMPUTE_RAY_TOKEN": TOKEN,
    }
    app = LiveApp(
        tmp_path_factory.mktemp("runs") / "data", env=env, options={"workers": 1}, module="tests.compute.server"
    )
    try:
        app.add_people()
        yield app
    finally:
        app.stop()
        app.end_runs()
    app.check_clean()


def test_the_same_recipe_gives_the_same_outputs(ray_app: LiveApp, runs_app: LiveApp) -> None:
    digests = []
    for app in (ray_app, runs_app):
        text_of(app, "same")
        ada = RunsClient(app, "ada")
        made = ada.submit(WORDS % {"n": "same"})
        over = ada.wait(made["id"], timeout_s=240)
        assert over["state"] == "succeeded", (over["reason"], ada.log(made["id"]))
        assert "单词已统计" in ada.log(made["id"])
        assert over["attempt_list"][0]["runner"] == ("ray" if app is ray_app else "local")
        subjects = ada.http.get(f"/runs/{made['id']}/provenance").json()["subject"]
        digests.append({each["name"].rpartition("/")[2]: each["digest"] for each in subjects})
    assert digests[0] == digests[1]
    assert "counts.json" in digests[0]


def test_limits_and_cancelling_hold_there_too(ray_app: LiveApp) -> None:
    ada = RunsClient(ray_app, "ada")
    hungry = ada.submit(act("hungry", "eat", mb=900, seconds=60))
    careful = ada.submit(act("careful", "save"))
    ada.wait_for_log(careful["id"], "started", timeout_s=240)
    ada.http.post(f"/runs/{careful['id']}/cancel")
    over = ada.wait(careful["id"], timeout_s=120)
    assert (over["state"], over["result"]) == ("cancelled", {"saved": True})
    over = ada.wait(hungry["id"], timeout_s=240)
    assert (over["state"], over["reason"]["code"]) == ("failed", "memory_limit")


def test_a_node_that_is_lost_loses_its_run_which_is_begun_again(ray_app: LiveApp, cluster: Cluster) -> None:
    ada = RunsClient(ray_app, "ada")
    made = ada.submit(act("moved", "first", seconds=600))
    ada.wait_for_log(made["id"], "started", timeout_s=240)
    with ray_app.opened() as site:
        from headwater.compute.store import attempts

        name = site.db.read(attempts.attempts_of, made["id"])[0].remote_id
    assert name is not None
    node = wait_for(lambda: cluster.job(name).get("driver_node_id"), what="the job's node")
    assert node in cluster.nodes
    cluster.kill(node)
    over = ada.wait(made["id"], timeout_s=400)
    assert over["state"] == "succeeded", (over["reason"], ada.log(made["id"]))
    assert [each["state"] for each in over["attempt_list"]] == ["lost", "succeeded"]
