"""A run from its recipe to its commit, by a real program against a real server."""

from __future__ import annotations

import base64
import hashlib
import json

import httpx
from huggingface_hub import hf_hub_download

from tests.compute.client import RunsClient
from tests.compute.test_provenance import validate
from tests.conftest import LiveApp

WORDS = """
kind: words
name: count the words
inputs:
  text: {repo: datasets/ada/text-%(n)s}
outputs:
  counts: {repo: datasets/lab/counts-%(n)s}
resources: {cpus: 1, memory_gb: 1, time_limit_s: 60}
with:
  least_length: 3
"""


def text_of(app: LiveApp, n: str, text: str = "one two three two 水 水源 four") -> str:
    hf = app.hf("ada")
    hf.create_repo(f"ada/text-{n}", repo_type="dataset")
    made = hf.upload_file(
        path_or_fileobj=text.encode(), path_in_repo="data.txt", repo_id=f"ada/text-{n}", repo_type="dataset"
    )
    return str(made.oid)


def test_a_recipe_becomes_a_commit_with_its_provenance(runs_app: LiveApp, ada: RunsClient) -> None:
    pinned = text_of(runs_app, "a")
    made = ada.submit(WORDS % {"n": "a"})
    assert (made["state"], made["owner"], made["inputs"]["text"]["commit"]) == ("queued", "lab", pinned)
    over = ada.wait(made["id"])
    assert over["state"] == "succeeded", ada.log(made["id"])
    assert over["result"] == {"words": 5, "distinct": 4}
    commit = over["commits"][0]["commit"]
    kept = {
        "repo_id": "lab/counts-a",
        "repo_type": "dataset",
        "revision": commit,
        "endpoint": runs_app.url,
        "token": runs_app.token("ada"),
    }
    with open(hf_hub_download(filename="counts.json", **kept), "rb") as file:
        body = file.read()
    assert json.loads(body)["two"] == 2
    with open(hf_hub_download(filename="provenance.intoto.json", **kept)) as file:
        statement = json.load(file)
    subjects = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    assert subjects["counts.json"] == hashlib.sha256(body).hexdigest()
    depends = {each["name"]: each for each in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert depends["text"]["digest"] == {"gitCommit": pinned}
    assert depends["recipe"]["digest"] == {"sha256": made["recipe_digest"]}
    validate(statement)
    served = ada.http.get(f"/runs/{made['id']}/provenance").json()
    validate(served)
    assert {each["name"] for each in served["subject"]} == {
        f"datasets/lab/counts-a@{commit}/{name}" for name in subjects
    }
    byproducts = {each["name"]: each for each in statement["predicate"]["runDetails"]["byproducts"]}
    packages = base64.b64decode(byproducts["packages"]["content"]).decode().split()
    assert any(line.startswith("huggingface_hub==") for line in packages)
    assert "单词已统计" in ada.log(made["id"])
    points = ada.http.get(f"/runs/{made['id']}/metrics").json()
    assert points["distinct"][-1][1] == over["result"]["distinct"]
    assert [each["text"] for each in over["notes"]] == [f"committed {commit}"]
    assert httpx.get(f"{runs_app.url}/api/v1/runs/{made['id']}").status_code == 200
