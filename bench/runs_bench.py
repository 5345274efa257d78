"""How long a run waits for its process: from the row in the queue to the first line that the process prints.

A server with the kinds that tests have, one web worker, nothing else to do: ``python -m bench.runs_bench``.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import orjson

from bench.harness import Report, cli, workspace

ROOT = Path(__file__).parent.parent
RECIPE = "kind: clock\nname: bench\nresources: {cpus: 0.1, memory_gb: 0.25}\n"
GOAL_S = 1.0


@contextmanager
def server(data: Path) -> Iterator[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.compute.server", "up", f"--data={data}", "--port=0", "--workers=1"]
    with (data.parent / "log").open("ab") as log:
        process = subprocess.Popen(command, env=env, cwd=ROOT, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not (data / "server.json").exists():
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError("the server did not start")
            time.sleep(0.02)
        yield orjson.loads((data / "server.json").read_bytes())["url"]
    finally:
        process.terminate()
        process.wait(30)


def one(http: httpx.Client) -> tuple[float, float]:
    """Seconds from the queue to the process' first line, and to where it has its recipe."""
    made = http.post("/runs", json={"recipe": RECIPE}).raise_for_status().json()
    while http.get(f"/runs/{made['id']}").json()["state"] not in ("succeeded", "failed"):
        time.sleep(0.1)
    text = http.get(f"/runs/{made['id']}/logs").text
    queued = datetime.fromisoformat(made["created_at"]).timestamp()
    began, ready = (float(match) for match in re.findall(r"^(?:began|ready) ([\d.]+)$", text, re.MULTILINE))
    return began - queued, ready - queued


def run(report: Report, *, rounds: int) -> None:
    with workspace() as folder, server(folder / "data") as url:
        cli("user", "create", "ada", "--password-stdin", data=folder / "data", stdin="seven calm herons drink\n")
        made = cli("token", "create", "--user", "ada", "--scope", "write", "--json", data=folder / "data")
        token = orjson.loads(made)["token"]
        http = httpx.Client(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60)
        one(http)  # the first imports what the later ones have
        found = [one(http) for _ in range(2 * rounds)]
    first, ready = (statistics.median(values) for values in zip(*found, strict=True))
    report.add(
        "run: queued until the first line of its process",
        f"{first:.2f} s (its recipe at hand after {ready:.2f} s; worst {max(first for first, _ in found):.2f} s)",
        f"≤ {GOAL_S:g} s",
        met=first <= GOAL_S,
    )


if __name__ == "__main__":
    made = Report()
    run(made, rounds=5)
    print(made.markdown())
