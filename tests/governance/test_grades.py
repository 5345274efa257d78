"""Grades of real repositories on a real server: what contents show, what links lead to, and what people decide beside it."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from sqlalchemy import update

from headwater.compute.rows import Commit, RunInput
from headwater.compute.store import runs
from headwater.db import Tx
from headwater.governance import jobs
from headwater.governance.signals import on_run_end
from headwater.governance.tables import openness_grade
from headwater.hub import access
from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import CommitId, utcnow
from tests.conftest import LiveApp, wait_for

MIT = """MIT License

Copyright (c) 2026 Ada

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
WORDS = (
    "This is told here in some detail, so that a skilled person can follow what was done and why it was done so. " * 2
)
MODEL_CARD = f"""
# A model
## Intended use
{WORDS}
## Limitations and bias
{WORDS}
## Training
{WORDS}
## Evaluation results
{WORDS}
"""
DATA_CARD = f"""
# Rows
## Source and collection
{WORDS}
## Processing
{WORDS}
## Structure
{WORDS}
## Limitations
{WORDS}
"""
TRAIN = "from transformers import Trainer\n\nTrainer().train()\n"
CONFIG = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 4, "vocab_size": 8}


def safetensors(n_layers: int = 2) -> bytes:
    """Whole weights of a very small model, as its config says."""
    shapes = {"model.embed_tokens.weight": [8, 4]}
    shapes |= {f"model.layers.{n}.mlp.up_proj.weight": [4, 4] for n in range(n_layers)}
    head: dict[str, Any] = {}
    at = 0
    for name, (rows, columns) in shapes.items():
        size = rows * columns * 2
        head[name] = {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def front(**fields: Any) -> str:
    return "---\n" + "".join(f"{key}: {json.dumps(value)}\n" for key, value in fields.items()) + "---\n"


def put(hf: HfApi, name: str, files: dict[str, str | bytes], kind: str = "model", *, private: bool = False) -> str:
    hf.create_repo(
        name, repo_type=kind, exist_ok=True, private=private, space_sdk="static" if kind == "space" else None
    )
    operations = [
        CommitOperationAdd(path, io.BytesIO(data if isinstance(data, bytes) else data.encode()))
        for path, data in files.items()
    ]
    done = hf.create_commit(name, operations, commit_message="content", repo_type=kind)
    return str(done.oid)


class Asker:
    def __init__(self, app: LiveApp, user: str | None) -> None:
        headers = {} if user is None else {"Authorization": f"Bearer {app.token(user, 'admin')}"}
        self.client = httpx.Client(base_url=app.url, headers=headers, timeout=30)

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def grade(self, path: str) -> dict[str, Any]:
        """``path`` as in addresses of the API: ``models/lab/x``. Once it has been looked at."""

        def whole() -> Any:
            found = self.get(f"/api/v1/grades/{path}")
            return found if found["commit"] and not found["is_behind"] else None

        found: dict[str, Any] = wait_for(whole, what=f"the grade of {path}")
        return found

    def value(self, path: str, criterion: str) -> str:
        return str(row_of(self.grade(path), criterion)["value"])


def row_of(grade: dict[str, Any], criterion: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in grade["evidence"] if each["criterion"] == criterion)
    return found


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    app = LiveApp(tmp_path_factory.mktemp("grades") / "data", options={"workers": 1})
    try:
        app.add_people()
        yield app
    finally:
        app.stop()
    app.check_clean()


@pytest.fixture(scope="module")
def ada(app: LiveApp) -> Asker:
    return Asker(app, "ada")


def test_a_model_is_graded_from_its_contents_at_every_push(app: LiveApp, ada: Asker) -> None:
    hf = app.hf("ada")
    commit = put(hf, "lab/tiny", {"README.md": front(license="mit") + "# Tiny\n"})
    first = ada.grade("models/lab/tiny")
    assert (first["label"], first["commit"]) == ("G0", commit)
    commit = put(
        hf,
        "lab/tiny",
        {
            "README.md": front(license="mit") + MODEL_CARD,
            "LICENSE": MIT,
            "config.json": json.dumps(CONFIG),
            "model.safetensors": safetensors(),
            "train.py": TRAIN,
        },
    )
    grade = wait_for(lambda: (found := ada.grade("models/lab/tiny"))["commit"] == commit and found, what="a new grade")
    assert grade["label"] == "G2"
    weights = row_of(grade, "weights")
    assert (weights["value"], weights["basis"], weights["reason"]) == ("open", "verified", "whole")
    assert weights["words"]["n"] == 8 * 4 + 2 * 16
    assert weights["evidence"] == [{"repo": "lab/tiny", "commit": commit, "path": "model.safetensors"}]
    licence = row_of(grade, "licence")
    assert (licence["value"], licence["words"]["key"]) == ("open", "mit")
    assert row_of(grade, "training_code")["value"] == "open"
    assert row_of(grade, "model_card")["value"] == "open"
    assert row_of(grade, "training_data")["value"] == "closed"
    assert grade["verified"]["mof"]["class"] is None
    assert len(grade["verified"]["eu"]) == 12
    told = app.cli("grade", "lab/tiny", f"--url={app.url}")
    assert (told["label"], told["commit"]) == ("G2", commit)
    assert row_of(told, "weights")["value"] == "open"
    # A change that no longer fits is seen at the next push, at its place.
    put(hf, "lab/tiny", {"config.json": json.dumps({**CONFIG, "num_hidden_layers": 30})})
    wait_for(lambda: ada.value("models/lab/tiny", "weights") == "partial", what="the mismatch")
    assert row_of(ada.grade("models/lab/tiny"), "weights")["words"]["why"] == "2 layers, not 30"
    # Steps on the ladder are entries of the record.
    entries = ada.client.get("/lab/tiny/record").text
    assert "openness graded" in entries


def test_a_linked_repository_that_changes_changes_the_grade(app: LiveApp, ada: Asker) -> None:
    hf = app.hf("ada")
    put(hf, "lab/reader", {"README.md": front(license="mit", datasets=["lab/rows"]) + MODEL_CARD, "LICENSE": MIT})
    row = row_of(ada.grade("models/lab/reader"), "training_data")
    assert (row["value"], row["basis"], row["reason"]) == ("unknown", "declared", "elsewhere")
    rows = {"README.md": front(license="cc0-1.0") + DATA_CARD, "train.jsonl": '{"text": "a"}\n{"text": "b"}\n'}
    commit = put(hf, "lab/rows", rows, "dataset")
    wait_for(lambda: ada.value("models/lab/reader", "training_data") == "open", what="the data being found")
    row = row_of(ada.grade("models/lab/reader"), "training_data")
    assert row["evidence"][1] == {"repo": "datasets/lab/rows", "commit": commit, "path": None}
    assert ada.value("models/lab/reader", "data_card") == "open"
    # Hidden again, it is as if it were not there.
    hf.update_repo_settings("lab/rows", repo_type="dataset", private=True)
    wait_for(lambda: ada.value("models/lab/reader", "training_data") == "unknown", what="the data being hidden")
    hf.delete_repo("lab/rows", repo_type="dataset")
    assert ada.value("models/lab/reader", "training_data") == "unknown"


def test_what_is_private_cannot_be_told_from_what_is_absent(app: LiveApp, ada: Asker) -> None:
    hf, stranger = app.hf("ada"), Asker(app, None)
    card = MODEL_CARD
    put(hf, "lab/shut-base", {"README.md": front(license="mit") + card, "LICENSE": MIT}, private=True)
    put(hf, "lab/shut-child", {"README.md": front(license="mit", base_model="lab/one") + card}, private=True)
    put(hf, "lab/one", {"README.md": front(license="mit", base_model="lab/shut-base") + card, "LICENSE": MIT})
    put(hf, "lab/two", {"README.md": front(license="mit", base_model="lab/gone-base") + card, "LICENSE": MIT})
    ada.grade("models/lab/shut-base")
    ada.grade("models/lab/shut-child")
    wait_for(lambda: row_of(ada.grade("models/lab/two"), "base_weights")["reason"] == "base_elsewhere", what="both")
    one, two = stranger.grade("models/lab/one"), stranger.grade("models/lab/two")
    for left, right in zip(one["evidence"], two["evidence"], strict=True):
        assert (left["value"], left["basis"], left["reason"]) == (right["value"], right["basis"], right["reason"])
        assert [each["repo"] for each in left["evidence"]] in ([], ["lab/one"])
    seen = stranger.get("/api/v1/grades/models/lab/one/lineage")
    assert [node["id"] for node in seen["nodes"]] == ["lab/one", "model:lab/shut-base"]
    assert "shut-child" not in json.dumps(seen)
    pages = [
        stranger.client.get(f"/lab/{name}/{view}").text for name in ("one", "two") for view in ("openness", "lineage")
    ]
    assert not any("shut-child" in page for page in pages)
    assert 'href="/lab/shut-base"' not in pages[1]
    assert stranger.client.get("/api/v1/grades/models/lab/shut-base").status_code == 404
    assert stranger.client.get("/api/v1/grades/models/lab/shut-base/lineage").status_code == 404
    # Whoever may see them does.
    mine = ada.get("/api/v1/grades/models/lab/one/lineage")
    assert {node["id"] for node in mine["nodes"]} == {"lab/one", "lab/shut-base", "lab/shut-child"}


def test_a_decision_stands_beside_the_machines_word(app: LiveApp, ada: Asker) -> None:
    put(app.hf("ada"), "lab/reviewed", {"README.md": front(license="mit") + "# See doi:10.1145/3442188.3445922\n"})
    machine = row_of(ada.grade("models/lab/reviewed"), "research_paper")
    assert (machine["value"], machine["basis"]) == ("unknown", "declared")
    path = "/api/v1/grades/models/lab/reviewed/overrides"
    wish = {
        "criterion": "research_paper",
        "value": "open",
        "reason": "FAccT 2021, peer-reviewed; proceedings page 610.",
    }
    assert Asker(app, "bob").client.post(path, json=wish).status_code == 403
    assert Asker(app, None).client.post(path, json=wish).status_code == 401
    assert ada.client.post(path, json={**wish, "criterion": "charm"}).status_code == 400
    assert ada.client.post(path, json={**wish, "reason": "yes"}).status_code == 422
    made = ada.client.post(path, json=wish)
    assert made.status_code == 201, made.text
    grade = ada.get("/api/v1/grades/models/lab/reviewed")
    row = row_of(grade, "research_paper")
    assert (row["value"], row["override"]["value"], row["override"]["machine_value"]) == ("unknown", "open", "unknown")
    assert row["override"]["made_by"] == "ada"
    assert grade["with_decisions"] is not None
    # What is verified, what somebody says and what was decided look different, and none hides another.
    page = Asker(app, None).client.get("/lab/reviewed/openness").text
    line = page[page.index('id="c-research_paper"') :].split("</li>")[0]
    assert 'class="said unknown declared"' in line
    assert 'class="said open decided"' in line
    assert wish["reason"] in line
    assert 'class="said closed none"' in page
    # A new push changes the machine's word alone.
    put(app.hf("ada"), "lab/reviewed", {"README.md": front(license="mit") + "# Nothing\n"})
    wait_for(lambda: ada.value("models/lab/reviewed", "research_paper") == "closed", what="the machine's word")
    assert row_of(ada.get("/api/v1/grades/models/lab/reviewed"), "research_paper")["override"]["value"] == "open"
    assert ada.client.delete(f"{path}/{row['override']['id']}").status_code == 204
    assert ada.client.delete(f"{path}/{row['override']['id']}").status_code == 404
    grade = ada.get("/api/v1/grades/models/lab/reviewed")
    assert row_of(grade, "research_paper")["override"] is None
    assert grade["overrides"][0]["withdrawn_by"] == "ada"
    entries = ada.client.get("/lab/reviewed/record").text
    assert "openness decided by a person" in entries
    assert "decision on openness taken back" in entries


def test_verdicts_name_the_chain_and_the_clause(app: LiveApp, ada: Asker) -> None:
    hf = app.hf("ada")
    put(hf, "lab/llama-base", {"README.md": front(license="llama3.1") + MODEL_CARD})
    put(hf, "lab/renamed", {"README.md": front(license="apache-2.0", base_model="lab/llama-base") + MODEL_CARD})
    ada.grade("models/lab/llama-base")
    wait_for(lambda: ada.value("models/lab/renamed", "lineage_licences") == "closed", what="the verdict")
    found = ada.get("/api/v1/grades/models/lab/renamed/lineage")
    assert found["outcome"] == "conflict"
    worst = found["verdicts"][0]
    assert worst["chain"] == ["lab/llama-base", "lab/renamed"]
    assert (worst["licence"], worst["clause"]) == ("llama-3.1-license-2024", "1.b.iv")
    assert "Acceptable Use Policy" in worst["quote"]
    assert {each["what"] for each in found["verdicts"] if each["outcome"] == "unmet"} == {
        "name_prefix",
        "credit",
        "copy_text",
    }


def test_what_runs_of_this_site_did_is_verified(app: LiveApp, ada: Asker) -> None:
    hf, weights = app.hf("ada"), safetensors()
    digest = hashlib.sha256(weights).hexdigest()
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "model.safetensors", "digest": {"sha256": digest}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"runDetails": {"metadata": {"hardware": "2 cores"}}},
    }
    put(hf, "lab/food", {"README.md": front(license="cc0-1.0") + DATA_CARD, "a.jsonl": "{}\n"}, "dataset")
    files = {"README.md": MODEL_CARD, "model.safetensors": weights, "provenance.intoto.json": json.dumps(statement)}
    head = put(hf, "lab/made", files)
    put(hf, "lab/made-again", {"model.safetensors": weights})
    put(hf, "lab/scores", {"scores.jsonl": "{}\n"}, "dataset")
    grade = ada.grade("models/lab/made")
    assert row_of(grade, "reproduction")["reason"] == "statement"
    assert row_of(grade, "hardware")["value"] == "open"
    assert row_of(grade, "evaluation_results")["value"] == "closed"

    def note(
        name: str,
        kind: str,
        read: str,
        made: str,
        commit: str,
        seed: int,
        *,
        is_private: bool = False,
        state: str = "succeeded",
    ) -> None:
        """A run that has ended, as the supervisor leaves it behind."""
        with app.opened() as site:

            def act(tx: Tx) -> None:
                repos = {
                    each: access.find_by_name(tx, RepoKind(each.split("/")[0]), RepoName("lab", each.split("/")[1]))
                    for each in (read, made)
                }
                source, target = repos[read], repos[made]
                assert source is not None
                assert target is not None
                now = utcnow()
                resolved = {"kind": kind, "name": name, "seed": seed, "inputs": {"in": read}, "outputs": {"out": made}}
                values = {
                    "kind": kind, "name": name, "state": state, "owner_id": target.owner_id, "priority": 0,
                    "created_by": target.created_by, "is_private": is_private, "recipe_text": name,
                    "recipe_digest": "0" * 64, "resolved": resolved, "cpus": 1.0, "memory_bytes": 1 << 20, "gpus": 0,
                    "retries": 0, "created_at": now, "due_at": now, "ended_at": now,
                }  # fmt: skip
                number = runs.insert_run(tx, values)
                head = source.head_commit
                assert head is not None
                runs.insert_parts(tx, number, [RunInput("in", source.id, source.path, "main", head)], [])
                made_files = {"model.safetensors": digest, "README.md": str(number)}
                if state == "succeeded":
                    runs.insert_commit(
                        tx, Commit(number, "out", 1, target.id, CommitId(commit), "main", made_files, now)
                    )
                run = runs.find_run(tx, number)
                assert run is not None
                on_run_end(tx, run)

            site.db.write(act)

    def reason(criterion: str) -> str:
        return str(row_of(ada.grade("models/lab/made"), criterion)["reason"])

    note("first", "train", "dataset/food", "model/made", head, 1)
    # Another seed is other work, and what is private is not seen.
    note("other", "train", "dataset/food", "model/made-again", "a" * 40, 2)
    note("hidden", "train", "dataset/food", "model/made-again", "b" * 40, 1, is_private=True)
    note("scores", "evaluate", "model/made", "dataset/scores", "c" * 40, 1)
    wait_for(lambda: ada.get("/api/v1/grades/models/lab/made/lineage")["edges"], what="the runs")
    assert reason("reproduction") == "statement"
    note("second", "train", "dataset/food", "model/made-again", "d" * 40, 1)
    wait_for(lambda: reason("reproduction") == "again", what="the second run being seen")
    results = row_of(ada.grade("models/lab/made"), "evaluation_results")
    assert (results["reason"], results["basis"]) == ("run", "verified")
    assert results["evidence"] == [{"repo": "datasets/lab/scores", "commit": "c" * 40, "path": None}]
    lineage = Asker(app, None).get("/api/v1/grades/models/lab/made/lineage")
    relations = {(each["child"].split(":")[0], each["parent"].split(":")[0]) for each in lineage["edges"]}
    assert ("lab/made", "run") in relations
    assert ("run", "datasets/lab/food") in relations
    page = Asker(app, None).client.get("/lab/made/lineage").text
    assert "hidden" not in re.findall(r"<text[^>]*>([^<]*)</text>", page)
    assert 'href="/runs/' in page
    # A run ties what it made to what it read, whatever the card leaves out; an evaluation does not.
    put(hf, "lab/llama-parent", {"README.md": front(license="llama3.1") + MODEL_CARD})
    for name in ("unsaid", "unsaid-q4", "measured"):
        put(hf, f"lab/{name}", {"README.md": front(license="apache-2.0") + MODEL_CARD})
    ada.grade("models/lab/llama-parent")
    note("tuned", "train", "model/llama-parent", "model/unsaid", "e" * 40, 1)
    note("smaller", "convert", "model/unsaid", "model/unsaid-q4", "f" * 40, 1)
    note("asked", "evaluate", "model/llama-parent", "model/measured", "1" * 40, 1)
    note("in vain", "train", "model/llama-parent", "model/unsaid", "2" * 40, 1, state="failed")
    wait_for(lambda: ada.value("models/lab/unsaid-q4", "lineage_licences") == "closed", what="the verdict")
    found = ada.get("/api/v1/grades/models/lab/unsaid-q4/lineage")
    assert found["outcome"] == "conflict"
    assert found["verdicts"][0]["chain"] == ["lab/llama-parent", "lab/unsaid", "lab/unsaid-q4"]
    below = {node["id"]: node["kind"] for node in ada.get("/api/v1/grades/models/lab/llama-parent/lineage")["nodes"]}
    assert {"lab/unsaid", "lab/unsaid-q4", "lab/measured"} <= below.keys()
    assert list(below.values()).count("run") == 3
    assert ada.value("models/lab/measured", "lineage_licences") == "open"


def test_what_was_graded_by_other_rules_is_graded_again(app: LiveApp, ada: Asker) -> None:
    put(app.hf("ada"), "lab/old", {"README.md": front(license="mit") + MODEL_CARD})
    today = ada.grade("models/lab/old")["rules"]
    with app.opened() as site:
        site.db.write(lambda tx: tx.execute(update(openness_grade).values(rules="before")))
        assert ada.get("/api/v1/grades/models/lab/old")["rules"] == "before"
        jobs.look_behind(site)
    wait_for(lambda: ada.get("/api/v1/grades/models/lab/old")["rules"] == today, what="today's rules")


def test_code_counts_at_a_commit_that_there_is(app: LiveApp, ada: Asker) -> None:
    hf = app.hf("ada")
    card = front(license="mit", sdk="static") + MODEL_CARD
    commit = put(hf, "lab/code", {"README.md": card, "LICENSE": MIT, "train.py": TRAIN}, "space")
    put(hf, "lab/code", {"train.py": "import this\n"}, "space")  # what trains is there at the former commit alone

    def named(name: str, revision: str) -> dict[str, Any]:
        code = {"training": f"lab/code{revision}"}
        put(hf, f"lab/{name}", {"README.md": front(license="mit", code=code) + MODEL_CARD, "LICENSE": MIT})
        wait_for(lambda: row_of(ada.grade(f"models/lab/{name}"), "training_code")["words"], what="the code")
        return row_of(ada.grade(f"models/lab/{name}"), "training_code")

    ada.grade("spaces/lab/code")
    row = named("coded", f"@{commit}")
    assert (row["value"], row["reason"]) == ("open", "linked")
    assert row["evidence"][1] == {"repo": "spaces/lab/code", "commit": commit, "path": None}
    assert named("coded-short", f"@{commit[:10]}")["value"] == "open"
    assert named("coded-branch", "@main")["reason"] == "no_entry"
    assert named("coded-nowhere", "@" + "a" * 40)["reason"] == "no_entry"
