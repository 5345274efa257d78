"""Runs on this host: each has a supervisor (``compute.supervisor``) that outlives the server, and a folder that says all of it.

    runs/<number>/work/              the program's own folder, kept between attempts
    runs/<number>/attempt-<n>/       what its supervisor reads and writes

So a server that was restarted, or killed, finds its runs again by reading.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from headwater.compute import supervisor
from headwater.compute.kinds import find_kind, kinds
from headwater.compute.models import RunId, State
from headwater.compute.rows import Run, RunHost
from headwater.compute.runners import Held, StartFailed
from headwater.compute.runners.environment import command_of, inherited, variables_of
from headwater.compute.service.lifecycle import GRACE_S, Claimed, Outcome
from headwater.compute.settings import ComputeSettings
from headwater.kernel import utcnow
from headwater.web import Site

LARGEST_LOG_FILE_BYTES = 64 << 20
START_S = 10.0  # for a supervisor to begin
MEMORY_SHARE = 0.8
NICE = 5  # the site answers before its runs compute

log = structlog.get_logger("headwater.compute")


class LocalRunner:
    """One a host and site."""

    begins_at_once = True

    def __init__(self, site: Site) -> None:
        self.settings = site.settings.of(ComputeSettings)
        self.endpoint = self.settings.endpoint or site.base_url
        self.folder = site.data_dir.absolute() / "runs"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.host_id = _host_id(self.folder / "host")
        self._children: dict[Held, subprocess.Popen[bytes]] = {}
        self._cores: dict[Held, list[int]] = {}

    def describe(self) -> RunHost | None:
        own = self.settings
        cpus = float(len(os.sched_getaffinity(0))) if own.cpus < 0 else own.cpus
        memory = int(_memory_bytes() * MEMORY_SHARE) if own.memory_gb < 0 else int(own.memory_gb * 1e9)
        return RunHost(
            id=self.host_id,
            name=socket.gethostname()[:255],
            runner="local",
            cpus=cpus,
            memory_bytes=memory,
            gpus=own.gpus,
            chip=own.chip,
            extras={name: not kind.missing() for name, kind in kinds().items()},
            seen_at=utcnow(),
        )

    def start(self, claimed: Claimed) -> str | None:
        run, held = claimed.run, (claimed.run.id, claimed.attempt)
        kind = find_kind(run.kind)
        if kind is None:
            raise StartFailed(f"this server knows no kind of run {run.kind!r}")
        if kind.missing() and run.kind not in dict(pair.partition("=")[::2] for pair in self.settings.interpreters):
            raise StartFailed(
                f"what runs of kind {run.kind} need is not installed: pip install 'headwater[{kind.extra}]' "
                f"(missing: {', '.join(kind.missing())})"
            )
        attempt, work = self._attempt(held), self._work(run.id)
        # What has these numbers already is of a site that was set back to an earlier day.
        shutil.rmtree(attempt if claimed.attempt > 1 else self.folder / str(run.id), ignore_errors=True)
        try:
            for folder in (attempt, work, work / "tmp", work / "hf"):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._cores[held] = self._choose_cores(run)
            spec = {
                "name": f"{self.host_id[:8]}-{run.id}-{claimed.attempt}",
                "command": command_of(run, self.settings),
                "cwd": str(work),
                "env": inherited() | variables_of(run, claimed.token, self.settings, self.endpoint, work),
                "log_bytes": LARGEST_LOG_FILE_BYTES,
                "grace_s": GRACE_S,
                "memory_bytes": run.need.memory_bytes,
                "cpus": run.need.cpus,
                "time_limit_s": run.need.time_limit_s,
                "affinity": self._cores[held],
                "nice": NICE,
            }
            _write_private(attempt / "spec.json", json.dumps(spec).encode())
            self._children[held] = subprocess.Popen(
                [sys.executable, "-I", "-S", supervisor.__file__, str(attempt)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        except OSError as exc:
            raise StartFailed(str(exc)) from exc
        return None

    def adopt(self, run: Run, number: int, remote_id: str | None) -> None:
        spec = _read_json(self._attempt((run.id, number)) / "spec.json")
        self._cores[run.id, number] = (spec or {}).get("affinity") or []

    def read_log(self, held: Held, start: int, most_bytes: int) -> bytes:
        try:
            with (self._attempt(held) / "log").open("rb") as file:
                file.seek(start)
                return file.read(most_bytes)
        except FileNotFoundError:
            return b""

    def find_outcome(self, held: Held) -> Outcome | None:
        folder = self._attempt(held)
        child = self._children.get(held)
        if child is not None and child.poll() is not None:
            del self._children[held]
        told = _read_json(folder / "exit.json")
        if told is not None:
            return _outcome(told)
        if _is_locked(folder / "lock"):
            return None
        with contextlib.suppress(FileNotFoundError):
            if (
                not (folder / "started.json").exists()
                and time.time() - (folder / "spec.json").stat().st_mtime < START_S
            ):
                return None  # it is about to begin
        told = _read_json(folder / "exit.json")  # it may have ended between the two looks
        if told is not None:
            return _outcome(told)
        self._kill_left(held)
        return Outcome(State.LOST, "supervisor_lost", "Its host went down, or ended the process that watches it.")

    def ask_to_end(self, held: Held) -> bool:
        if not (self._attempt(held) / "started.json").exists():
            return False
        self._signal(held, signal.SIGTERM)
        return True

    def end(self, held: Held) -> None:
        self._signal(held, signal.SIGKILL)
        self._kill_left(held)

    def forget(self, held: Held, *, is_over: bool) -> None:
        self._cores.pop(held, None)
        with contextlib.suppress(OSError):
            (self._attempt(held) / "spec.json").unlink()  # the token in it is dead
        if is_over:
            for name in ("hf", "tmp"):
                shutil.rmtree(self._work(held[0]) / name, ignore_errors=True)

    def tidy(self, over: Sequence[RunId]) -> None:
        for run_id in over:
            shutil.rmtree(self.folder / str(run_id), ignore_errors=True)

    def list_kept(self) -> list[RunId]:
        return [RunId(int(path.name)) for path in self.folder.iterdir() if path.name.isdigit()]

    # ---- its folders and processes

    def _attempt(self, held: Held) -> Path:
        return self.folder / str(held[0]) / f"attempt-{held[1]}"

    def _work(self, run_id: RunId) -> Path:
        return self.folder / str(run_id) / "work"

    def _choose_cores(self, run: Run) -> list[int]:
        """Those that fewest runs have, where only a part of them was asked for."""
        every = sorted(os.sched_getaffinity(0))
        wanted = math.ceil(run.need.cpus)
        if wanted >= len(every):
            return []
        used = dict.fromkeys(every, 0)
        for cores in self._cores.values():
            for core in cores:
                used[core] = used.get(core, 0) + 1
        return sorted(every, key=lambda core: (used[core], core))[:wanted]

    def _signal(self, held: Held, number: signal.Signals) -> None:
        """To the supervisor, if it lives: the lock says so, whatever its number stands for by now."""
        folder = self._attempt(held)
        told = _read_json(folder / "started.json")
        if told is not None and _is_locked(folder / "lock"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(told["pid"], number)

    def _kill_left(self, held: Held) -> None:
        """A program whose supervisor is gone: every process that has this attempt's folder in its environment."""
        mark = f"HEADWATER_RUN_FOLDER={self._work(held[0])}".encode()
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                if mark in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    os.kill(int(entry), signal.SIGKILL)


def _outcome(told: dict[str, Any]) -> Outcome:
    usage = {
        name: told[name] for name in ("cpu_s", "wall_s", "peak_bytes", "limits") if told.get(name) is not None
    } or None
    reason, code, number = told.get("reason") or "", told.get("code"), told.get("signal")
    if reason == "start_failed":
        return Outcome(
            State.FAILED, reason, f"The program could not be started: {told.get('message', '')}", None, usage
        )
    if reason == "cancelled":
        return Outcome(State.CANCELLED, reason, "It was cancelled.", code, usage)
    if reason == "time_limit":
        return Outcome(
            State.FAILED, reason, "It took longer than its recipe allows (resources.time_limit_s).", code, usage
        )
    if reason == "memory_limit":
        text = "It used more memory than its recipe declares (resources.memory_gb), and was ended."
        return Outcome(State.FAILED, reason, text, code, usage)
    if code == 0:
        return Outcome(State.SUCCEEDED, exit_code=0, usage=usage)
    if number is not None:
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        return Outcome(State.FAILED, "signal", f"Its process was ended by {name}.", None, usage)
    return Outcome(
        State.FAILED, "exit_code", f"Its process ended with exit code {code}; the log may say why.", code, usage
    )


def _host_id(path: Path) -> str:
    """One that stays the same as long as the data folder does."""
    with contextlib.suppress(FileExistsError):
        _write_private(path.with_suffix(f".{os.getpid()}"), secrets.token_hex(16).encode())
        with contextlib.suppress(FileExistsError):
            os.link(path.with_suffix(f".{os.getpid()}"), path)
        path.with_suffix(f".{os.getpid()}").unlink()
    return path.read_text().strip()


def _memory_bytes() -> int:
    """Of this host, or of the container around it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(Path(path).read_text()))
    return total


def _write_private(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found


def _is_locked(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
