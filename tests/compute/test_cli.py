"""``headwater run`` against a running server, as a person and as whoever has the data folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.compute.client import RunsClient, act
from tests.conftest import LiveApp, clean_env


def _run(app: LiveApp, *arguments: str, stdin: str = "", **env: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "headwater", "run", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=clean_env({"HF_ENDPOINT": app.url, **env}),
    )
    return done.returncode, done.stdout, done.stderr


def test_a_run_from_submitting_to_comparing(runs_app: LiveApp, tmp_path: Path) -> None:
    ada = {"HF_TOKEN": runs_app.token("ada")}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(act("by command", "sleep", seconds=0.2))
    code, said, _ = _run(runs_app, "submit", str(recipe), "--wait", **ada)
    assert code == 0
    assert "started sleep attempt 1" in said
    assert "succeeded" in said
    code, said, _ = _run(runs_app, "submit", "-", "--wait", "--json", stdin=act("bad end", "exit", code=4), **ada)
    assert (code, json.loads(said)["state"]) == (1, "failed")
    failed = json.loads(said)["id"]
    code, said, _ = _run(runs_app, "list", "--json", "--owner", "ada", **ada)
    found: list[dict[str, Any]] = json.loads(said)
    assert found[0]["id"] == failed
    other = next(each["id"] for each in found if each["name"] == "by command")
    assert "by command" in _run(runs_app, "show", str(other), **ada)[1]
    assert _run(runs_app, "logs", str(other), **ada)[1] == "started sleep attempt 1\n"
    assert _run(runs_app, "logs", str(other), "-f", **ada)[1] == "started sleep attempt 1\n"
    compared = json.loads(_run(runs_app, "compare", str(failed), str(other), "--json", **ada)[1])
    assert compared["runs"] == [failed, other]
    assert {row["name"] for row in compared["recipe"]} >= {"with.act"}


def test_what_is_wrong_with_a_recipe_is_told(runs_app: LiveApp) -> None:
    ada = {"HF_TOKEN": runs_app.token("ada")}
    code, said, _ = _run(runs_app, "submit", "-", "--check", stdin=act("x", "sleep", wrong=1), **ada)
    assert (code, "with.wrong" in said) == (1, True)
    code, said, _ = _run(runs_app, "submit", "-", stdin=act("x", "sleep", wrong=1), **ada)
    assert (code, "with.wrong" in said) == (1, True)
    code, _, told = _run(runs_app, "show", "999999", **ada)
    assert code == 1
    assert "no such run" in told
    code, _, told = _run(runs_app, "submit", "-", stdin=act("x", "sleep"))
    assert (code, "Sign in" in told or "sign in" in told.lower()) == (1, True)


def test_whoever_has_the_data_folder_acts_as_a_person(runs_app: LiveApp) -> None:
    made = runs_app.cli("run", "submit", "-", "--as", "eve", stdin=act("for eve", "sleep"))
    assert (made["owner"], made["submitter"]) == ("eve", "eve")
    runs_app.cli("run", "cancel", str(made["id"]), "--as", "eve")
    assert RunsClient(runs_app, "eve").wait(made["id"])["state"] == "cancelled"
    with runs_app.opened() as site:
        left = [each.name for each in site.db.read(_tokens, "eve")]
    assert "headwater run" not in left


def _tokens(tx: Any, name: str) -> Any:
    from headwater import accounts
    from headwater.kernel import SYSTEM

    return accounts.list_tokens(tx, SYSTEM, owner=name)


def test_a_quota_is_set(runs_app: LiveApp) -> None:
    told = runs_app.cli("run", "quota", "bob", "--cpus", "0.5", "--runs", "1")
    assert (told["cpus"], told["runs"]) == (0.5, 1)
    bob = RunsClient(runs_app, "bob")
    first, second = (bob.submit(act(f"q{n}", "sleep", seconds=1)) for n in (1, 2))
    bob.wait(second["id"])
    ends = [bob.show(each["id"]) for each in (first, second)]
    assert ends[0]["ended_at"] <= ends[1]["started_at"], "one at a time"
