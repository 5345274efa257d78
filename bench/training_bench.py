"""Training by a run beside the same TRL script by hand: ``python -m bench.training_bench [ROUNDS [CPUS]]``.

The model is small and random (6 layers of 256, its tokenizer one of bytes), the rows are all as long as a sequence may be.
Both are asked in turn for what the trainer itself says: tokens that it has seen, over the seconds of its whole loop; and over
the CPU seconds of that loop (all threads, and whatever a run adds), which hold on a busy machine, too.
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
from typing import NamedTuple

import httpx

from bench.harness import Headwater, Report, headwater, workspace

ROOT = Path(__file__).parent.parent
STEPS, BATCH, LENGTH = 60, 4, 256
GOAL = 0.95
_MAKE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from transformers import AutoConfig, LlamaForCausalLM
from tests.serving.tiny import make_tiny
folder = make_tiny(Path(sys.argv[1]))
config = AutoConfig.from_pretrained(folder)
config.update(dict(hidden_size=256, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=4, num_key_value_heads=4,
                   head_dim=64))
LlamaForCausalLM(config).save_pretrained(folder)
"""
_UPLOAD = """
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("ada/base", exist_ok=True)
api.upload_folder(repo_id="ada/base", folder_path=sys.argv[1])
api.create_repo("ada/rows", repo_type="dataset", exist_ok=True)
api.upload_file(repo_id="ada/rows", repo_type="dataset", path_in_repo="train.jsonl", path_or_fileobj=sys.argv[2])
"""
# As one would write it, with the settings of the recipe below.
_BY_HAND = f"""
import json, sys, time
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer
base, rows, out = sys.argv[1:]
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(base),
    processing_class=AutoTokenizer.from_pretrained(base),
    train_dataset=load_dataset("json", data_files=rows, split="train"),
    args=SFTConfig(output_dir=out, max_steps={STEPS}, per_device_train_batch_size={BATCH}, max_length={LENGTH}, bf16=False,
                   gradient_checkpointing=False, packing=True, packing_strategy="wrapped", logging_steps=1, seed=1,
                   report_to="none", disable_tqdm=True, use_cpu=True, learning_rate=1e-4),
)
begun = time.process_time()
trainer.train()
cpu_s = time.process_time() - begun
told = {{}}
for entry in trainer.state.log_history:
    told.update(entry)
print("TOLD", json.dumps([told["num_tokens"], told["train_runtime"], cpu_s]))
"""
_RECIPE = f"""
kind: train
name: bench
inputs:
  base: {{repo: models/ada/base}}
  data: {{repo: datasets/ada/rows}}
outputs:
  model: {{repo: models/ada/trained}}
resources: {{cpus: CPUS, memory_gb: 6}}
seed: 1
with: {{method: pretrain, steps: {STEPS}, batch_size: {BATCH}, max_length: {LENGTH}, learning_rate: 1.0e-4,
       checkpoints: {{every: 1000, revisions: false}}}}
"""


class Speed(NamedTuple):
    """Tokens a second, by the clock and by CPU time."""

    per_s: float
    per_cpu_s: float


def by_hand(folder: Path, number: int, cpus: int) -> Speed:
    threads = {name: str(cpus) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    env = {
        **os.environ,
        **threads,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "home"),
        "TOKENIZERS_PARALLELISM": "false",
    }
    arguments = [str(folder / "base"), str(folder / "rows.jsonl"), str(folder / f"out{number}")]
    # As nice as runs are.
    done = subprocess.run(
        ["nice", "-n", "5", sys.executable, "-c", _BY_HAND, *arguments],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("TOLD "))
    tokens, seconds, cpu_s = (float(each) for each in json.loads(line[5:]))
    return Speed(tokens / seconds, tokens / cpu_s)


def by_run(site: Headwater, http: httpx.Client, cpus: int) -> Speed:
    text = _RECIPE.replace("CPUS", str(cpus))
    made = http.post("/api/v1/runs", json={"recipe": text}).raise_for_status().json()
    while (told := http.get(f"/api/v1/runs/{made['id']}").json())["state"] in ("queued", "starting", "running"):
        time.sleep(0.5)
    assert told["state"] == "succeeded", http.get(f"/api/v1/runs/{made['id']}/logs").text[-2000:]
    found = http.get(f"/ada/trained/resolve/{told['result']['commit']}/training/curves.jsonl", follow_redirects=True)
    facts: dict[str, float] = {}
    for line in found.raise_for_status().text.splitlines():
        facts |= json.loads(line)
    return Speed(facts["num_tokens"] / facts["train_runtime"], facts["num_tokens"] / told["result"]["cpu_s"])


def run(report: Report, *, rounds: int, cpus: int | None = None) -> None:
    missing = [name for name in ("torch", "trl", "peft") if find_spec(name) is None]
    if missing:
        report.add(
            "Training by a run beside TRL by hand", f"not measured: no {', '.join(missing)}", f"≥ {GOAL}", met=None
        )
        return
    cpus = cpus or os.cpu_count() or 1
    with workspace() as folder, headwater(folder) as site:
        subprocess.run([sys.executable, "-c", _MAKE, str(folder / "base"), str(ROOT)], check=True, capture_output=True)
        words = " ".join(f"river {n} meets stone {n * n}" for n in range(40))
        rows = "".join(json.dumps({"text": f"{n} {words}"}) + "\n" for n in range(400))
        (folder / "rows.jsonl").write_text(rows)
        subprocess.run(
            [sys.executable, "-c", _UPLOAD, str(folder / "base"), str(folder / "rows.jsonl")],
            env=site.env,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        http = httpx.Client(base_url=site.url, headers={"Authorization": f"Bearer {site.token}"}, timeout=60)
        hands: list[Speed] = []
        runs: list[Speed] = []
        for number in range(rounds):
            for is_run in (True, False) if number % 2 else (False, True):
                if is_run:
                    runs.append(by_run(site, http, cpus))
                else:
                    hands.append(by_hand(folder, number, cpus))
    share = statistics.median(a.per_s / b.per_s for a, b in zip(runs, hands, strict=True))
    by_cpu = statistics.median(a.per_cpu_s / b.per_cpu_s for a, b in zip(runs, hands, strict=True))
    report.add(
        "Training by a run beside the same TRL script by hand",
        f"{share:.3f} of its {statistics.median(each.per_s for each in hands):.0f} tokens/s; per CPU second {by_cpu:.3f} of its "
        f"{statistics.median(each.per_cpu_s for each in hands):.0f}",
        f"≥ {GOAL}",
        met=share >= GOAL,
    )


if __name__ == "__main__":
    own = Report()
    asked = [int(each) for each in sys.argv[1:3]]
    run(own, rounds=asked[0] if asked else 5, cpus=asked[1] if len(asked) > 1 else None)
    print(own.markdown())
