"""A corpus whose run is killed in the middle, alone or with its host or beside its server, and comes out the same to the byte."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compute.client import RunsClient
from tests.conftest import LiveApp, wait_for
from tests.corpora.texts import EN, ZH, manuals_zh

pytestmark = pytest.mark.corpora

RECIPE = """
kind: corpus
name: killed in the middle
inputs:
  text: {repo: datasets/ada/rain}
outputs:
  corpus: {repo: datasets/ada/rain-corpus}
retries: 1
resources: {cpus: 1, memory_gb: 3, time_limit_s: 280}
seed: 7
with:
  sources:
    - {name: stories, input: text, files: ["*.jsonl"], weight: 1}
    - {name: manuals, input: text, files: ["man1/*"], weight: 2}
  steps: [{op: normalize}, {op: language, languages: [zh, en]}, {op: exact}, {op: fuzzy}, {op: mix}]
"""


class Host:
    """A server that can be killed and started again at its address, and the runs that it has begun."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._data = folder / "data"
        self.app = self._start()

    def _start(self) -> LiveApp:
        env = {"HEADWATER_COMPUTE_CPUS": "2", "HEADWATER_COMPUTE_MEMORY_GB": "6"}
        return LiveApp(self._data, env=env, options={"workers": 1, "port": self._port})

    def kill_server(self) -> None:
        for pid in self.app.processes():
            os.kill(pid, signal.SIGKILL)
        self.app.process.wait()

    def start_again(self) -> None:
        self.app = self._start()

    def folder_of(self, run: dict[str, Any]) -> Path:
        return self._data / "runs" / str(run["id"])

    def kill(self, run: dict[str, Any], *whom: str) -> None:
        """``pid``: the supervisor, ``program``: what it watches."""
        told = json.loads((self.folder_of(run) / "attempt-1/started.json").read_text())
        for name in whom:
            os.kill(told[name], signal.SIGKILL)

    def files(self, commit: str) -> dict[str, str]:
        """Paths and hashes of all that was committed, but for who made it and when."""
        api = self.app.hf("ada")
        tree = api.list_repo_tree("ada/rain-corpus", recursive=True, revision=commit, repo_type="dataset")
        found = {each.path: each.blob_id for each in tree if hasattr(each, "blob_id")}
        assert found.pop("provenance.intoto.json")
        return found


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("kills")
    texts = folder / "texts"
    (texts / "man1").mkdir(parents=True)
    for number, data in enumerate(manuals_zh()[:20]):
        (texts / "man1" / f"page{number}.1").write_bytes(data)
    lines = [ZH, EN, f"{ZH} ", "", f"{EN} And then it rained again."]
    (texts / "stories.jsonl").write_text("\n".join(json.dumps({"text": line}, ensure_ascii=False) for line in lines))
    made = Host(folder)
    try:
        made.app.add_people()
        hf = made.app.hf("ada")
        hf.create_repo("ada/rain", repo_type="dataset")
        hf.upload_folder(repo_id="ada/rain", repo_type="dataset", folder_path=texts)
        yield made
    finally:
        made.app.stop()
        made.app.end_runs()
    made.app.check_clean()


@pytest.fixture(scope="module")
def undisturbed(host: Host) -> dict[str, str]:
    ada = RunsClient(host.app, "ada")
    run = ada.submit(RECIPE)
    over = ada.wait(run["id"])
    assert over["state"] == "succeeded", ada.log(run["id"])
    found = host.files(over["result"]["commit"])
    assert {"README.md", "corpus-report.json", "data/train-00000-of-00001.parquet", "drops/drops.parquet"} <= set(found)
    return found


def begun(host: Host, what: str) -> tuple[RunsClient, dict[str, Any]]:
    """A run that is at work: it has made ``what`` of its folder."""
    ada = RunsClient(host.app, "ada")
    run = ada.submit(RECIPE)
    path = host.folder_of(run) / "work/corpus" / what
    wait_for(path.exists, timeout_s=120, what=f"{what} of run {run['id']}")
    return ada, run


def test_its_process_alone(host: Host, undisturbed: dict[str, str]) -> None:
    ada, run = begun(host, "segments/000000/done")
    host.kill(run, "program")
    over = ada.wait(run["id"])
    ends = [(each["state"], (each["reason"] or {}).get("code")) for each in over["attempt_list"]]
    assert ends == [("failed", "signal"), ("succeeded", None)], ada.log(run["id"])
    assert any("segments were done by an earlier attempt" in each["text"] for each in over["notes"])
    assert len(over["commits"]) == 1
    assert host.files(over["result"]["commit"]) == undisturbed


def test_with_its_host(host: Host, undisturbed: dict[str, str]) -> None:
    _, run = begun(host, "segments/000000")
    host.kill_server()
    host.kill(run, "pid", "program")
    host.start_again()
    ada = RunsClient(host.app, "ada")
    over = ada.wait(run["id"])
    ends = [(each["state"], (each["reason"] or {}).get("code")) for each in over["attempt_list"]]
    assert ends == [("lost", "supervisor_lost"), ("succeeded", None)], ada.log(run["id"])
    assert host.files(over["result"]["commit"]) == undisturbed


def test_beside_its_server(host: Host, undisturbed: dict[str, str]) -> None:
    """The run goes on meanwhile, and waits with its commit until there is a server again."""
    _, run = begun(host, "segments/000000")
    host.kill_server()
    wait_for((host.folder_of(run) / "work/corpus/out/README.md").exists, timeout_s=120, what="the corpus being whole")
    host.start_again()
    ada = RunsClient(host.app, "ada")
    over = ada.wait(run["id"])
    assert (over["state"], over["attempts"]) == ("succeeded", 1), ada.log(run["id"])
    assert host.files(over["result"]["commit"]) == undisturbed
