"""What a call costs in two checkouts, in turn: ``python -m bench.beside OTHER [--rounds N]``.

OTHER is a clone at an earlier commit, run by the same interpreter. Three sites: the other's, this one's without limits of calls, and
this one's as it is by default. Every round asks all three for the same, so that whatever else the machine does hits them alike; told
are medians of CPU of the whole process tree, jobs included, and of the ratios to the other's in the same round.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from bench import harness as h
from bench.requests_bench import prepare, send_many

N_HEADS, N_COMMITS, N_STARTS = 600, 6, 5
REPO = "/api/models/ada/requests/commit/main"
_numbers = itertools.count()


@contextmanager
def serving(folder: Path, source: Path, env: dict[str, str]) -> Iterator[h.Headwater]:
    """A site of the checkout at ``source``; its log lies beside its data."""
    data = folder / "data"
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "headwater", "up", "--data", str(data), "--port", "0"],
        cwd=folder,
        stdout=(folder / "log").open("ab"),
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(source / "src"), **env},
    )
    try:
        facts: dict[str, int | str] = {}
        deadline = time.monotonic() + 120
        while facts.get("pid") != process.pid:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError((folder / "log").read_text())
            time.sleep(0.005)
            if (data / "server.json").exists():
                facts = json.loads((data / "server.json").read_text())
        yield h.Headwater(url=str(facts["url"]), pid=process.pid, data=data)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def sign_up(site: h.Headwater, source: Path) -> None:
    for line, stdin in (
        ("user create ada --admin --password-stdin", "a long pass phrase 47\n"),
        ("token create --user ada --scope admin --json", None),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "headwater", *line.split(), "--data", str(site.data)],
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(source / "src")},
        )
    site.token = json.loads(done.stdout)["token"]
    clients = {"HF_ENDPOINT": site.url, "HF_TOKEN": site.token, "HF_HOME": str(site.data.parent / "hf")}
    site.env = {**os.environ, **clients, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONPATH": ""}


def heads(path: str) -> Callable[[h.Headwater], float]:
    def ask(site: h.Headwater) -> float:
        before = h.cpu_s(site.pid)
        send_many(site.url, "HEAD", f"/ada/requests/resolve/main/{path}", site.token, N_HEADS)
        return (h.cpu_s(site.pid) - before) / N_HEADS

    return ask


def commits(path: str, count: int, *, settled: bool) -> Callable[[h.Headwater], float]:
    """``settled``: with the jobs that follow."""

    def ask(site: h.Headwater) -> float:
        client = httpx.Client(base_url=site.url, headers={"Authorization": f"Bearer {site.token}"}, timeout=60)
        before = h.cpu_s(site.pid)
        for _ in range(N_COMMITS):
            said = f"Text number {next(_numbers)}, with a line of words behind it. " * 8
            lines = [{"key": "header", "value": {"summary": "One more"}}]
            texts = [json.dumps({"about": said, "place": n}) for n in range(count)]
            lines += [
                {"key": "file", "value": {"path": path.format(n), "content": text}} for n, text in enumerate(texts)
            ]
            body = "\n".join(map(json.dumps, lines))
            client.post(REPO, content=body, headers={"Content-Type": "application/x-ndjson"}).raise_for_status()
        if settled:
            at = h.cpu_s(site.pid)
            while True:
                time.sleep(2)  # jobs come a second after the last commit
                if h.cpu_s(site.pid) - at < 0.05:
                    break
                at = h.cpu_s(site.pid)
        return (h.cpu_s(site.pid) - before) / N_COMMITS

    return ask


ACTS = {
    "HEAD resolve, large file": heads("w.bin"),
    "HEAD resolve, small file": heads("part/1.txt"),
    "commit of one text": commits("notes-{}.txt", 1, settled=False),
    "commit of ten texts": commits("notes-{}.txt", 10, settled=False),
    "commit of a configuration": commits("config.json", 1, settled=False),
    "commit of one text, with its jobs": commits("notes-{}.txt", 1, settled=True),
}


def tell(name: str, found: dict[str, list[float]], unit: str, factor: float) -> None:
    first = next(iter(found))
    told = [f"{side} {statistics.median(values) * factor:.3g} {unit}" for side, values in found.items()]
    for side, values in found.items():
        if side != first:
            pairs = [mine / other for mine, other in zip(values, found[first], strict=True)]
            told.append(f"{side} / {first} {statistics.median(pairs):.3f}")
    print(f"{name}: {'; '.join(told)}", flush=True)


def starts(sides: dict[str, tuple[Path, dict[str, str]]], folder: Path) -> None:
    """From the command to the first answer, on data that is there, and what lies idle five seconds later."""
    wall: dict[str, list[float]] = {side: [] for side in sides}
    cpu: dict[str, list[float]] = {side: [] for side in sides}
    pss: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(N_STARTS):
        for side, (source, env) in sides.items():
            begun = time.monotonic()
            with serving(folder / side, source, env) as site:
                httpx.get(f"{site.url}/healthz").raise_for_status()
                wall[side].append(time.monotonic() - begun)
                cpu[side].append(h.cpu_s(site.pid))
                time.sleep(5)
                pss[side].append(h.pss_mib(site.pid))
    tell("start", wall, "s", 1)
    tell("start, CPU", cpu, "s", 1)
    tell("idle PSS", pss, "MiB", 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    here = Path(__file__).parents[1]
    sides = {"before": (asked.other, {}), "unlimited": (here, h.NO_LIMITS), "now": (here, {})}
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors", flush=True)
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        folder = Path(made)
        sites = {side: stack.enter_context(serving(folder / side, *what)) for side, what in sides.items()}
        for side, site in sites.items():
            sign_up(site, sides[side][0])
            prepare(site)
        for name, act in ACTS.items():
            if asked.only not in name:
                continue
            found: dict[str, list[float]] = {side: [] for side in sites}
            rounds = asked.rounds if "jobs" not in name else (asked.rounds + 4) // 5  # which wait
            for number in range(rounds + 1):
                turn = list(sites.items())
                for side, site in turn[number % 3 :] + turn[: number % 3]:
                    spent = act(site)
                    if number:  # the first warms up
                        found[side].append(spent)
            tell(name, found, "ms", 1000)
        stack.close()
        starts(sides, folder)
    print(f"load {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
