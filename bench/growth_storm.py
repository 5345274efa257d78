"""Many clients clone one large model at once by git and git-lfs.

A model of two gigabytes lies in shards, as such models do. A client clones, then fetches shard after shard in an order of its own;
git-lfs holds each against its hash, and each is dropped once it is there, so that fifty clients need the disk of fifty shards.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from bench import growth_sites as sites
from bench import harness as h
from bench.transfer import hf

N_SHARDS = 20
REPO = "ada/large"
WAYS: tuple[tuple[str, dict[str, str]], ...] = (
    ("headwater_sent_bytes_total", {"by": "sendfile"}),
    ("headwater_redirected_bytes_total", {}),
)


def push(site: h.Headwater, folder: Path, size_bytes: int) -> int:
    """The model, uploaded as plain LFS objects; returns the bytes of one shard."""
    shard = size_bytes // N_SHARDS
    model = folder / "model"
    model.mkdir()
    for n in range(N_SHARDS):
        h.random_weights(model / f"model-{n:05}.safetensors", shard)
    code = (
        "from huggingface_hub import HfApi; api = HfApi()\n"
        f"api.create_repo({REPO!r}); api.upload_folder(repo_id={REPO!r}, folder_path={str(model)!r})"
    )
    hf(site, code, HF_HUB_DISABLE_XET="1")
    shutil.rmtree(model)
    return shard


def clone(url: str, folder: Path, shard_bytes: int, number: int) -> list[str]:
    """One client; what went wrong."""
    home = folder / f"client-{number}"
    home.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "HF_"))}
    env |= {"HOME": str(home), "GIT_LFS_SKIP_SMUDGE": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    wrong: list[str] = []

    def git(*words: str) -> bool:
        done = subprocess.run(["git", *words], cwd=home, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            wrong.append(f"git {' '.join(words)}: {done.stderr[-300:]}")
        return not done.returncode

    filters = ("-c", "filter.lfs.smudge=git-lfs smudge -- %f", "-c", "filter.lfs.required=true")
    if git(*filters, "clone", "-q", f"{url}/{REPO}", "model"):
        objects = home / "model/.git/lfs/objects"
        for n in random.Random(number).sample(range(N_SHARDS), N_SHARDS):
            if git("-C", "model", "lfs", "fetch", f"--include=model-{n:05}.safetensors", "origin", "main"):
                sizes = [path.stat().st_size for path in objects.rglob("*") if path.is_file()]
                if sizes != [shard_bytes]:
                    wrong.append(f"shard {n}: {sizes} bytes are there, not {shard_bytes}")
            shutil.rmtree(objects, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)
    return wrong


def run(report: h.Report, *, size_bytes: int, clients: int, places: Sequence[str]) -> None:
    for name in places:
        with sites.place(name) as place, h.serving(place.folder) as site:
            h.sign_up(site, place.folder)
            shard = push(site, place.folder, size_bytes)
            earlier = [sites.figure(site, figure, **labels) for figure, labels in WAYS]
            before, began = h.cpu_s(site.pid), time.monotonic()
            with h.peak_pss(site.pid, every_s=0.25) as pss, ThreadPoolExecutor(clients) as pool:
                each = pool.map(partial(clone, site.url, place.folder, shard), range(clients))
                wrong = list(itertools.chain.from_iterable(each))
            wall, spent = time.monotonic() - began, h.cpu_s(site.pid) - before
            now = [sites.figure(site, figure, **labels) for figure, labels in WAYS]
            sent, sent_on = (b - a for a, b in zip(earlier, now, strict=True))
            failed = sites.failures(place.folder)
            moved = shard * N_SHARDS * clients
            away = max(sent, sent_on) / moved
            report.add(
                f"{clients} clients clone a model of {size_bytes / h.GB:g} GB in {N_SHARDS} LFS objects, {name}",
                f"PSS of the tree at most {max(pss):.0f} MiB; {spent / moved * h.GB:.2f} CPU s/GB; sendfile {sent / h.GB:.2f} GB, redirected "
                f"{sent_on / h.GB:.2f} GB of {moved / h.GB:.2f} GB; {moved / wall / 1e6:.0f} MB/s with the clients' hashing; "
                f"errors {len(wrong) + failed}",
                "≤ 300 MiB, bytes by sendfile or redirect, no errors",
                met=max(pss) <= 300 and not wrong and not failed and away >= 0.999,
            )
            print(*wrong[:5], sep="\n", flush=True)
