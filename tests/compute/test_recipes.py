"""What a recipe may say: every problem at once, before anything runs."""

from __future__ import annotations

from typing import Any

import httpx
import jsonschema
import pytest
import yaml

from tests.compute.client import RunsClient, act
from tests.conftest import LiveApp


def _problems(client: RunsClient, recipe: str) -> dict[str, str]:
    answer = client.http.post("/runs", json={"recipe": recipe})
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "bad_recipe"
    return {each["where"]: each["what"] for each in answer.json()["problems"]}


def test_every_problem_of_the_text_is_told_at_once(ada: RunsClient) -> None:
    found = _problems(
        ada,
        """
kind: words
name: ''
inputs: {Text: {repo: ada/x}, other: {repo: ada/x, commit: main}}
resources: {cpus: 0, memory: 3, gpus: '1'}
retries: 99
colour: red
with: {least_length: none, deep: 1}
""",
    )
    assert set(found) == {
        "name",
        "inputs.Text.[key]",
        "inputs.Text.repo",
        "inputs.other.commit",
        "resources.cpus",
        "resources.memory",
        "resources.gpus",
        "retries",
        "colour",
        "with.least_length",
        "with.deep",
    }
    assert found["colour"] == "there is no such field"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "recipe"),
        ("[1, 2]", "recipe"),
        ("kind: act\nkind: words\n", "line 2"),
        ("kind: &a act\nname: *a\n", "line 1"),
        ("kind: nothing\nname: x\n", "kind"),
        ("name: x\n", "kind"),
        ("kind: act\nname: x\n", "with"),
        ("{" * 40, "line 1"),
    ],
)
def test_what_is_no_recipe_at_all(ada: RunsClient, text: str, where: str) -> None:
    assert where in _problems(ada, text)


def test_every_problem_with_what_it_names_is_told_at_once(runs_app: LiveApp, ada: RunsClient) -> None:
    bob = runs_app.hf("bob")
    bob.create_repo("bob/secret", repo_type="dataset", private=True)
    bob.create_repo("bob/open", repo_type="dataset")
    bob.create_repo("bob/both", repo_type="dataset")
    bob.create_repo("bob/both", repo_type="model")
    found = _problems(
        RunsClient(runs_app, "eve"),
        """
kind: words
name: x
inputs:
  secret: {repo: datasets/bob/secret}
  absent: {repo: datasets/bob/absent}
  bad: {repo: "not a name"}
outputs: {theirs: {repo: datasets/bob/open}, deep: {repo: datasets/eve/x, depth: 1}}
resources: {cpus: 100}
with: {least_length: none}
""",
    )
    assert set(found) == {
        "inputs.secret.repo",
        "inputs.absent.repo",
        "inputs.bad.repo",
        "outputs.theirs.repo",
        "outputs.deep.depth",
        "resources.cpus",
        "with.least_length",
    }, "what is wrong in the text hides nothing that is missing"
    found = _problems(
        RunsClient(runs_app, "eve"),
        """
kind: words
name: x
inputs:
  secret: {repo: datasets/bob/secret}
  absent: {repo: datasets/bob/absent}
  old: {repo: datasets/bob/open, revision: no-such-branch}
  both: {repo: bob/both}
outputs:
  theirs: {repo: datasets/bob/open}
  new: {repo: datasets/bob/new}
  hidden: {repo: datasets/bob/secret}
  nobody: {repo: datasets/nobody-here/x}
resources: {cpus: 100, memory_gb: 1}
""",
    )
    assert set(found) == {
        "inputs.secret.repo",
        "inputs.absent.repo",
        "inputs.old.revision",
        "inputs.both.repo",
        "outputs.theirs.repo",
        "outputs.new.repo",
        "outputs.hidden.repo",
        "outputs.nobody.repo",
        "resources.cpus",
    }
    # Absent and hidden look the same.
    assert found["inputs.secret.repo"].replace("secret", "absent") == found["inputs.absent.repo"]


def test_a_kind_says_what_it_cannot_work_with(ada: RunsClient) -> None:
    found = _problems(ada, "kind: words\nname: x\noutputs: {counts: {repo: datasets/ada/c}}\n")
    assert found == {"inputs.text": "it is missing"}


def test_asking_without_submitting(ada: RunsClient) -> None:
    assert ada.http.post("/recipes/check", json={"recipe": act("x", "sleep")}).json()["ok"] is True
    told = ada.http.post("/recipes/check", json={"recipe": act("x", "sleep", bad=1)}).json()
    assert (told["ok"], [each["where"] for each in told["problems"]]) == (False, ["with.bad"])


def test_the_schema_is_what_is_asked(runs_app: LiveApp) -> None:
    def get(path: str) -> Any:
        answer = httpx.get(f"{runs_app.url}/api/v1/recipes/{path}")
        assert answer.status_code == 200
        return answer.json()

    whole = get("schema")
    assert f"{runs_app.url}/api/v1/recipes/words/schema" in [each["$ref"] for each in whole["oneOf"]]
    schema = get("words/schema")
    check = jsonschema.Draft202012Validator(schema)
    good = "kind: words\nname: x\ninputs: {text: {repo: datasets/ada/t}}\nwith: {least_length: 2}\n"
    check.validate(yaml.safe_load(good))
    for bad in (
        good.replace("2", "'2'"),
        good + "more: 1\n",
        good.replace("words", "act"),
        good.replace("text:", "T:"),
    ):
        assert list(check.iter_errors(yaml.safe_load(bad))), bad
    assert httpx.get(f"{runs_app.url}/api/v1/recipes/none/schema").status_code == 404


def test_a_recipe_out_of_a_repository(runs_app: LiveApp, ada: RunsClient) -> None:
    hf = runs_app.hf("ada")
    hf.create_repo("ada/recipes", private=True)
    made = hf.upload_file(
        path_or_fileobj=act("from a file", "exit").encode(), path_in_repo="recipes/exit.yaml", repo_id="ada/recipes"
    )
    answer = ada.http.post("/runs", json={"repo": "ada/recipes", "path": "recipes/exit.yaml"})
    assert answer.status_code == 201, answer.text
    run = answer.json()
    assert run["recipe"]["recipe"] == {"repo": "models/ada/recipes", "commit": made.oid, "path": "recipes/exit.yaml"}
    assert run["private"], "its recipe is"
    assert ada.wait(run["id"])["state"] == "succeeded"
    eve = RunsClient(runs_app, "eve")
    for path, code in (("recipes/exit.yaml", "repository_not_found"), ("recipes/none.yaml", "repository_not_found")):
        refused = eve.http.post("/runs", json={"repo": "ada/recipes", "path": path})
        assert (refused.status_code, refused.json()["code"]) == (404, code)
    absent = ada.http.post("/runs", json={"repo": "ada/recipes", "path": "recipes/none.yaml"})
    assert (absent.status_code, absent.json()["code"]) == (404, "file_not_found")
