"""What twice as many web workers bring: the same mixed load on the same PostgreSQL, with 2 and with 4."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence

from bench import growth_load as gl
from bench import growth_sites as sites
from bench import harness as h

CLIENTS, WORKERS = 64, (2, 4)


def run(report: h.Report, *, seconds: float, rounds: int, places: Sequence[str] = (sites.DATABASE,)) -> None:
    """Rounds alternate which goes first; the site's data stays and grows alike for both."""
    for name in places:
        with sites.place(name) as place:
            runs: dict[int, list[tuple[gl.Done, float, float]]] = {each: [] for each in WORKERS}
            writes, token, missing = gl.Writes(), "", []
            for n in range(rounds):
                for workers in WORKERS if n % 2 == 0 else reversed(WORKERS):
                    with h.serving(place.folder, f"--workers={workers}") as site:
                        if not token:
                            h.sign_up(site, place.folder)
                            gl.prepare(site, place.folder)
                            token = site.token
                        site.token = token
                        gl.load(site, gl.READS, clients=CLIENTS, seconds=min(5.0, seconds / 4))  # first uses
                        before = h.cpu_s(site.pid), _cpu(place.database_pid)
                        done = gl.load(site, gl.SCALING, clients=CLIENTS, seconds=seconds, writes=writes)
                        own, base = h.cpu_s(site.pid) - before[0], _cpu(place.database_pid) - before[1]
                        runs[workers].append((done, own, base))
                        if n == rounds - 1 and workers == (WORKERS if n % 2 == 0 else WORKERS[::-1])[-1]:
                            missing = gl.lost(site, writes)
            for workers in WORKERS:
                report.add(*_row(name, workers, runs[workers]), met=None)
            ratio = h.ratio(*([done.per_second for done, *_ in runs[workers]] for workers in reversed(WORKERS)))
            errors = sum((done.errors for each in runs.values() for done, *_ in each), start=type(done.errors)())
            failed = sites.failures(place.folder)
            report.add(
                f"{WORKERS[0]} → {WORKERS[1]} web workers, {CLIENTS} clients, {name}",
                f"{ratio:.2f}× requests a second, on {os.cpu_count()} cores that clients, hub and database share; errors "
                f"{errors.total() + failed}, lost writes {len(missing)} of {len(writes)}",
                "no errors, no lost write; report scaling",
                met=not errors and not failed and not missing and bool(writes),
            )
            print(*errors.most_common(8), *missing[:5], sep="\n", flush=True)


def _cpu(pid: int | None) -> float:
    return h.cpu_s(pid) if pid else 0.0


def _row(name: str, workers: int, runs: list[tuple[gl.Done, float, float]]) -> tuple[str, str, str]:
    each = [(done.per_second, own / done.n.total() * 1000, base / done.n.total() * 1000) for done, own, base in runs]
    speed, own, base = (statistics.median(column) for column in zip(*each, strict=True))
    last = runs[-1][0]
    written = sum(done.n["commit"] + done.n["comment"] for done, *_ in runs) / sum(done.n.total() for done, *_ in runs)
    return (
        f"{workers} web workers, {CLIENTS} clients, {written * 100:.0f} % writes, {name}",
        f"{speed:.0f} requests/s; CPU ms a request: hub {own:.1f}, database {base:.1f}; slowest (p50/p99): {last.slowest()}",
        "report",
    )
