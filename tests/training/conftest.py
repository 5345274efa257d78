"""One server with one tiny model and small datasets, shared by these tests."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.compute.client import RunsClient
from tests.conftest import LiveApp
from tests.serving.tiny import make_tiny

WORDS = ("rain", "river", "stone", "水", "山", "云")


@pytest.fixture(scope="package")
def training_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    folder = tmp_path_factory.mktemp("training")
    env = {
        "HEADWATER_COMPUTE_CPUS": "2",
        "HEADWATER_COMPUTE_MEMORY_GB": "8",
        "HEADWATER_COMPUTE_PEAK_TFLOPS": "0.1",
        "HEADWATER_COMPUTE_PEAK_SOURCE": "measured with a benchmark of ours",
    }
    app = LiveApp(folder / "data", env=env, options={"workers": 1})
    try:
        app.add_people()
        hf = app.hf("ada")
        hf.create_repo("ada/tiny")
        hf.upload_folder(repo_id="ada/tiny", folder_path=make_tiny(folder / "tiny"))
        texts = [{"text": f"The {a} meets the {b}. " * 8} for a in WORDS for b in WORDS]
        add_dataset(app, "texts", [*texts, {"text": " "}])
        asked = [{"prompt": f"What is {a}?", "completion": f"{a} is {b}."} for a in WORDS for b in WORDS]
        add_dataset(app, "answers", [*asked, {"prompt": "?", "completion": ""}])
        pairs = [{"prompt": f"Is {a} {b}?", "chosen": "Yes.", "rejected": "No."} for a in WORDS for b in WORDS]
        add_dataset(app, "pairs", pairs)
        add_dataset(app, "empty", [{"prompt": "a", "completion": ""}, {"prompt": "", "completion": "b"}])
        yield app
    finally:
        app.stop()
        app.end_runs()
    app.check_clean()


def add_dataset(app: LiveApp, name: str, rows: list[dict[str, str]]) -> None:
    hf = app.hf("ada")
    hf.create_repo(f"ada/{name}", repo_type="dataset")
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    hf.upload_file(path_or_fileobj=data, path_in_repo="train.jsonl", repo_id=f"ada/{name}", repo_type="dataset")


@pytest.fixture
def ada(training_app: LiveApp) -> RunsClient:
    return RunsClient(training_app, "ada")


def recipe(method: str, data: str, out: str, fields: str, *, retries: int = 0, memory_gb: float = 4) -> str:
    if "max_length:" not in fields:
        fields = f"max_length: 64\n{fields.strip()}"
    lines = "\n".join(f"  {line}" for line in fields.strip().splitlines())
    return f"""
kind: train
name: {method} into {out}
inputs:
  base: {{repo: models/ada/tiny}}
  data: {{repo: datasets/ada/{data}}}
outputs:
  model: {{repo: models/ada/{out}}}
resources: {{cpus: 1, memory_gb: {memory_gb}, time_limit_s: 800}}
retries: {retries}
seed: 11
with:
  method: {method}
{lines}
"""
