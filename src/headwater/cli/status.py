"""``headwater status``."""

from __future__ import annotations

import contextlib
import shutil
import time
import urllib.request
from pathlib import Path
from typing import Any

import click

from headwater.web.terminal import Output, data_option, json_option


@click.command()
@data_option
@json_option
def status(data_dir: Path, as_json: bool) -> int:  # noqa: FBT001 -- click passes flags so
    """Show whether the platform runs on a data folder, and how it is. Exit code 3 when it does not run."""
    from headwater.running import read_server_file

    out = Output(as_json=as_json)
    running = read_server_file(data_dir)
    facts: dict[str, Any] = {"running": running is not None, "data": str(data_dir.absolute())}
    if running is not None:
        facts |= running
        facts["answers_in_ms"] = _answer_time(running["url"])
        pids = _family(running["pid"])
        facts["processes"] = len(pids)
        facts["memory_bytes"] = sum(map(_memory, pids))
    if _has_database(data_dir):
        facts["free_bytes"] = shutil.disk_usage(data_dir).free
        facts |= _inside(data_dir)
    out.result(facts, _words(facts))
    return 0 if running is not None else 3


def _has_database(data_dir: Path) -> bool:
    """Whether there is one to look into; asking must not make one."""
    from headwater.config import read_settings
    from headwater.db import SQLITE_FILE, DatabaseSettings

    return (data_dir / SQLITE_FILE).exists() or read_settings(data_dir).of(DatabaseSettings).url is not None


def _words(facts: dict[str, Any]) -> str:
    lines = []
    if facts["running"]:
        answers = facts["answers_in_ms"]
        how = f"answered in {answers} ms" if answers is not None else "does not answer: see its log"
        lines.append(f"Running at {facts['url']} (process {facts['pid']}, version {facts['version']}): {how}")
        lines.append(f"{facts['processes']} processes, {facts['memory_bytes'] / 2**20:.0f} MiB of memory")
    else:
        lines.append(f"Not running on {facts['data']}. Start it with `headwater up`.")
    if "jobs" in facts:
        jobs = ", ".join(f"{count} {state}" for state, count in facts["jobs"].items() if count) or "none"
        lines.append(
            f"Database {facts['database_bytes'] / 1e6:.1f} MB, {facts['free_bytes'] / 1e9:.1f} GB free. Jobs: {jobs}"
        )
    lines += [f"Given up: {job['kind']}: {_last_line(job['error'])}" for job in facts.get("failed_jobs", ())]
    if facts.get("failed_jobs"):
        lines.append("Administrators can have them tried again on the page /admin/storage.")
    if facts.get("collector_stopped"):
        lines.append(facts["collector_stopped"])
    return "\n".join(lines)


def _last_line(error: str) -> str:
    return error.strip().rpartition("\n")[2][:300]


def _answer_time(url: str) -> float | None:
    """Milliseconds to one answer of the server itself, whatever proxy stands before it."""
    started = time.monotonic()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/-/health", timeout=10) as answer:
            answer.read()
    except OSError:
        return None
    return round((time.monotonic() - started) * 1000, 1)


def _family(pid: int) -> list[int]:
    pids, at = [pid], 0
    while at < len(pids):
        with contextlib.suppress(OSError):
            pids += map(int, Path(f"/proc/{pids[at]}/task/{pids[at]}/children").read_text().split())
        at += 1
    return pids


def _memory(pid: int) -> int:
    """Proportional share in bytes: shared pages count once over the whole family."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _inside(data_dir: Path) -> dict[str, Any]:
    """What only the database tells: jobs, those given up, and whether the collector waits for somebody."""
    from headwater import queue
    from headwater.cli.open import open_site
    from headwater.hub.collector.clock import ClockJumped, find_stop

    site = open_site(data_dir)
    try:
        with site.db.reading() as tx:
            stop, failed = find_stop(tx), queue.list_failed(tx, 5)
            return {
                "database_bytes": site.db.size_bytes(),
                "jobs": dict(queue.count_by_state(tx)),
                "failed_jobs": [{"kind": job.kind, "error": job.error} for job in failed],
                "collector_stopped": None if stop is None else ClockJumped(stop).message,
            }
    finally:
        site.db.close()
