"""An evaluation by a run: a tiny random model and a tiny suite in, scores with their errors out, on pages and in the API."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients import routes_called
from tests.compute.client import RunsClient
from tests.conftest import LiveApp, clean_env, wait_for
from tests.serving.tiny import make_tiny

pytestmark = pytest.mark.evaluate

TASK = """task: sums
dataset_path: json
dataset_kwargs: {data_files: {test: data/sums.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{q}}"
doc_to_choice: c
doc_to_target: a
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
metadata: {version: 2, ability: calculation}
"""
MODEL = "  model: {repo: models/ada/tiny, revision: main}\n"
RECIPE = f"""kind: evaluate
name: tiny on the shipped suite
inputs:
{MODEL}  suite: {{repo: datasets/ada/bilingual, revision: main}}
outputs:
  results: {{repo: datasets/ada/tiny-results}}
resources: {{cpus: 1, memory_gb: 4, time_limit_s: 280}}
with: {{limit: 2}}
"""
ON_SUMS = RECIPE.replace("ada/bilingual", "ada/suite").replace("with: {limit: 2}\n", "")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    folder = tmp_path_factory.mktemp("evaluation")
    env = {"HEADWATER_COMPUTE_CPUS": "2", "HEADWATER_COMPUTE_MEMORY_GB": "8", "HEADWATER_SERVING_THREADS": "1"}
    app = LiveApp(folder / "data", env=env, options={"workers": 1})
    try:
        app.add_people()
        _fill(app, folder)
        yield app
    finally:
        app.stop()
    app.check_clean()


def _fill(app: LiveApp, folder: Path) -> None:
    model, suite = make_tiny(folder / "model"), folder / "suite"
    (suite / "data").mkdir(parents=True)
    rows = [{"q": f"{n}+1=", "c": [str(n + 1), str(n + 2)], "a": 0} for n in range(6)]
    (suite / "data/sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (suite / "sums.yaml").write_text(TASK)
    hf = app.hf("ada")
    for name, kind, files in (("tiny", "model", model), ("suite", "dataset", suite)):
        hf.create_repo(f"ada/{name}", repo_type=kind)
        hf.upload_folder(repo_id=f"ada/{name}", repo_type=kind, folder_path=files)
    told = _command(app, "publish", "headwater-bilingual", "ada/bilingual", "--json")
    assert len(json.loads(told)["tasks"]) == 30


def _command(app: LiveApp, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "headwater", "suite", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=clean_env({"HF_ENDPOINT": app.url, "HF_TOKEN": app.token("ada")}),
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def _evaluation(app: LiveApp, run_id: int) -> dict[str, Any]:
    answer = httpx.get(f"{app.url}/api/v1/evaluations/{run_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_shipped_suite_asked_of_a_model_shown_and_asked_again(app: LiveApp) -> None:
    ada, bob = RunsClient(app, "ada"), RunsClient(app, "bob")
    run = ada.submit(RECIPE)
    assert ada.wait(run["id"], timeout_s=280)["state"] == "succeeded", ada.log(run["id"])
    found = _evaluation(app, run["id"])
    scores = {each["task"]: each for each in found["scores"]}
    assert len(scores) == 20
    assert len(found["abilities"]) == 10
    choice, written = scores["calculation_choice"], scores["code_open"]
    assert (choice["version"], choice["ability"], choice["items"], choice["metric"]) == ("1", "calculation", 2, "acc")
    assert (written["metric"], written["items"], written["value"]) == ("checked", 2, 0)
    assert all(each["stderr"] is not None for each in scores.values())
    assert found["total"]["value"] == pytest.approx(sum(each["value"] for each in scores.values()) / 20)
    assert found["model_commit"] == app.hf("ada").model_info("ada/tiny").sha
    folder = f"runs/{run['id']}"
    files = app.hf("ada").list_repo_files("ada/tiny-results", repo_type="dataset")
    assert {f"{folder}/results.json", f"{folder}/recipe.yaml", f"{folder}/samples/code_open.parquet"} <= set(files)
    results = app.hf("ada").hf_hub_download("ada/tiny-results", f"{folder}/results.json", repo_type="dataset")
    assert "/root" not in Path(results).read_text()
    assert "/tmp" not in Path(results).read_text()
    for language in ("en", "zh-CN"):
        for path in ("ada/tiny", "ada/tiny/evaluations", "datasets/ada/bilingual/leaderboard?partial=1", folder):
            page = httpx.get(f"{app.url}/{path}", headers={"Accept-Language": language})
            assert page.status_code == 200, path
            assert f"{100 * found['total']['value']:.1f}" in page.text, path
    assert "lm_eval run --tasks headwater_bilingual" in found["command"]

    again = json.loads(_command(app, "reproduce", str(run["id"]), "--json"))
    assert ada.wait(again["run"], timeout_s=280)["state"] == "succeeded", ada.log(again["run"])
    second = _evaluation(app, again["run"])
    assert second["reproduces"] == run["id"]
    assert second["scores"] == found["scores"]
    assert "Reproduction" in httpx.get(f"{app.url}/runs/{again['run']}").text

    board = httpx.get(f"{app.url}/datasets/ada/bilingual/leaderboard", headers={"Accept-Language": "en"}).text
    assert "asked part of the items only" in board
    assert "partial=1" in board
    assert "Nothing was evaluated with it yet" in _command(app, "leaderboard", "ada/bilingual")  # on part of the items
    app.hf("ada").update_repo_settings("ada/tiny-results", repo_type="dataset", private=True)
    assert httpx.get(f"{app.url}/api/v1/evaluations/{run['id']}").status_code == 404
    assert bob.http.post(f"/evaluations/{run['id']}/reproduce").status_code == 404
    asked = {"every": "1", "partial": "1"}
    lines = httpx.get(f"{app.url}/api/v1/leaderboards/ada/bilingual", params=asked).json()["lines"]
    assert [line["run"] for line in lines] == [second["run"]]


def test_a_model_and_items_in_lfs_are_those_of_their_commit(app: LiveApp, tmp_path: Path) -> None:
    """Pinned by old commits; both branches have gone on."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.torch import load, save
    from transformers import AutoModelForCausalLM, AutoTokenizer

    hf = app.hf("ada")
    weights = load(Path(hf.hf_hub_download("ada/tiny", "model.safetensors")).read_bytes())
    hf.create_repo("ada/moving")
    hf.create_repo("ada/moving-suite", repo_type="dataset")
    snapshot = Path(hf.snapshot_download("ada/tiny", ignore_patterns=["*.safetensors"]))
    hf.upload_folder(repo_id="ada/moving", folder_path=snapshot)
    task = TASK.replace("json", "parquet", 1).replace("jsonl", "parquet")
    hf.upload_file(
        path_or_fileobj=task.encode(), path_in_repo="sums.yaml", repo_id="ada/moving-suite", repo_type="dataset"
    )
    commits = []
    for number in (1, 2):
        rows = io.BytesIO()
        pq.write_table(
            pa.table({"q": [f"{number}+1=", f"{number}+2="], "c": [["2", "3"], ["3", "4"]], "a": [0, 0]}), rows
        )
        made = {name: tensor * (1 + number) for name, tensor in weights.items()}
        model = io.BytesIO(save(made, {"format": "pt"}))
        n_calls = len(routes_called(app))
        suite_at = hf.upload_file(
            path_or_fileobj=rows, path_in_repo="data/sums.parquet", repo_id="ada/moving-suite", repo_type="dataset"
        )
        model_at = hf.upload_file(path_or_fileobj=model, path_in_repo="model.safetensors", repo_id="ada/moving")
        assert routes_called(app, n_calls).count("PUT /lfs/objects/{link}") == 2
        commits.append((model_at.oid, suite_at.oid))
    ada, (model_at, suite_at) = RunsClient(app, "ada"), commits[0]
    recipe = ON_SUMS.replace("ada/tiny, revision: main", f"ada/moving, revision: {model_at}")
    recipe = recipe.replace("ada/suite, revision: main", f"ada/moving-suite, revision: {suite_at}")
    run = ada.submit(recipe.replace("tiny-results", "moving-results"))
    assert ada.wait(run["id"])["state"] == "succeeded", ada.log(run["id"])
    path = hf.hf_hub_download(
        "ada/moving-results", f"runs/{run['id']}/samples/sums.parquet", repo_type="dataset", local_dir=tmp_path
    )
    samples = pq.read_table(path).to_pylist()
    assert [json.loads(each["doc"])["q"] for each in samples] == ["1+1=", "1+2="]
    told = [float(answer[0][0]) for each in samples for answer in json.loads(each["responses"])]
    tokenizer, asked = (
        AutoTokenizer.from_pretrained(snapshot),
        [("1+1=", "2"), ("1+1=", "3"), ("1+2=", "3"), ("1+2=", "4")],
    )
    by_hand: list[list[float]] = []
    for model_at, _ in commits:
        model = AutoModelForCausalLM.from_pretrained(hf.snapshot_download("ada/moving", revision=model_at))
        by_hand.append([])
        for question, answer in asked:
            tokens = tokenizer(f"{question} {answer}", return_tensors="pt").input_ids
            logs = model(tokens).logits.log_softmax(-1)[0, :-1].gather(1, tokens[0, 1:, None]).squeeze(1)
            by_hand[-1].append(float(logs[-2:].sum()))  # a space and a digit
    assert told == pytest.approx(by_hand[0], rel=1e-4)
    assert told != pytest.approx(by_hand[1], rel=1e-2)


def test_an_endpoint_is_asked_what_it_can_be_asked(app: LiveApp) -> None:
    ada, bob = RunsClient(app, "ada"), RunsClient(app, "bob")
    wish = {"model": "ada/tiny", "engine": "transformers", "access": "members", "context_tokens": 4096}
    made = ada.http.post("/endpoints", json=wish)
    assert made.status_code == 201, made.text
    recipe = RECIPE.replace(MODEL, "").replace("tiny-results", "endpoint-results")
    asking = recipe.replace("with: {limit: 2}", "with: {tasks: [T], limit: 2, endpoint: {model: ada/tiny}}")
    private = asking.replace("endpoint-results}", "endpoint-results, private: true}")
    refused = ada.http.post("/runs", json={"recipe": private.replace("[T]", "[headwater_bilingual]")})
    assert refused.status_code == 422
    assert "gives wrong ones without an error" in refused.text
    assert "headwater_bilingual_written" in refused.text
    refused = ada.http.post("/runs", json={"recipe": asking.replace("[T]", "[calculation_letter]")})
    assert "for its owner's members alone" in refused.text
    theirs = private.replace("[T]", "[calculation_letter]").replace("datasets/ada/end", "datasets/bob/end")
    refused = bob.http.post("/runs", json={"recipe": theirs})
    assert (refused.status_code, "with.endpoint.model" in refused.text) == (422, True)

    run = ada.submit(private.replace("[T]", "[calculation_letter, code_open]"))
    assert ada.wait(run["id"], timeout_s=280)["state"] == "succeeded", ada.log(run["id"])
    found = ada.http.get(f"/evaluations/{run['id']}").json()
    assert {each["task"] for each in found["scores"]} == {"calculation_letter", "code_open"}
    assert (found["endpoint"], found["model"]) == ("ada/tiny", "ada/tiny")
    assert found["model_commit"] == app.hf("ada").model_info("ada/tiny").sha
    assert bob.http.get(f"/evaluations/{run['id']}").status_code == 404
    usage = ada.http.get("/endpoints/ada/tiny/usage")
    assert usage.status_code in (200, 404)
    assert ada.http.delete("/endpoints/ada/tiny").is_success
    wait_for(lambda: ada.http.get("/endpoints/ada/tiny").status_code == 404, timeout_s=30, what="the endpoint's end")


def test_a_suite_that_names_code_is_refused(app: LiveApp, tmp_path: Path) -> None:
    ada = RunsClient(app, "ada")
    app.hf("ada").upload_file(
        path_or_fileobj=TASK.replace('"{{q}}"', "!function utils.text").encode(),
        path_in_repo="sums.yaml",
        repo_id="ada/suite",
        repo_type="dataset",
    )
    answer = ada.http.post("/runs", json={"recipe": ON_SUMS})
    assert answer.status_code == 422
    assert "names Python code" in answer.text
    for path, data in (("sums.yaml", TASK.encode()), ("data/sums.jsonl", b"")):
        app.hf("ada").upload_file(path_or_fileobj=data, path_in_repo=path, repo_id="ada/suite", repo_type="dataset")
    answer = ada.http.post("/runs", json={"recipe": ON_SUMS})
    assert answer.status_code == 422
    assert "sums has no items" in answer.text
    (tmp_path / "sums.yaml").write_text(TASK)
    assert "no file 'data/sums.jsonl'" in _command(app, "publish", str(tmp_path), "ada/other", code=1)
    assert "headwater-bilingual" in _command(app, "check", "no-such-suite", code=1)
