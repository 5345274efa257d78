"""Evaluating by a run beside lm-eval by hand: ``python -m bench.evaluation_bench``.

The model is small and random (6 layers of 256, its tokenizer one of bytes), the tasks are three of the bilingual suite that compare
likelihoods, and one that writes. Both are asked how long ``simple_evaluate`` took, in turn, and how much of processors; both must come
to the same scores. What it still imports is in it: most of the time of so small a load.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

from bench.harness import Headwater, Report, headwater, workspace
from bench.training_bench import _MAKE

ROOT = Path(__file__).parent.parent
GOAL = 0.95
SUITE, TASKS = "headwater-bilingual", ("calculation_choice", "code_choice", "knowledge_choice", "code_letter")
_UPLOAD = """
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("ada/base", exist_ok=True)
api.upload_folder(repo_id="ada/base", folder_path=sys.argv[1])
"""
# As lm-eval's own command calls it. The suite's metric is the only thing of ours in it.
_BY_HAND = """
import json, os, sys, time
import lm_eval
import lm_eval.models.huggingface  # as a run has, before it begins to count
from lm_eval.tasks import TaskManager
from headwater.evaluation.program import judging
judging.register()
model, configs, *tasks = sys.argv[1:]
began, used = time.perf_counter(), sum(os.times()[:4])
found = lm_eval.simple_evaluate(
    model="hf", model_args={"pretrained": model, "dtype": "float32"}, tasks=tasks, batch_size=8, device="cpu", log_samples=True,
    task_manager=TaskManager(include_path=configs, include_defaults=False),
    random_seed=1, numpy_random_seed=1, torch_random_seed=1, fewshot_random_seed=1,
)
seconds, cpu_s = time.perf_counter() - began, sum(os.times()[:4]) - used
scores = {name: {key: value for key, value in each.items() if key.startswith(("acc,", "checked,"))}
          for name, each in found["results"].items()}
print("TOLD", json.dumps([seconds, cpu_s, scores]))
"""
_CONFIGS = """
import sys
from pathlib import Path
from headwater.evaluation import publishing
from headwater.evaluation.program.suite import write_configs
folder = publishing.folder_of(sys.argv[1])
write_configs(publishing.read_folder(folder)[0], folder, Path(sys.argv[2]))
"""
_RECIPE = f"""
kind: evaluate
name: bench
inputs:
  model: {{repo: models/ada/base}}
  suite: {{repo: datasets/ada/suite}}
outputs:
  results: {{repo: datasets/ada/results}}
resources: {{cpus: CPUS, memory_gb: 6}}
seed: 1
with: {{tasks: [{", ".join(TASKS)}], batch_size: 8, dtype: float32}}
"""


def by_hand(folder: Path, cpus: int, number: int) -> tuple[float, float, dict[str, float]]:
    threads = {name: str(cpus) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    env = {
        **os.environ,
        **threads,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / f"home-{number}"),  # a run has its own, too: neither finds tasks that were read before
        "TOKENIZERS_PARALLELISM": "false",
    }
    # As nice as runs are.
    done = subprocess.run(
        ["nice", "-n", "5", sys.executable, "-c", _BY_HAND, str(folder / "base"), str(folder / "tasks"), *TASKS],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("TOLD "))
    seconds, cpu_s, scores = json.loads(line[5:])
    return float(seconds), float(cpu_s), {name: value for name, each in scores.items() for value in each.values()}


def by_run(site: Headwater, http: httpx.Client, cpus: int) -> tuple[float, float, dict[str, float]]:
    made = http.post("/api/v1/runs", json={"recipe": _RECIPE.replace("CPUS", str(cpus))}).raise_for_status().json()
    while (told := http.get(f"/api/v1/runs/{made['id']}").json())["state"] in ("queued", "starting", "running"):
        time.sleep(0.5)
    assert told["state"] == "succeeded", http.get(f"/api/v1/runs/{made['id']}/logs").text[-2000:]
    found: dict[str, Any] = http.get(f"/api/v1/evaluations/{made['id']}").raise_for_status().json()
    result = told["result"]
    return float(result["seconds"]), float(result["cpu_s"]), {each["task"]: each["value"] for each in found["scores"]}


def run(report: Report, *, rounds: int) -> None:
    missing = [name for name in ("torch", "lm_eval") if find_spec(name) is None]
    if missing:
        report.add(
            "Evaluating by a run beside lm-eval by hand",
            f"not measured: no {', '.join(missing)}",
            f"≥ {GOAL}",
            met=None,
        )
        return
    cpus = os.cpu_count() or 1
    with workspace() as folder, headwater(folder) as site:
        own = {**os.environ, **site.env, "HF_ENDPOINT": site.url, "HF_TOKEN": site.token}
        for code, arguments in (
            (_MAKE, [str(folder / "base"), str(ROOT)]),
            (_UPLOAD, [str(folder / "base")]),
            (_CONFIGS, [SUITE, str(folder / "tasks")]),
        ):
            subprocess.run([sys.executable, "-c", code, *arguments], env=own, check=True, capture_output=True)
        publish = [sys.executable, "-m", "headwater", "suite", "publish", SUITE, "ada/suite"]
        subprocess.run(publish, env=own, check=True, capture_output=True)
        http = httpx.Client(base_url=site.url, headers={"Authorization": f"Bearer {site.token}"}, timeout=60)
        hands: list[tuple[float, float]] = []  # seconds, and those of processors
        runs: list[tuple[float, float]] = []
        for number in range(rounds):
            for is_run in (True, False) if number % 2 else (False, True):
                if is_run:
                    *took, scores = by_run(site, http, cpus)
                    runs.append((took[0], took[1]))
                else:
                    *took, bare = by_hand(folder, cpus, number)
                    hands.append((took[0], took[1]))
            assert scores == bare, (scores, bare)
    for unit, what in enumerate(("seconds", "CPU seconds")):
        share = statistics.median(hand[unit] / run[unit] for hand, run in zip(hands, runs, strict=True))
        report.add(
            f"Evaluating by a run beside lm-eval by hand (40 items, the same scores), {what}",
            f"{share:.3f} of its speed ({statistics.median(hand[unit] for hand in hands):.1f} s)",
            f"≥ {GOAL}",
            met=share >= GOAL,
        )


if __name__ == "__main__":
    own_report = Report()
    run(own_report, rounds=int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    print(own_report.markdown())
