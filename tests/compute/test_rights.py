"""What a run's token may do, what it may not, and that it ends; who may see and end whose runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from headwater.accounts.models import Role
from tests.compute.client import RunsClient, act
from tests.conftest import LiveApp


def _token_of(app: LiveApp, run_id: int) -> str:
    spec = json.loads((Path(app.data) / f"runs/{run_id}/attempt-1/spec.json").read_text())
    return str(spec["env"]["HF_TOKEN"])


@pytest.fixture(scope="module")
def world(runs_app: LiveApp) -> dict[str, Any]:
    """A run of ada's that goes on, with a private input and an output that is there."""
    hf = runs_app.hf("ada")
    hf.create_repo("ada/in", repo_type="dataset", private=True)
    hf.create_repo("ada/other", repo_type="dataset", private=True)
    hf.create_repo("ada/out")
    made = RunsClient(runs_app, "ada").submit(
        act("going on", "sleep", seconds=600)
        + "inputs: {text: {repo: datasets/ada/in}}\noutputs: {model: {repo: models/ada/out, private: false}, new: {repo: ada/made, private: true}}\n"
    )
    RunsClient(runs_app, "ada").wait_for_log(made["id"], "started")
    return {"id": made["id"], "token": _token_of(runs_app, made["id"])}


def _status(act: Any) -> int:
    try:
        act()
    except HfHubHTTPError as exc:
        return int(exc.response.status_code)
    return 200


def test_a_runs_token_reads_its_inputs_and_writes_its_outputs_and_no_more(
    runs_app: LiveApp, world: dict[str, Any]
) -> None:
    hf = HfApi(endpoint=runs_app.url, token=world["token"])
    assert hf.repo_info("ada/in", repo_type="dataset").private
    assert _status(lambda: hf.repo_info("ada/other", repo_type="dataset")) == 404
    upload = {"path_or_fileobj": b"x", "path_in_repo": "x.txt"}
    assert _status(lambda: hf.upload_file(repo_id="ada/out", **upload)) == 200
    assert _status(lambda: hf.upload_file(repo_id="ada/in", repo_type="dataset", **upload)) == 403
    assert _status(lambda: hf.create_repo("ada/more")) == 403
    assert _status(lambda: hf.delete_repo("ada/out")) == 403
    assert _status(lambda: hf.update_repo_settings("ada/out", private=True)) == 403
    assert _status(lambda: hf.move_repo("ada/out", "ada/away")) == 403
    site = httpx.Client(base_url=runs_app.url, headers={"Authorization": f"Bearer {world['token']}"})
    assert site.post(f"/api/v1/runs/{world['id']}/cancel").status_code == 404


def test_a_runs_token_submits_nothing(runs_app: LiveApp, world: dict[str, Any]) -> None:
    own = RunsClient(runs_app, None, token=world["token"])
    refused = own.http.post("/runs", json={"recipe": act("more", "sleep")})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")


def test_only_its_own_process_reports_for_a_run(runs_app: LiveApp, world: dict[str, Any]) -> None:
    path, body = f"/runs/{world['id']}/report", {"result": {"forged": True}}
    assert RunsClient(runs_app, None).http.post(path, json=body).status_code in (401, 404)
    refused = RunsClient(runs_app, "ada").http.post(path, json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_this_run")
    assert RunsClient(runs_app, "eve").http.post(path, json=body).status_code == 404
    other = RunsClient(runs_app, "ada").submit(act("other", "sleep", seconds=600))
    RunsClient(runs_app, "ada").wait_for_log(other["id"], "started")
    stolen = RunsClient(runs_app, None, token=_token_of(runs_app, other["id"]))
    assert stolen.http.post(path, json=body).status_code == 404, "another run's token does not even see it"
    assert stolen.http.get(f"/runs/{world['id']}/context").status_code == 404
    RunsClient(runs_app, "ada").http.post(f"/runs/{other['id']}/cancel")
    own = RunsClient(runs_app, None, token=world["token"])
    assert own.http.post(path, json={"result": {"true": True}}).json() == {"cancel": False}
    assert RunsClient(runs_app, "ada").show(world["id"])["result"] == {"true": True}


@pytest.mark.parametrize(
    "body",
    [
        {"unknown": 1},
        {"points": [["loss", 1]]},
        {"points": [["a b", 1, 1.0]]},
        {"points": [["loss", 1.5, 1.0]]},
        {"points": [["loss", 1, "x"]]},
        {"progress": 3},
        {"progress": {"done": -1}},
        {"notes": "x"},
        {"result": {"x": "y" * (65 << 10)}},
        {"result": {"x": json.loads("[" * 900 + "]" * 900)}},
        {"failure": "x"},
        {"commits": [{"output": "model", "commit": "main", "revision": "main", "files": {}}]},
        {"commits": [{"output": "model", "commit": "0" * 40, "revision": "main", "files": {"x": "1"}}]},
    ],
)
def test_reports_that_are_none(runs_app: LiveApp, world: dict[str, Any], body: dict[str, Any]) -> None:
    own = RunsClient(runs_app, None, token=world["token"])
    refused = own.http.post(f"/runs/{world['id']}/report", json=body)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_run_report")


def test_pages_of_what_is_half_said(runs_app: LiveApp, world: dict[str, Any]) -> None:
    own = RunsClient(runs_app, None, token=world["token"])
    assert own.http.post(f"/runs/{world['id']}/report", json={"progress": {"total": 5}}).status_code == 200
    ada = RunsClient(runs_app, "ada").http
    assert ada.get(f"{runs_app.url}/runs/{world['id']}").status_code == 200
    assert ada.get(f"{runs_app.url}/runs/new", params={"from": "\u00b2"}).status_code == 200


def test_a_commit_that_is_not_there_is_not_reported(runs_app: LiveApp, world: dict[str, Any]) -> None:
    own = RunsClient(runs_app, None, token=world["token"])

    def report(output: str, commit: str, files: dict[str, str]) -> int:
        told = {"output": output, "commit": commit, "revision": "main", "files": files}
        return own.http.post(f"/runs/{world['id']}/report", json={"commits": [told]}).status_code

    head = runs_app.hf("ada").repo_info("ada/out").sha
    assert head is not None
    assert report("model", "0" * 40, {}) == 404
    assert report("model", head, {"nothing.txt": "0" * 64}) == 400
    assert report("model", head, {".gitattributes": "0" * 64}) == 400, (
        "what it says of a file is compared with the file"
    )
    assert report("none", head, {}) == 404
    assert report("new", head, {}) == 400


def test_an_output_is_created_in_the_name_of_the_submitter(runs_app: LiveApp, world: dict[str, Any]) -> None:
    own = RunsClient(runs_app, None, token=world["token"])
    made = own.http.post(f"/runs/{world['id']}/outputs/new", json={})
    assert made.json() == {"type": "model", "id": "ada/made", "branch": "main", "private": True}
    assert own.http.post(f"/runs/{world['id']}/outputs/new", json={}).json() == made.json()
    hf = HfApi(endpoint=runs_app.url, token=world["token"])
    assert _status(lambda: hf.upload_file(repo_id="ada/made", path_or_fileobj=b"x", path_in_repo="x")) == 200
    assert own.http.post(f"/runs/{world['id']}/outputs/none", json={}).status_code == 404


def test_an_output_that_has_come_to_be_there_is_taken_and_a_public_one_not_for_a_private(runs_app: LiveApp) -> None:
    ada = RunsClient(runs_app, "ada")
    outputs = "outputs: {open: {repo: ada/meanwhile}, again: {repo: ada/meanwhile}, closed: {repo: ada/shown, private: true}}\n"
    made = ada.submit(act("meanwhile", "sleep", seconds=600) + outputs)
    ada.wait_for_log(made["id"], "started")
    own = RunsClient(runs_app, None, token=_token_of(runs_app, made["id"]))
    runs_app.hf("ada").create_repo("ada/shown")
    for name in ("open", "again"):
        assert own.http.post(f"/runs/{made['id']}/outputs/{name}", json={}).json()["id"] == "ada/meanwhile"
    refused = own.http.post(f"/runs/{made['id']}/outputs/closed", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "name_taken")
    ada.http.post(f"/runs/{made['id']}/cancel")
    assert ada.wait(made["id"])["state"] == "cancelled"


def test_a_private_run_is_seen_by_its_own_people(runs_app: LiveApp, world: dict[str, Any]) -> None:
    for who, status in ((None, 404), ("eve", 404), ("bob", 404), ("ada", 200)):
        client = RunsClient(runs_app, who)
        assert client.http.get(f"/runs/{world['id']}").status_code == status
        for part in ("logs", "metrics", "events", "provenance", "recipe"):
            if status == 404:
                assert client.http.get(f"/runs/{world['id']}/{part}").status_code == 404, part
        listed = [each["id"] for each in client.http.get("/runs").json()]
        assert (world["id"] in listed) == (status == 200)
        compared = client.http.get("/run-comparison", params={"ids": str(world["id"])}).json()["runs"]
        assert (compared == [world["id"]]) == (status == 200)


def test_a_run_of_an_organisation_is_ended_by_those_who_write_there(runs_app: LiveApp) -> None:
    runs_app.add_member("lab", "bob", Role.READ)
    ada = RunsClient(runs_app, "ada")
    made = ada.submit(act("of lab", "sleep", seconds=600) + "outputs: {model: {repo: lab/of-lab}}\n")
    assert made["owner"] == "lab"
    assert RunsClient(runs_app, "eve").http.get(f"/runs/{made['id']}").status_code == 200, "nothing of it is private"
    path = f"/runs/{made['id']}/cancel"
    assert RunsClient(runs_app, None).http.post(path).status_code == 401
    assert RunsClient(runs_app, "eve").http.post(path).status_code == 403
    assert RunsClient(runs_app, "bob").http.post(path).status_code == 403
    assert RunsClient(runs_app, "ada", "read").http.post(path).status_code == 403
    runs_app.add_member("lab", "bob", Role.WRITE)
    assert RunsClient(runs_app, "bob").http.post(path).status_code == 200
    assert ada.wait(made["id"])["state"] == "cancelled"


def test_a_run_becomes_private_with_what_it_read(runs_app: LiveApp) -> None:
    hf = runs_app.hf("bob")
    hf.create_repo("bob/later", repo_type="dataset")
    bob = RunsClient(runs_app, "bob")
    made = bob.submit(act("later", "exit") + "inputs: {text: {repo: datasets/bob/later}}\n")
    bob.wait(made["id"])
    assert RunsClient(runs_app, None).http.get(f"/runs/{made['id']}").status_code == 200
    hf.update_repo_settings("bob/later", repo_type="dataset", private=True)
    assert RunsClient(runs_app, None).http.get(f"/runs/{made['id']}").status_code == 404


def test_a_run_becomes_private_with_the_repository_of_its_recipe(runs_app: LiveApp) -> None:
    hf, bob = runs_app.hf("bob"), RunsClient(runs_app, "bob")
    hf.create_repo("bob/recipes", repo_type="dataset")
    recipe = act("of a file", "exit").encode()
    hf.upload_file(path_or_fileobj=recipe, path_in_repo="a.yaml", repo_id="bob/recipes", repo_type="dataset")
    made = bob.http.post("/runs", json={"repo": "datasets/bob/recipes", "path": "a.yaml"}).json()
    bob.wait(made["id"])
    for is_private, status in ((False, 200), (True, 404)):
        hf.update_repo_settings("bob/recipes", repo_type="dataset", private=is_private)
        assert RunsClient(runs_app, None).http.get(f"/runs/{made['id']}").status_code == status
    assert bob.show(made["id"])["private"]
    clone = bob.http.post("/runs", json={"recipe": act("of a file", "exit"), "parent": made["id"]})
    assert clone.json()["private"], "its recipe came from a private repository"


def test_what_is_there_does_not_become_private_by_a_recipe(runs_app: LiveApp) -> None:
    bob = RunsClient(runs_app, "bob")
    runs_app.hf("bob").create_repo("bob/aloud")
    recipe = act("aloud", "exit") + "outputs: {model: {repo: bob/aloud, private: true}}\n"
    refused = bob.http.post("/runs", json={"recipe": recipe}).json()
    assert [(each["where"], "already" in each["what"]) for each in refused["problems"]] == [
        ("outputs.model.repo", True)
    ]


def test_a_run_is_seen_by_those_who_may_see_all_that_it_reads(runs_app: LiveApp) -> None:
    hf, ada = runs_app.hf("ada"), RunsClient(runs_app, "ada")
    hf.create_repo("ada/notes", repo_type="dataset", private=True)
    runs_app.add_member("lab", "bob", Role.WRITE)
    parts = "inputs: {text: {repo: datasets/ada/notes}}\noutputs: {model: {repo: lab/of-notes}}\n"
    made = ada.submit(act("of notes", "exit") + parts)
    assert made["owner"] == "lab"
    assert made["outputs"]["model"]["private"], (
        "what is made of private things is private unless its recipe says otherwise"
    )
    ada.wait(made["id"])
    for who in ("bob", "ada"):
        client, is_seen = RunsClient(runs_app, who), who == "ada"
        for path in ("", "/logs", "/recipe", "/provenance"):
            assert client.http.get(f"/runs/{made['id']}{path}").status_code == (200 if is_seen else 404)
        assert (made["id"] in [each["id"] for each in client.http.get("/runs?owner=lab").json()]) == is_seen
        compared = client.http.get("/run-comparison", params={"ids": str(made["id"])}).json()["runs"]
        assert (compared == [made["id"]]) == is_seen
    assert RunsClient(runs_app, "bob").http.post(f"/runs/{made['id']}/retry").status_code == 404
    aloud = ada.submit(act("aloud", "exit") + parts.replace("of-notes", "told-aloud, private: false"))
    assert not aloud["outputs"]["model"]["private"]
    hf.create_repo("lab/there", repo_type="model")
    into = act("into", "exit") + parts.replace("of-notes", "there")
    refused = ada.http.post("/runs", json={"recipe": into})
    assert [each["where"] for each in refused.json()["problems"]] == ["outputs.model.repo"]
    assert ada.submit(into.replace("lab/there", "lab/there, private: false"))["id"]
    hf.update_repo_settings("ada/notes", repo_type="dataset", private=False)
    assert RunsClient(runs_app, "bob").http.get(f"/runs/{made['id']}").status_code == 200


def test_only_administrators_put_a_run_before_others(runs_app: LiveApp) -> None:
    refused = RunsClient(runs_app, "eve").http.post("/runs", json={"recipe": act("x", "exit"), "priority": "high"})
    assert (refused.status_code, refused.json()["code"]) == (403, "priority_not_allowed")


def test_a_token_dies_with_its_run(runs_app: LiveApp, world: dict[str, Any]) -> None:
    ada = RunsClient(runs_app, "ada")
    ada.http.post(f"/runs/{world['id']}/cancel")
    assert ada.wait(world["id"])["state"] == "cancelled"
    own = RunsClient(runs_app, None, token=world["token"])
    assert own.http.post(f"/runs/{world['id']}/report", json={}).status_code == 401
    assert own.http.get(f"/runs/{world['id']}").status_code == 401
    hf = HfApi(endpoint=runs_app.url, token=world["token"])
    assert _status(lambda: hf.repo_info("ada/in", repo_type="dataset")) == 401
    assert _status(lambda: hf.upload_file(repo_id="ada/out", path_or_fileobj=b"x", path_in_repo="y")) == 401
    assert not (Path(runs_app.data) / f"runs/{world['id']}/attempt-1/spec.json").exists()
