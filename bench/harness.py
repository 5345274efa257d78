"""What every benchmark needs: servers to compare, CPU and memory of a process tree, interleaved rounds, a report.

CPU is user + system seconds of the server's whole process tree, ended children included. Memory is PSS. Figures of one
row are taken in alternation within one run, so that whatever else the machine does hits both sides alike.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
GB = 10**9


def tree(pid: int) -> list[int]:
    """``pid`` and all its living descendants."""
    found = [pid]
    for current in found:
        try:
            for task in Path(f"/proc/{current}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds of the tree so far, children that have ended included.

    Living processes are read by their CPU clocks, to the nanosecond and with their ended threads; only what ended
    children used is counted in ticks.
    """
    total = 0.0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += time.clock_gettime(~each << 3 | 2)  # clock_getcpuclockid(3), CPUCLOCK_SCHED
        except OSError:
            continue
        total += sum(int(fields[i]) for i in (13, 14)) / TICKS
    return total


def pss_mib(pid: int) -> float:
    """Proportional set size of the tree in MiB."""
    total = 0
    for each in tree(pid):
        try:
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
        except OSError:
            continue
    return total / 1024


@contextmanager
def peak_pss(pid: int, every_s: float = 0.1) -> Iterator[list[float]]:
    """Samples of ``pss_mib`` while the block runs; the list's maximum is the peak."""
    samples = [pss_mib(pid)]
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(every_s):
            samples.append(pss_mib(pid))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


@dataclass
class Headwater:
    """A running site of this checkout, with fresh data."""

    url: str
    pid: int
    data: Path
    token: str = ""
    env: dict[str, str] = field(default_factory=dict)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def cli(*args: str, data: Path, stdin: str | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "headwater", *args, "--data", str(data)],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"headwater {' '.join(args)}: {done.stdout}{done.stderr}")
    return done.stdout


# One account asks here as fast as it can, which a limit would end.
NO_LIMITS = {f"HEADWATER_RATE_{what}": "0" for what in ("API", "FILES", "PAGES")}


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Headwater]:
    """Start a site, or what an earlier start left of it, with these flags of ``headwater up``; end it afterwards."""
    data = folder / "data"
    process = subprocess.Popen(
        [sys.executable, "-m", "headwater", "up", "--data", str(data), "--port", "0", *options],
        stdout=(folder / "headwater.log").open("ab"),
        stderr=subprocess.STDOUT,
        env={**os.environ, **NO_LIMITS},
    )
    try:
        facts: dict[str, Any] = {}
        deadline = time.monotonic() + 60
        while facts.get("pid") != process.pid:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError((folder / "headwater.log").read_text())
            time.sleep(0.02)
            if (data / "server.json").exists():
                facts = json.loads((data / "server.json").read_text())
        yield Headwater(url=facts["url"], pid=facts["pid"], data=data)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def sign_up(site: Headwater, folder: Path) -> None:
    """Make the user ``ada`` with a token, and the environment of her clients."""
    cli("user", "create", "ada", "--admin", "--password-stdin", data=site.data, stdin="a long pass phrase 47\n")
    made = cli("token", "create", "--user", "ada", "--scope", "admin", "--json", data=site.data)
    site.token = json.loads(made)["token"]
    site.env = dict(
        os.environ,
        HF_ENDPOINT=site.url,
        HF_TOKEN=site.token,
        HF_HOME=str(folder / "hf"),
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
    )


@contextmanager
def headwater(folder: Path) -> Iterator[Headwater]:
    """Start a site with default workers and a user ``ada``; end it afterwards."""
    with serving(folder) as site:
        sign_up(site, folder)
        yield site


@contextmanager
def nginx(folder: Path, root: Path) -> Iterator[tuple[str, int]]:
    """Nginx with sendfile over ``root``, DAV PUT allowed; yields its address and process id."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    port = free_port()
    work = folder / "nginx"
    work.mkdir(parents=True, exist_ok=True)
    (work / "nginx.conf").write_text(f"""
worker_processes 2; daemon off; pid {work}/pid; error_log {work}/error.log; user root;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; tcp_nopush on; client_max_body_size 0; client_body_temp_path {work}/body;
  proxy_temp_path {work}/p; fastcgi_temp_path {work}/f; uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;
  server {{ listen 127.0.0.1:{port}; root {root}; location / {{ dav_methods PUT; create_full_put_path on; }} }}
}}""")
    process = subprocess.Popen([program, "-c", str(work / "nginx.conf"), "-p", str(work)])
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(10)


@dataclass
class Side:
    """One of two things compared: what to do, and whose CPU it costs (None: the act returns its own CPU seconds)."""

    name: str
    act: Callable[[], float | None]
    pid: int | None = None


@dataclass
class Measured:
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


def alternate(sides: list[Side], rounds: int) -> dict[str, Measured]:
    """Run the sides in turn, ``rounds`` times after one round to warm up."""
    out = {side.name: Measured() for side in sides}
    for n in range(rounds + 1):
        for side in sides if n % 2 else reversed(sides):
            before, start = cpu_s(side.pid) if side.pid else 0.0, time.perf_counter()
            own = side.act()
            wall = time.perf_counter() - start
            spent = own if own is not None else cpu_s(side.pid) - before if side.pid else 0.0
            if n:
                out[side.name].wall_s.append(wall)
                out[side.name].cpu_s.append(spent)
    return out


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median of the rounds' ratios."""
    pairs = [a / b for a, b in zip(ours, theirs, strict=True) if b > 0]
    return statistics.median(pairs) if pairs else float("nan")


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    what: str
    measured: str
    goal: str
    met: bool | None


class Report:
    """Collects rows, prints them as they come, and knows the machine's load."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.load = [os.getloadavg()[0]]

    def add(self, what: str, measured: str, goal: str, *, met: bool | None) -> None:
        self.load.append(os.getloadavg()[0])
        self.rows.append(Row(what, measured, goal, met))
        word = {True: "met", False: "NOT MET", None: "-"}[met]
        print(f"{what}: {measured}   (goal {goal}: {word})", flush=True)

    def markdown(self) -> str:
        lines = ["| what | measured | goal | met |", "|---|---|---|---|"]
        for row in self.rows:
            word = {True: "yes", False: "no", None: "–"}[row.met]
            lines.append(f"| {row.what} | {row.measured} | {row.goal} | {word} |")
        return "\n".join(lines) + "\n"


def child_cpu(args: list[str], **kwargs: object) -> float:
    """Run a program and return the CPU seconds it cost."""
    before = os.times()
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL, **kwargs)  # type: ignore[call-overload]
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@contextmanager
def workspace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="headwater-bench-") as name:
        yield Path(name)


def random_file(path: Path, size_bytes: int) -> Path:
    with path.open("wb") as out:
        left = size_bytes
        while left:
            n = min(left, 16 << 20)
            out.write(os.urandom(n))
            left -= n
    return path


def random_weights(path: Path, size_bytes: int) -> Path:
    """The same as a safetensors file of one tensor, in all of ``size_bytes``: what only has the name is refused."""
    count = size_bytes - 8 - 128
    head = f'{{"x":{{"dtype":"U8","shape":[{count}],"data_offsets":[0,{count}]}}}}'.encode().ljust(128)
    random_file(path, size_bytes)
    with path.open("r+b") as out:
        out.write(len(head).to_bytes(8, "little") + head)
    return path


def warm(path: Path) -> None:
    """Read a file once, so that it lies in the page cache."""
    with path.open("rb", buffering=0) as f:
        while f.read(8 << 20):
            pass
