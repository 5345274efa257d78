"""Asking a large site its questions: inside one process, where statements are counted, and over HTTP of a running server."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import harness as h
from bench.scale_ops import Group
from headwater.db import Tx


@dataclass
class Figures:
    """Of one group: milliseconds of each request."""

    name: str
    wall_ms: list[float]
    cpu_ms: list[float]
    most_statements: int = 0
    slowest: str = ""

    def p(self, share: float, *, cpu: bool = False) -> float:
        values = sorted(self.cpu_ms if cpu else self.wall_ms)
        return values[min(len(values) - 1, int(len(values) * share))]


@contextmanager
def counting() -> Iterator[list[int]]:
    """Counts statements of this process, whatever the database: each goes through ``Tx.execute``."""
    counted = [0]
    plain = Tx.execute

    def execute(self: Tx, *args: Any, **kwargs: Any) -> Any:
        counted[0] += 1
        return plain(self, *args, **kwargs)

    Tx.execute = execute  # type: ignore[method-assign]
    try:
        yield counted
    finally:
        Tx.execute = plain  # type: ignore[method-assign]


def in_process(app: Any, groups: list[Group], rounds: int, also: int | None = None) -> list[Figures]:
    """The whole application without a network: who asks, SQL, templates, JSON. Processor time of this process, and of the tree of the
    process ``also`` (the database's).
    """

    def clock() -> float:
        return time.process_time() + (0.0 if also is None else h.cpu_s(also))

    gc.collect()
    gc.freeze()  # as the server does: what is there for good is not looked through again and again
    with asyncio.Runner() as runner, counting() as counted:
        return [_group(group, rounds, lambda path: runner.run(_call(app, path)), clock, counted) for group in groups]


async def _call(app: Any, path: str) -> int:
    address = urlsplit(path)
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": address.path, "raw_path": address.path.encode(), "query_string": address.query.encode(), "root_path": "",
        "headers": [(b"host", b"127.0.0.1:1"), (b"accept-language", b"en")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1),
    }  # fmt: skip
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    await app(scope, receive, send)
    return status


def over_http(url: str, pid: int, groups: list[Group], rounds: int) -> list[Figures]:
    """One client with one kept connection; processor time is that of the server's whole tree."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def ask(path: str) -> int:
        connection.request("GET", path, headers={"Accept-Language": "en"})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    found = [_group(group, rounds, ask, lambda: h.cpu_s(pid), [0]) for group in groups]
    connection.close()
    return found


def _group(group: Group, rounds: int, ask: Any, clock: Any, counted: list[int]) -> Figures:
    found = Figures(group.name, [], [])
    rounds = max(rounds, -(-60 // len(group.paths)))
    worst = 0.0
    for number in range(rounds + 1):
        for path in group.paths:
            statements, busy, began = counted[0], clock(), time.perf_counter()
            status = ask(path)
            wall = (time.perf_counter() - began) * 1000
            if status != 200:
                raise RuntimeError(f"{path} answered {status}")
            if number == 0:
                continue  # warms up
            found.wall_ms.append(wall)
            found.cpu_ms.append((clock() - busy) * 1000)
            found.most_statements = max(found.most_statements, counted[0] - statements)
            if wall > worst:
                worst, found.slowest = wall, path
    print(
        f"  {found.name:<50} p50 {found.p(0.5):6.1f}  p99 {found.p(0.99):7.1f}  cpu p50 {found.p(0.5, cpu=True):6.1f} "
        f"p99 {found.p(0.99, cpu=True):7.1f}  SQL {found.most_statements:>3}  {found.slowest[:90]}",
        flush=True,
    )
    return found


@contextmanager
def server(data: Path, env: dict[str, str]) -> Iterator[tuple[str, int]]:
    """A site with default workers on that data."""
    (data / "server.json").unlink(missing_ok=True)
    log = data / "server-output.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "headwater", "up", "--data", str(data), "--port", "0"],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **h.NO_LIMITS, **env},
        )
    try:
        deadline = time.monotonic() + 60
        while not (data / "server.json").exists():
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.02)
        facts = json.loads((data / "server.json").read_text())
        yield facts["url"], facts["pid"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def summary(found: list[Figures]) -> list[dict[str, Any]]:
    """What is kept of a run."""
    return [
        {
            **{key: value for key, value in asdict(each).items() if not key.endswith("_ms")},
            "p50_ms": each.p(0.5),
            "p99_ms": each.p(0.99),
            "cpu_p50_ms": each.p(0.5, cpu=True),
            "cpu_p99_ms": each.p(0.99, cpu=True),
            "cpu_mean_ms": statistics.fmean(each.cpu_ms),
        }
        for each in found
    ]
