"""Models trained by runs: a base model and a dataset in, a model with its curves and checkpoints out."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import snapshot_download

from tests.compute.client import RunsClient
from tests.conftest import LiveApp, wait_for
from tests.training.conftest import recipe

pytestmark = [pytest.mark.train, pytest.mark.timeout(1000)]

SFT = "steps: 4\nlearning_rate: 0.01\nlora: {rank: 4}\ncheckpoints: {every: 2}"


def _done(ada: RunsClient, text: str) -> dict[str, Any]:
    run = ada.submit(text)
    over = ada.wait(run["id"], timeout_s=800)
    assert over["state"] == "succeeded", f"{over['reason']}\n{ada.log(run['id'])}"
    return over


def _fetch(app: LiveApp, name: str, folder: Path, revision: str = "main") -> Path:
    token = app.token("ada")
    return Path(
        snapshot_download(
            f"ada/{name}", revision=revision, endpoint=app.url, token=token, local_dir=folder / f"{name}-{revision}"
        )
    )


def test_fine_tuning_by_lora_makes_a_model_with_card_curves_and_checkpoints(
    training_app: LiveApp, ada: RunsClient, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    over = _done(ada, recipe("sft", "answers", "lora", SFT))
    told = over["result"]
    assert told["steps"] == 4
    assert told["rows"] == 36
    assert told["unused"] == {"empty completion": 1}
    assert told["tokens_per_s"] > 0
    assert told["peak"] == "0.1 TFLOP/s, measured with a benchmark of ours"
    folder = _fetch(training_app, "lora", tmp_path)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert told["weights"] == sum(p.numel() for p in model.parameters()) - model.get_input_embeddings().weight.numel()
    flops = 4 * told["weights"] + 6 * told["adapter_weights"]  # and attention's, for sequences of up to 64 tokens
    assert flops < told["mfu"] * 0.1e12 / told["tokens_per_s"] < flops + 12 * 2 * 32 * 64
    assert AutoTokenizer.from_pretrained(folder).chat_template
    about = (folder / "README.md").read_text()
    for said in ("base_model: ada/tiny", "- ada/answers", "base_model_relation: finetune", "license: apache-2.0"):
        assert said in about
    assert "data/runs" not in "".join(path.read_text() for path in folder.glob("*.json"))
    assert (folder / "training" / "loss.svg").read_text().count("<polyline") == 1
    curve = [json.loads(line) for line in (folder / "training" / "curves.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in curve if "loss" in entry] == [1, 2, 3, 4]
    assert (folder / "provenance.intoto.json").exists()
    branches = {each.name for each in training_app.hf("ada").list_repo_refs("ada/lora").branches}
    assert branches == {"main", "step-2", "step-4"}
    step = _fetch(training_app, "lora", tmp_path, "step-2")
    assert json.loads((step / "adapter_config.json").read_text())["base_model_name_or_path"] == "ada/tiny"
    metrics = ada.http.get(f"/runs/{over['id']}/metrics").json()
    assert "loss" in json.dumps(metrics)
    for language, said in (("en", "What was trained"), ("zh-CN", "训练结果")):
        page = httpx.get(f"{training_app.url}/runs/{over['id']}", headers={"Accept-Language": language})
        assert page.status_code == 200
        assert said in page.text
        assert "/ada/lora/tree/step-2" in page.text
        assert "measured with a benchmark of ours" in page.text
        assert "(4N + 6N_adapter + 12LHQT) / peak (after PaLM, arXiv:2204.02311, appendix B)" in page.text


def test_fine_tuning_of_all_weights_learns_the_answers(training_app: LiveApp, ada: RunsClient, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    fields = "epochs: 2\nlearning_rate: 0.01\nbatch_size: 6\ncheckpoints: {revisions: false}"
    over = _done(ada, recipe("sft", "answers", "full", fields))
    assert (over["result"]["rows"], over["result"]["steps"]) == (36, 12)
    base, tuned = (load_file(_fetch(training_app, name, tmp_path) / "model.safetensors") for name in ("tiny", "full"))
    assert base.keys() == tuned.keys()
    assert [name for name in base if bool((base[name] == tuned[name]).all())] == []
    folder = tmp_path / "full-main"
    assert not list(folder.glob("adapter*"))
    assert "base_model_relation: finetune" in (folder / "README.md").read_text()
    curve = [json.loads(line) for line in (folder / "training" / "curves.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in curve if "loss" in entry]
    assert losses[-1] < 0.7 * losses[0]


def test_a_training_that_was_killed_goes_on_and_ends_where_it_would_have(
    training_app: LiveApp, ada: RunsClient, tmp_path: Path
) -> None:
    fields = "steps: 8\nlearning_rate: 0.01\nbatch_size: 2\ncheckpoints: {every: 1, revisions: %s}"
    run = ada.submit(recipe("pretrain", "texts", "killed", fields % "true", retries=1))
    work = training_app.data / "runs" / str(run["id"]) / "work"
    wait_for((work / "checkpoints" / f"{2:012}").exists, timeout_s=200, what="a checkpoint")
    os.kill(_program_of(work), signal.SIGKILL)
    over = ada.wait(run["id"], timeout_s=800)
    assert over["state"] == "succeeded", f"{over['reason']}\n{ada.log(run['id'])}"
    assert 2 <= over["result"]["resumed_from"] < 8
    assert over["result"]["revisions"] == [f"step-{n}" for n in range(1, 9)]
    whole = _done(ada, recipe("pretrain", "texts", "whole", fields % "false"))
    assert whole["result"]["resumed_from"] is None
    killed, straight = _fetch(training_app, "killed", tmp_path), _fetch(training_app, "whole", tmp_path)
    assert (killed / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()
    steps = [json.loads(line) for line in (killed / "training" / "curves.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in steps if "loss" in entry] == list(range(1, 9))


def _program_of(work: Path) -> int:
    """The process that trains in this folder."""
    mark = f"HEADWATER_RUN_FOLDER={work}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    return int(entry.name)
            except OSError:
                continue
    raise AssertionError("no process works there")


def test_preferences_are_learnt_into_an_adapter(training_app: LiveApp, ada: RunsClient, tmp_path: Path) -> None:
    fields = "steps: 3\nlearning_rate: 0.01\nbeta: 0.5\nlora: {rank: 2, merge: false}\ncheckpoints: {revisions: false}"
    over = _done(ada, recipe("dpo", "pairs", "preferring", fields))
    folder = _fetch(training_app, "preferring", tmp_path)
    assert (folder / "adapter_model.safetensors").exists()
    assert not (folder / "model.safetensors").exists()
    said = json.loads((folder / "adapter_config.json").read_text())
    assert said["base_model_name_or_path"] == "ada/tiny"
    assert "base_model_relation: adapter" in (folder / "README.md").read_text()
    assert "rewards/margins" in json.dumps(ada.http.get(f"/runs/{over['id']}/metrics").json())


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_what_was_good(
    training_app: LiveApp, ada: RunsClient, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    fields = "steps: 20\nlearning_rate: 1.0e+24\nschedule: constant\ncheckpoints: {every: 1, revisions: false}"
    run = ada.submit(recipe("sft", "answers", "broken", fields))
    over = ada.wait(run["id"], timeout_s=800)
    assert (over["state"], over["reason"]["code"]) == ("failed", "loss_not_finite"), ada.log(run["id"])
    assert (
        "the last good checkpoint is that of step 1, kept as branch step-1 of ada/broken"
        in over["reason"]["message"].lower()
    )
    kept = AutoModelForCausalLM.from_pretrained(_fetch(training_app, "broken", tmp_path, "step-1"))
    assert all(bool(p.isfinite().all()) for p in kept.parameters())


def test_a_training_that_needs_more_memory_than_it_may_have_ends_and_the_site_goes_on(
    training_app: LiveApp, ada: RunsClient
) -> None:
    fields = "steps: 4\nbatch_size: 4096\nmax_length: 8192"
    run = ada.submit(recipe("pretrain", "texts", "hungry", fields, memory_gb=0.4))
    over = ada.wait(run["id"], timeout_s=800)
    assert (over["state"], over["reason"]["code"]) == ("failed", "memory_limit"), ada.log(run["id"])
    assert training_app.process.poll() is None
    assert httpx.get(f"{training_app.url}/runs/{run['id']}").status_code == 200
    assert not training_app.hf("ada").repo_exists("ada/hungry")


def test_rows_longer_than_the_models_context_are_refused(training_app: LiveApp, ada: RunsClient) -> None:
    run = ada.submit(recipe("pretrain", "texts", "long", "steps: 4\nmax_length: 16384"))
    over = ada.wait(run["id"], timeout_s=800)
    assert (over["state"], over["reason"]["code"]) == ("failed", "contradictory_sizes"), ada.log(run["id"])
    assert "max_length is 16,384 tokens, and the base model's context has 8,192" in over["reason"]["message"]


def test_a_dataset_without_usable_rows_is_refused_with_the_reasons(training_app: LiveApp, ada: RunsClient) -> None:
    run = ada.submit(recipe("sft", "empty", "nothing", "steps: 1"))
    over = ada.wait(run["id"], timeout_s=800)
    assert (over["state"], over["reason"]["code"]) == ("failed", "no_usable_rows")
    assert "No row of 2 can be used" in over["reason"]["message"]
    assert "empty completion: 1" in over["reason"]["message"]
    assert "empty prompt: 1" in over["reason"]["message"]
    assert not training_app.hf("ada").repo_exists("ada/nothing")


def test_every_problem_of_a_recipe_is_told_before_it_runs(training_app: LiveApp, ada: RunsClient) -> None:
    text = """
kind: train
name: wrong
inputs:
  data: {repo: models/ada/tiny}
  more: {repo: datasets/ada/texts}
outputs:
  adapter: {repo: models/ada/out}
with: {method: sft, steps: 1}
"""
    answer = ada.http.post("/runs", json={"recipe": text})
    assert answer.status_code == 422
    for said in (
        "there is no input 'base'",
        "it is a model, and a dataset is needed",
        "nothing in a recipe of kind train uses it",
        "there is no output 'model'",
    ):
        assert said in answer.text, answer.text
