"""The small process beside a run's own: starts it, keeps its output, holds it to its limits, and writes down how it ended.

It is started by path with ``python -I -S`` and imports nothing but the standard library: it begins within milliseconds, weighs
little, and outlives the server. Whoever comes later reads the attempt's folder:

    spec.json       what to start, written before
    lock            held (flock) for as long as this process lives
    started.json    its own id and that of the program
    log             what the program printed; bounded
    exit.json       how it ended; the last thing that is written

SIGTERM asks the program to end, and ends it after the grace time. Limits of memory and processors are a cgroup's (version 1 or 2)
where one can be made, else the memory of all its processes is watched. No RLIMIT_AS: what torch and CUDA reserve is not what they use.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from typing import Any

LOOK_S = 0.25  # at the memory of the processes
TAIL_BYTES = 256 << 10  # of a log that is too long, its end that is kept
PAGE = os.sysconf("SC_PAGE_SIZE")
_PR_SET_CHILD_SUBREAPER = 36


def main(folder: str) -> int:
    """Returns once the program and all that it started is gone."""
    os.chdir(folder)
    lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 1  # another has begun it
    if os.path.exists("exit.json") or os.path.exists("started.json"):
        return 1
    with open("spec.json", "rb") as file:
        spec = json.load(file)
    _Watch(spec).run()
    return 0


class _Watch:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.reason = ""
        self.asked_at: float | None = None  # when the program was asked to end
        self.wants_end = False
        self.peak_bytes = 0
        self.group: _Group | None = None
        self.wake_out, self.wake_in = os.pipe()
        os.set_blocking(self.wake_in, False)
        os.set_blocking(self.wake_out, False)

    def run(self) -> None:
        _adopt_orphans()
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wake_in, warn_on_full_buffer=False)
        started, began = time.time(), time.monotonic()
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        self.group = _Group.make(self.spec)
        try:
            child = self._start(writing)
        except OSError as exc:
            os.close(writing)
            _write("exit.json", {"reason": "start_failed", "message": str(exc), "ended_at": time.time()})
            return
        os.close(writing)
        try:
            _write("started.json", {"pid": os.getpid(), "program": child.pid, "started_at": started})
        except OSError:  # the disk is full: nobody would find it again
            self._kill(child)
            self.group.remove()
            raise
        log = _Log(self.spec.get("log", "log"), self.spec["log_bytes"])
        limit_s = self.spec.get("time_limit_s")
        deadline = began + limit_s if limit_s else None
        code: int | None = None
        looked = 0.0
        is_open = True
        while code is None or (is_open and time.monotonic() < self._drained_by):
            wait_s = LOOK_S if deadline is None else max(0.0, min(LOOK_S, deadline - time.monotonic()))
            watched = [self.wake_out, reading] if is_open else [self.wake_out]
            ready, _, _ = select.select(watched, [], [], wait_s)
            if self.wake_out in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self.wake_out, 4096)
            if reading in ready:
                is_open = log.take(reading)
            now = time.monotonic()
            if code is None:
                code = self._poll(child)
                if code is not None:
                    self._drained_by = now + 2.0  # what its own children still print
                    continue
                if deadline is not None and now >= deadline and not self.reason:
                    self._end("time_limit")
                if self.wants_end and self.asked_at is None:
                    self._end("cancelled")
                if now - looked >= LOOK_S:
                    looked = now
                    self._look_at_memory(child)
                if self.asked_at is not None and now - self.asked_at > self.spec["grace_s"]:
                    self._kill(child)
        self._kill(child)
        while is_open and select.select([reading], [], [], 0)[0]:
            is_open = log.take(reading)
        log.close()
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        killed_for_memory = self.group.was_out_of_memory()
        if killed_for_memory and not self.reason and code != 0:
            self.reason = "memory_limit"
        _write(
            "exit.json",
            {
                "code": code if code >= 0 else None,
                "signal": -code if code < 0 else None,
                "reason": self.reason,
                "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
                "wall_s": round(time.monotonic() - began, 3),
                "peak_bytes": max(self.peak_bytes, self.group.peak_bytes(), usage.ru_maxrss * 1024),
                "limits": self.group.kind,
                "ended_at": time.time(),
            },
        )
        self.group.remove()

    _drained_by = float("inf")

    def _start(self, writing: int) -> subprocess.Popen[bytes]:
        affinity, group = self.spec.get("affinity"), self.group

        def before() -> None:
            if group is not None:
                group.enter()
            if affinity:
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(0, affinity)
            with contextlib.suppress(OSError):
                os.nice(self.spec.get("nice", 0))
            # The kernel takes a run before it takes the server.
            with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
                file.write("500")

        return subprocess.Popen(
            self.spec["command"],
            cwd=self.spec["cwd"],
            env=self.spec["env"],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            start_new_session=True,
            preexec_fn=before,  # noqa: PLW1509 -- one thread here
        )

    def _ask(self, *_: object) -> None:
        self.wants_end = True

    def _end(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.asked_at = time.monotonic()
        for pid in _descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _kill(self, child: subprocess.Popen[bytes]) -> None:
        """All that it has started, and again: who is killed may have started more."""
        for _ in range(50):
            pids = _descendants()
            if not pids:
                return
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._reap_others(child)
            time.sleep(0.02)

    def _poll(self, child: subprocess.Popen[bytes]) -> int | None:
        self._reap_others(child)
        return child.poll()

    def _reap_others(self, child: subprocess.Popen[bytes]) -> None:
        for pid in _children(os.getpid()):
            if pid != child.pid:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def _look_at_memory(self, child: subprocess.Popen[bytes]) -> None:
        limit = self.spec.get("memory_bytes")
        pids = _descendants()
        used = sum(map(_resident, pids))
        if limit and used > limit and self.group is not None and not self.group.limits_memory:
            used = sum(map(_proportional, pids))  # pages that several of them share count once
            if used > limit:
                self.reason = self.reason or "memory_limit"
                self._kill(child)
        self.peak_bytes = max(self.peak_bytes, used)


# ---- processes


def _adopt_orphans() -> None:
    """What the program leaves behind becomes a child of this process, so that it is found."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children") as file:
                found += map(int, file.read().split())
    return found


def _descendants() -> list[int]:
    found, todo = [], _children(os.getpid())
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += _children(pid)
    return [pid for pid in found if not _is_dead(pid)]


def _is_dead(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in ("Z", "X")
    except OSError:
        return True


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, ValueError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


# ---- cgroups


class _Group:
    """A control group of the program's own; or none, where this user may not make one."""

    kind = "watched"
    limits_memory = False

    @staticmethod
    def make(spec: dict[str, Any]) -> _Group:
        for attempt in (_GroupV2, _GroupV1):
            try:
                return attempt(spec)
            except OSError:
                continue
        return _Group()

    def enter(self) -> None:
        """Called in the child, before it becomes the program."""

    def was_out_of_memory(self) -> bool:
        return False

    def peak_bytes(self) -> int:
        return 0

    def remove(self) -> None:
        pass


class _GroupV2(_Group):
    kind = "cgroup2"

    def __init__(self, spec: dict[str, Any]) -> None:
        own = next(line[3:].strip() for line in [*_lines("/proc/self/cgroup"), "0::"] if line.startswith("0::"))
        parent = "/sys/fs/cgroup" + own
        if not own or "memory" not in " ".join(_lines(f"{parent}/cgroup.subtree_control")):
            raise OSError("no controllers to hand down here")
        self.path = f"{parent}/headwater-{spec['name']}"
        os.mkdir(self.path)
        try:
            _set(f"{self.path}/memory.max", spec["memory_bytes"])
            with contextlib.suppress(OSError):
                _set(f"{self.path}/memory.swap.max", 0)
                _set(f"{self.path}/cpu.max", f"{int(spec['cpus'] * 100_000)} 100000")
        except OSError:
            self.remove()
            raise
        self.limits_memory = True

    def enter(self) -> None:
        _set(f"{self.path}/cgroup.procs", os.getpid())

    def was_out_of_memory(self) -> bool:
        return any(
            line.startswith("oom_kill ") and line.split()[1] != "0" for line in _lines(f"{self.path}/memory.events")
        )

    def peak_bytes(self) -> int:
        found = _lines(f"{self.path}/memory.peak")
        return int(found[0]) if found else 0

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            os.rmdir(self.path)


class _GroupV1(_Group):
    kind = "cgroup1"

    def __init__(self, spec: dict[str, Any]) -> None:
        self.paths: dict[str, str] = {}
        places: dict[str, str] = {}
        for line in _lines("/proc/self/cgroup"):
            _, names, where = line.split(":", 2)
            places |= dict.fromkeys(names.split(","), where.strip())
        for name in ("memory", "cpu"):
            base = f"/sys/fs/cgroup/{name}"
            for parent in (base + places.get(name, "/"), base):
                path = f"{parent.rstrip('/')}/headwater-{spec['name']}"
                try:
                    os.mkdir(path)
                except OSError:
                    continue
                self.paths[name] = path
                break
        try:
            if "memory" not in self.paths:
                raise OSError("no memory controller that can be used here")
            _set(f"{self.paths['memory']}/memory.limit_in_bytes", spec["memory_bytes"])
            with contextlib.suppress(OSError):
                _set(f"{self.paths['memory']}/memory.memsw.limit_in_bytes", spec["memory_bytes"])
            if "cpu" in self.paths:
                with contextlib.suppress(OSError):
                    _set(f"{self.paths['cpu']}/cpu.cfs_period_us", 100_000)
                    _set(f"{self.paths['cpu']}/cpu.cfs_quota_us", int(spec["cpus"] * 100_000))
        except OSError:
            self.remove()
            raise
        self.limits_memory = True

    def enter(self) -> None:
        for path in self.paths.values():
            _set(f"{path}/cgroup.procs", os.getpid())

    def was_out_of_memory(self) -> bool:
        lines = _lines(f"{self.paths['memory']}/memory.oom_control")
        return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in lines)

    def peak_bytes(self) -> int:
        found = _lines(f"{self.paths['memory']}/memory.max_usage_in_bytes")
        return int(found[0]) if found else 0

    def remove(self) -> None:
        for path in self.paths.values():
            with contextlib.suppress(OSError):
                os.rmdir(path)


def _lines(path: str) -> list[str]:
    try:
        with open(path) as file:
            return file.read().splitlines()
    except OSError:
        return []


def _set(path: str, value: object) -> None:
    with open(path, "w") as file:
        file.write(str(value))


# ---- files


class _Log:
    """The first ``limit`` bytes and the last ``TAIL_BYTES`` of what is printed."""

    def __init__(self, path: str, limit: int) -> None:
        """``-`` is this process's own output."""
        self.fd = (
            os.dup(1) if path == "-" else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        )
        self.left = limit
        self.tail = bytearray()
        self.n_left_out = 0

    def take(self, reading: int) -> bool:
        """What is there now; False at the end."""
        for _ in range(16):
            try:
                data = os.read(reading, 1 << 16)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._keep(data)
        return True

    def _keep(self, data: bytes) -> None:
        if self.left > 0:
            part = data[: self.left]
            self._put(part)
            self.left -= len(part)
            data = data[len(part) :]
        if data:
            self.tail += data
            excess = len(self.tail) - TAIL_BYTES
            if excess > 0:
                self.n_left_out += excess
                del self.tail[:excess]

    def close(self) -> None:
        if self.tail:
            if self.n_left_out:
                self._put(b"\n[... %d bytes of this log were left out ...]\n" % self.n_left_out)
            self._put(bytes(self.tail))
        os.close(self.fd)

    def _put(self, data: bytes) -> None:
        """A disk that is full takes lines of the log, and ends no run."""
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self.fd, data) :]


def _write(path: str, facts: dict[str, Any]) -> None:
    """Whole or not at all."""
    temporary = f"{path}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(facts).encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
