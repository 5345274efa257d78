"""The tour, on the smallest true input: the real model, real texts, every step by the command that people give.

Where llama.cpp is not built, the model is served by the engine transformers, and converted to a form that needs no llama-quantize;
the tour says so itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest

from headwater.compute.engines import find_program
from headwater.serving.engines import llama
from headwater.tour import material
from headwater.tour.errors import TourBrokeOff
from headwater.tour.recipes import SMALL, At
from headwater.tour.visiting import Visit
from headwater.tour.walking import Plan, Walk
from tests.conftest import LiveApp, clean_env

pytestmark = [pytest.mark.train, pytest.mark.evaluate, pytest.mark.corpora, pytest.mark.timeout(1200)]

STEPS = 12


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    folder = tmp_path_factory.mktemp("tour")
    app = LiveApp(
        folder / "data", env={"HEADWATER_COMPUTE_CPUS": "2", "HEADWATER_COMPUTE_MEMORY_GB": "6"}, options={"workers": 1}
    )
    try:
        yield app
    finally:
        app.stop()
        app.end_runs()
    app.check_clean()


def walk(app: LiveApp, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headwater", "tour", f"--data={app.data}", "--small", *options],
        capture_output=True,
        text=True,
        check=False,
        env=clean_env(),
    )


def page(app: LiveApp, address: str, language: str) -> httpx.Response:
    assert address.startswith(app.url), address
    return httpx.get(address, headers={"Accept-Language": language}, timeout=60)


def test_the_whole_chain_on_real_input(app: LiveApp) -> None:
    done = walk(app, "--json")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    told: dict[str, Any] = json.loads(done.stdout)
    steps = told["steps"]
    assert len(steps) == STEPS
    assert not any(step["was_there"] for step in steps)
    has_llama = find_program("llama.cpp", llama.SERVER) is not None
    served = next(step for step in steps if step["title"] == "Serve it")
    assert served["note"].startswith(
        "by llama.cpp" if has_llama else "by transformers, the safetensors: llama.cpp is not here"
    )
    assert "Paris" in told["answer"]
    for when in ("before", "after"):
        assert 0 <= told["scores"][when]["value"] <= 1

    # Every address that it prints is a page, for strangers, in both languages.
    private = ("the playground", "what was used", "the endpoint")
    for name, address in told["pages"].items():
        if name not in private:
            for language in ("en", "zh-CN"):
                found = page(app, address, language)
                assert found.status_code == 200, (name, address)

    # The chain hangs together: from the texts to the endpoint, by what the runs have written.
    api = f"{app.url}/api/v1"
    lineage = httpx.get(f"{api}/grades/models/tour/SmolLM2-135M-Tour/lineage").json()
    here = {node["id"] for node in lineage["nodes"]}
    assert {
        "tour/SmolLM2-135M-Instruct-GGUF", "tour/SmolLM2-135M-Instruct", "datasets/tour/tour-texts",
        "datasets/tour/tour-corpus", "tour/SmolLM2-135M-Tour", "tour/SmolLM2-135M-Tour-GGUF",
    } <= here  # fmt: skip
    grade = httpx.get(f"{api}/grades/models/tour/SmolLM2-135M-Tour").json()
    values = {row["criterion"]: row["value"] for row in grade["evidence"]}
    assert values["weights"] == "open", values
    runs = httpx.get(f"{api}/runs", params={"owner": "tour"}).json()
    assert [run["state"] for run in runs] == ["succeeded"] * 6

    # A second tour finds all of it, and does nothing again but ask.
    again = walk(app, "--json")
    assert again.returncode == 0, again.stderr
    second = json.loads(again.stdout)
    assert [step["title"] for step in second["steps"] if not step["was_there"]] == [
        "Grade its openness",
        "Ask it by the openai SDK",
    ]
    assert second["answer"] == told["answer"]
    assert len(httpx.get(f"{api}/runs", params={"owner": "tour"}).json()) == 6


def test_a_tour_without_a_site_says_how_to_start_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "headwater", "tour", f"--data={tmp_path / 'none'}"],
        capture_output=True, text=True, check=False, env=clean_env(),
    )  # fmt: skip
    assert done.returncode == 1
    assert "make up" in done.stderr
    assert not (tmp_path / "none").exists()


def test_a_folder_without_texts_is_refused_before_anything_is_sent(app: LiveApp, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    done = walk(app, "--as", "tour", "--text", str(tmp_path))
    assert done.returncode == 1
    assert "at least 10 texts" in done.stderr


def test_texts_of_your_own_are_private_and_hidden_ones_are_left_out(tmp_path: Path) -> None:
    for name in [".keys/a.txt", "in/.b.txt", *(f"in/{n}.txt" for n in range(10))]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    [texts] = material.texts_here(tmp_path)
    assert [path.name for path in texts.iter_files()] == [f"{n}.txt" for n in range(10)]
    plan = Plan(SMALL, tmp_path, [texts], cpus=1, has_quantizer=True, has_server=True)
    asked: list[str] = []
    visit = Mock(own="ada")
    visit.put.side_effect = lambda repo, *_, **how: (At(repo, "0" * 40), asked.append(f"{repo} {how['private']}"))
    visit.run.side_effect = lambda _, recipe, output: (asked.append(recipe), {}, 1 / 0)
    walk = Walk(
        visit, plan, Mock(), Mock(), at=dict.fromkeys(("base", "suite", "corpus", "trained"), At("models/a/b", "1"))
    )
    walk._import_texts("")
    for step in (walk._corpus, walk._train, walk._evaluate_after, walk._to_gguf):
        with pytest.raises(ZeroDivisionError):
            step("")
    assert asked[0] == "datasets/ada/tour-texts-private True"
    assert [recipe.count("-private, private: true}") for recipe in asked[1:]] == [1, 1, 1, 1]


def test_private_texts_are_never_put_into_a_public_repository(tmp_path: Path) -> None:
    visit = Visit("http://127.0.0.1:9", "hw_none", "ada", tell=Mock())
    visit.hf = Mock()
    visit.hf.repo_info.return_value.private = False
    with pytest.raises(TourBrokeOff, match="is public"):
        visit.put("datasets/ada/tour-texts-private", tmp_path, "Texts", private=True)
    visit.hf.upload_folder.assert_not_called()
