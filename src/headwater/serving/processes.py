"""Engines as processes: started in a session of their own, so that they outlive whoever started them.

They are found again by number and moment of start, and ended with everything that they have started.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

LOG_BYTES = 4 << 20
TAIL_BYTES = 8 << 10
PROBE_S = 3.0
_KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class Running:
    """A process as any other process of this machine finds it again."""

    pid: int
    started: int  # clock ticks since the machine started

    @property
    def is_alive(self) -> bool:
        return started_at(self.pid) == self.started


@cache
def host_name() -> str:
    """Which machine it is, since it last started: process numbers mean nothing anywhere else."""
    boot = "no-boot-id"
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    space = "no-namespace"
    with contextlib.suppress(OSError):
        space = str(Path("/proc/self/ns/pid").stat().st_ino)  # two containers may share all but this
    return f"{socket.gethostname()[:80]}/{boot}/{space}"


def started_at(pid: int) -> int | None:
    """When the process of this number was started; None where there is none, or it has ended and is only not yet collected."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port


def start(
    command: Sequence[str], *, folder: Path, log: Path, secrets: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], Running]:
    """Start an engine. It gets nothing of our environment but what it needs to run, and its output goes to ``log``."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    environment |= {
        "HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
        "TQDM_DISABLE": "1",
        **secrets,
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=home,
            env=environment,
            start_new_session=True,
        )
    with contextlib.suppress(OSError):  # where memory runs out, an engine goes before the site
        Path(f"/proc/{process.pid}/oom_score_adj").write_text("600")
    return process, Running(process.pid, started_at(process.pid) or 0)


def tell(running: Running, number: signal.Signals) -> None:
    """Signal the process and all of its session's group."""
    if running.is_alive:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(running.pid, number)


def trim(log: Path) -> None:
    """Keep a log that grows without end small: its file is opened for appending, so cutting it leaves no hole."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LOG_BYTES:
            log.with_suffix(".log.1").write_bytes(_tail(log, LOG_BYTES // 4))
            os.truncate(log, 0)


def read_tail(log: Path) -> str:
    """The last lines of a log."""
    try:
        text = _tail(log, TAIL_BYTES).decode(errors="replace")
    except OSError:
        return ""
    return text.replace("\0", "\ufffd")


def _tail(path: Path, n_bytes: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - n_bytes))
        return file.read(n_bytes)


def ask(address: str, path: str, key: str, *, timeout_s: float = PROBE_S) -> tuple[int, Any]:
    """A small GET of an engine: status and JSON; (0, None) where it does not answer."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        body = answer.read(1 << 20)
        return answer.status, orjson.loads(body) if body else None
    except (OSError, http.client.HTTPException, ValueError):
        return 0, None
    finally:
        connection.close()
