"""Runs, evaluations, endpoints, corpora and lineages through every window: H06 and H07 of what is private, H05 of their tokens."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from headwater import accounts, server
from headwater.compute.rows import Commit, Output, RunInput
from headwater.compute.store import runs
from headwater.db import Tx
from headwater.evaluation import store as evaluations
from headwater.evaluation.models import Evaluation, Score
from headwater.hub.access import find_by_name
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.kernel import CommitId, Grant, utcnow
from headwater.serving import store as endpoints
from headwater.web.routing import path_for
from tests.attacks.asking import ask, bearer
from tests.conftest import LiveApp, wait_for

WORD = "osmium"  # stands in every name and text of what is private, and nowhere else
OPEN = {"model": "bob/spine-base", "dataset": "bob/spine-food"}
SHUT = {"model": f"bob/spine-{WORD}", "dataset": f"bob/spine-{WORD}-rows"}
REPORT = json.dumps({"format": f"{WORD}-report", "sources": [{"name": WORD}]}).encode()


@dataclass(frozen=True)
class World:
    """Two runs: one that read and made what all may see, one of which everything that it made is private."""

    app: LiveApp
    open_run: int
    shut_run: int


def weights() -> bytes:
    head = b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    return struct.pack("<Q", len(head)) + head + bytes(8)


def _put(hf: HfApi, name: str, kind: str, front: dict[str, Any], *, private: bool, **files: bytes) -> None:
    hf.create_repo(name, repo_type=kind, private=private)
    card = "---\n" + json.dumps({"license": "mit", **front}) + "\n---\n" + (WORD if private else "A card.") + "\n"
    operations = [CommitOperationAdd("README.md", card.encode())]
    operations += [CommitOperationAdd(path.replace("__", "."), data) for path, data in files.items()]
    hf.create_commit(name, operations, commit_message=WORD if private else "content", repo_type=kind)


@pytest.fixture(scope="module")
def world(live_app: LiveApp) -> World:
    bob = live_app.hf("bob")
    for kind, name in OPEN.items():
        _put(bob, name, kind, {}, private=False, model__safetensors=weights(), rows__jsonl=b'{"a": 1}\n')
    made_of = {"base_model": OPEN["model"], "datasets": [OPEN["dataset"]]}
    _put(bob, SHUT["model"], "model", made_of, private=True, model__safetensors=weights())
    rows = {"rows__jsonl": b'{"a": 1}\n', "corpus-report__json": REPORT}
    _put(bob, SHUT["dataset"], "dataset", {"source_datasets": [OPEN["dataset"]]}, private=True, **rows)
    with live_app.opened() as site:
        found = site.db.write(_make)
    # Until whoever may see it does, that others do not would mean nothing.
    for kind, name in OPEN.items():
        path = f"/api/v1/grades/{kind}s/{name}/lineage"
        wait_for(lambda path=path: WORD in ask(live_app, "bob", "GET", path).text, what=f"the lineage of {name}")
    return World(live_app, *found)


def _make(tx: Tx) -> tuple[int, int]:
    bob = accounts.get_account(tx, "bob")

    def repo(kind: str, name: str) -> Repository:
        found = find_by_name(tx, RepoKind(kind), RepoName(*name.split("/")))
        assert found is not None
        return found

    def run(what: str, reads: list[Repository], makes: list[Repository]) -> int:
        now = utcnow()
        values = {
            "kind": "evaluate", "name": f"{what} run", "state": "succeeded", "owner_id": bob.id, "created_by": bob.id,
            "is_private": False, "priority": 0, "recipe_text": f"kind: none # {what}", "recipe_digest": "0" * 64,
            "resolved": {"with": {}, "seed": 0, "name": what}, "cpus": 1.0, "memory_bytes": 1, "gpus": 0, "retries": 0,
            "result": {what: what}, "created_at": now, "due_at": now, "started_at": now, "ended_at": now,
        }  # fmt: skip
        number = runs.insert_run(tx, values)
        heads = [each.head_commit for each in reads]
        inputs = [
            RunInput(f"{what}{n}", each.id, each.path, "main", head)
            for n, (each, head) in enumerate(zip(reads, heads, strict=True))
            if head is not None
        ]
        outputs = [Output(f"{what}{n}", each.id, each.path, each.is_private) for n, each in enumerate(makes)]
        runs.insert_parts(tx, number, inputs, outputs)
        for each, output in zip(makes, outputs, strict=True):
            head = each.head_commit
            assert head is not None
            runs.insert_commit(tx, Commit(number, output.name, 1, each.id, head, "main", {what: "0" * 64}, now))
        return number

    base, food = repo("model", OPEN["model"]), repo("dataset", OPEN["dataset"])
    model, rows = repo("model", SHUT["model"]), repo("dataset", SHUT["dataset"])
    first, second = run("plain", [base, food], []), run(WORD, [base, food], [model, rows])
    for number, of in ((first, base), (second, model)):
        evaluations.insert_evaluation(tx, _evaluation(number, of, food, rows if of is model else None))
    for name, access in ((f"{WORD}-members", "members"), ("spine-said", "everyone")):
        now = utcnow()
        values = {
            "owner_id": bob.id, "name": name, "name_key": name, "repo_id": model.id, "commit_id": model.head_commit,
            "file": f"{WORD}.gguf", "engine": "llama.cpp", "task": "generate", "access": access, "context_tokens": 64,
            "slots": 1, "idle_s": 0, "wanted": "stopped", "created_by": bob.id, "created_at": now, "changed_at": now,
        }  # fmt: skip
        endpoints.insert_endpoint(tx, values, now=now)
    return int(first), int(second)


def _evaluation(number: int, model: Repository, suite: Repository, results: Repository | None) -> Evaluation:
    what = WORD if results is not None else "plain"
    return Evaluation(
        run_id=number,  # type: ignore[arg-type]
        model_repo_id=model.id,
        model_commit=model.head_commit,
        endpoint=None,
        suite_repo_id=suite.id,
        suite_commit=CommitId(str(suite.head_commit)),
        results_repo_id=None if results is None else results.id,
        results_commit=None if results is None else results.head_commit,
        results_folder=what,
        command=f"lm_eval {what}",
        harness="lm-eval",
        few_shot=None,
        item_limit=None,
        seed=0,
        is_cut=False,
        reproduces=None,
        ended_at=utcnow(),
        scores=[
            Score(f"{what}-task", "acc", "none", False, True, what, "1", 10, 0.5, 0.1, True),
        ],
    )


def addresses(world: World) -> list[tuple[str, str]]:
    """Every GET route of ours for what is open, for what is private, and for each run."""
    found = []
    for route in server.routes():
        if route.method != "GET":
            continue
        for kind, named in (("model", OPEN), ("model", SHUT), ("dataset", OPEN), ("dataset", SHUT)):
            if f"/{'models' if kind == 'dataset' else 'datasets'}/" in route.pattern:
                continue
            ns, name = named[kind].split("/")
            for number in (world.open_run, world.shut_run):
                values = {
                    "ns": ns, "name": name, "type": f"{kind}s", "kind": kind, "id": str(number), "rev": "main",
                    "path": "README.md", "model": f"bob/{WORD}-members", "key": "mit", "subject": "owner", "user": "bob",
                    "org": "bob", "range": "main", "num": "1", "status": "pending", "format": "csv", "index": "0",
                }  # fmt: skip
                try:
                    address = path_for(route.pattern, **values)
                except KeyError:
                    continue
                if (route.pattern, address) not in found:
                    found.append((route.pattern, address))
    lists = (
        f"/runs/compare?ids={world.open_run},{world.shut_run}",
        f"/api/v1/run-comparison?ids={world.open_run},{world.shut_run}",
        "/api/v1/runs?limit=200", "/runs?owner=bob", "/api/v1/evaluations?limit=200", "/models?search=spine", "/bob",
        f"/datasets/{OPEN['dataset']}/leaderboard?every=1&partial=1&by=task",
        f"/api/v1/leaderboards/{OPEN['dataset']}?every=1&partial=1", "/v1/models/bob/spine-said",
        "/endpoints/bob/spine-said", "/api/v1/endpoints/bob/spine-said", "/playground?model=bob/spine-said",
        f"/endpoints/bob/{WORD}-members", f"/api/v1/endpoints/bob/{WORD}-members/log", "/settings/usage", "/log",
        "/api/v1/serving/usage", "/api/v1/serving/usage?owner=bob", "/settings/usage?owner=bob",
    )  # fmt: skip
    return [*found, *((path, path) for path in lists)]


@pytest.mark.parametrize("user", [None, "eve"])
def test_h06_nothing_of_the_spine_gives_what_is_private_away(world: World, user: str | None) -> None:
    telling = []
    asked = addresses(world)
    assert len(asked) > 300
    assert {"/runs/{id}", "/endpoints/{ns}/{name}", "/{ns}/{name}/lineage"} <= {pattern for pattern, _ in asked}
    names = [each.rpartition("/")[2] for each in SHUT.values()]
    shut = sorted([f"{WORD}-members", *names], key=len, reverse=True)
    with httpx.Client(base_url=world.app.url, headers=bearer(world.app, user, "admin"), timeout=60) as client:
        for pattern, address in asked:
            headers = {"Accept": "text/html, */*"}
            with client.stream("GET", address, headers=headers) as answer:
                text = (
                    ""
                    if "event-stream" in answer.headers.get("Content-Type", "")
                    else answer.read().decode("utf-8", "replace")
                )
            # The address itself may come back: as where to sign in, or as what was not found.
            for one in (address, *(shut if WORD in address else ())):
                text = text.replace(one, "").replace(one.replace("/", "%2F"), "")
            if WORD in text.lower():
                at = text.lower().index(WORD)
                telling.append((pattern, address, answer.status_code, text[max(0, at - 80) : at + 60]))
            if answer.is_success and WORD in address:
                telling.append((pattern, address, answer.status_code, "succeeds"))
            if answer.is_success and f"/{world.shut_run}" in address and "{id}" in pattern:
                telling.append((pattern, address, answer.status_code, "succeeds"))
            assert answer.status_code != 500, (address, text)
    assert not telling, "\n".join(map(str, telling))


@pytest.mark.parametrize("user", [None, "eve"])
def test_h07_what_is_open_counts_no_more_than_may_be_seen(world: World, user: str | None) -> None:
    def seen(who: str | None) -> dict[str, Any]:
        lineage = ask(world.app, who, "GET", f"/api/v1/grades/models/{OPEN['model']}/lineage").json()
        board = ask(world.app, who, "GET", f"/api/v1/leaderboards/{OPEN['dataset']}?every=1&partial=1").json()
        listed = ask(world.app, who, "GET", "/api/v1/runs?owner=bob&limit=200").json()
        compared = ask(world.app, who, "GET", f"/api/v1/run-comparison?ids={world.open_run},{world.shut_run}").json()
        return {
            "nodes": sorted(node["id"] for node in lineage["nodes"]),
            "board": json.dumps(board).count('"run"'),
            "runs": {world.open_run, world.shut_run} & {each["id"] for each in listed},
            "compared": compared["runs"],
        }

    mine, theirs = seen("bob"), seen(user)
    assert mine["nodes"] == sorted(
        [OPEN["model"], SHUT["model"], f"datasets/{SHUT['dataset']}",
         f"run:{world.open_run}", f"run:{world.shut_run}", f"endpoint:bob/{WORD}-members", "endpoint:bob/spine-said"]
    )  # fmt: skip
    assert theirs["nodes"] == sorted([OPEN["model"], f"run:{world.open_run}"])
    assert mine["runs"] == {world.open_run, world.shut_run}
    assert theirs["runs"] == {world.open_run}
    assert mine["compared"] == [world.open_run, world.shut_run]
    assert theirs["compared"] == [world.open_run]


def test_h07_an_endpoint_that_is_hidden_is_as_unknown_as_any_other(world: World) -> None:
    def asked(model: str) -> tuple[int, str]:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        answer = ask(world.app, "eve", "POST", "/v1/chat/completions", json=body)
        return answer.status_code, answer.text.replace(model, "")

    assert asked(f"bob/{WORD}-members") == asked("bob/nothing-members")
    listed = ask(world.app, "eve", "GET", "/v1/models").json()["data"]
    assert "bob/spine-said" in [each["id"] for each in listed]
    assert WORD not in json.dumps(listed)


BEYOND: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("POST", "/api/v1/runs", {"recipe": "kind: none"}),
    ("POST", "/api/v1/endpoints", {"model": OPEN["model"], "name": "taken"}),
    ("PATCH", "/api/v1/endpoints/bob/spine-said", {"access": "members"}),
    ("DELETE", "/api/v1/endpoints/bob/spine-said", None),
    ("POST", "/api/v1/endpoints/bob/spine-said/start", {}),
    ("GET", "/api/v1/endpoints/bob/spine-said/log", None),
    ("GET", "/api/v1/serving/usage", None),
    ("PUT", "/api/v1/serving/limits/owner/bob", {"requests_minute": 1_000_000}),
    ("POST", f"/api/v1/grades/models/{OPEN['model']}/overrides", {"criterion": "weights", "value": "open", "reason": "because it is"}),
    ("POST", "/api/repos/create", {"name": "by-a-key"}),
    ("POST", f"/api/models/{OPEN['model']}/branch/by-a-key", {}),
    ("PUT", f"/api/models/{OPEN['model']}/settings", {"private": True}),
    ("POST", "/settings/tokens", {"act": "create", "name": "more", "role": "admin"}),
    ("GET", f"/api/models/{SHUT['model']}", None),
    ("GET", f"/{SHUT['model']}/resolve/main/README.md", None),
    ("GET", f"/api/v1/grades/models/{SHUT['model']}", None),
    ("GET", f"/datasets/{SHUT['dataset']}/corpus", None),
)  # fmt: skip


def test_h05_a_key_for_asking_models_does_nothing_else(world: World) -> None:
    key = bearer(world.app, "bob", "infer")
    for method, path, body in (*BEYOND, ("POST", f"/api/v1/evaluations/{world.open_run}/reproduce", {})):
        answer = httpx.request(method, world.app.url + path, headers=key, json=body, timeout=60)
        assert answer.status_code in (401, 403, 404), (method, path, answer.status_code, answer.text)
        said = answer.text
        for name in sorted((each.rpartition("/")[2] for each in SHUT.values()), key=len, reverse=True):
            said = said.replace(name, "")  # as it was asked for
        assert WORD not in said, path
    for number in (world.shut_run, world.open_run):
        answer = httpx.get(f"{world.app.url}/api/v1/runs/{number}", headers=key)
        assert answer.status_code == (200 if number == world.open_run else 404), "it sees what strangers see"
    # It may ask what its owner may.
    body = {"model": f"bob/{WORD}-members", "messages": [{"role": "user", "content": "hello"}]}
    assert httpx.post(f"{world.app.url}/v1/chat/completions", headers=key, json=body).status_code == 503


def test_h05_what_a_run_may_do_ends_at_what_it_names(world: World) -> None:
    """A token as runs are given: it reads one repository and puts commits into another."""
    with world.app.opened() as site:

        def act(tx: Tx) -> str:
            read = find_by_name(tx, RepoKind.DATASET, RepoName(*SHUT["dataset"].split("/")))
            push = find_by_name(tx, RepoKind.MODEL, RepoName(*OPEN["model"].split("/")))
            assert read is not None
            assert push is not None
            grants, now = [Grant("read", None, read.id), Grant("push", None, push.id)], utcnow()
            owner, ends = accounts.get_account(tx, "bob").id, now + timedelta(hours=1)
            return accounts.create_run_token(tx, owner, name="a run", grants=grants, expires_at=ends, now=now).secret

        key = {"Authorization": f"Bearer {site.db.write(act)}"}

    def status(method: str, path: str, body: dict[str, Any] | None = None) -> int:
        return httpx.request(method, world.app.url + path, headers=key, json=body, timeout=60).status_code

    for method, path, body in BEYOND:
        expected = (200,) if path == f"/datasets/{SHUT['dataset']}/corpus" else (401, 403, 404)
        if path.endswith("/branch/by-a-key"):
            continue  # a run may keep its checkpoints as revisions of its output
        assert status(method, path, body) in expected, (method, path)
    asked = {"model": "bob/spine-said", "messages": [{"role": "user", "content": "hello"}]}
    assert status("POST", "/v1/chat/completions", asked) == 403
    assert status("POST", f"/api/v1/runs/{world.shut_run}/report", {}) in (403, 404)
    assert status("POST", f"/api/v1/runs/{world.open_run}/report", {}) == 403
    assert status("POST", f"/api/v1/evaluations/{world.open_run}/reproduce", {}) == 403
