"""The parent of a process tree: starts children, starts them again when they die, replaces them one by one, and ends them all.

What the children do is not known here. The parent opens no database and starts no thread, so that a fork is always safe.
Children end when the parent does, however it ends: they hold the other end of a pipe.

- SIGTERM or SIGINT: drain, then end. ``on_draining`` is called at once; children go on for ``drain_delay_s``, so that
  balancers notice; then they are told to end (SIGTERM) and may finish for ``drain_timeout_s``. A second signal hurries.
- SIGHUP: each child in turn gets a successor and, once that is ready, is told to leave (SIGUSR1): it takes no new work and
  finishes what it has. The listening socket stays open all the while, so nobody is refused.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

import structlog

from headwater.kernel import HeadwaterError, metrics

log = structlog.get_logger("headwater.server")

KILL_AFTER_S = 4.0  # beyond the time to finish: a process that still runs is ended
HURRY_S = 1.0  # the same, once somebody has asked twice
READY_S = 60.0  # a successor that does not work by then is given up
POLL_S = 0.05  # while somebody's readiness is waited for, which comes without a signal
LONGEST_PAUSE_S = 30.0  # between restarts of a child that keeps dying
GENERATIONS = 3  # of each child may live at once: one serves, two finish long downloads

_PID = struct.Struct("=i")
_STOPPING = {signal.SIGTERM, signal.SIGINT}
_SIGNALS = {*_STOPPING, signal.SIGHUP, signal.SIGCHLD}

DEATHS = metrics.counter("headwater_process_deaths_total", "Processes that ended without being told to.").of()
RELOADS = metrics.counter("headwater_reloads_total", "Times that all processes were replaced in turn.", "outcome")
RELOADED, RELOAD_FAILED = RELOADS.of("done"), RELOADS.of("failed")


@dataclass
class Child:
    """One process. ``run`` is called in it, with what it calls once it is ready for work."""

    name: str
    run: Callable[[Callable[[], None]], None]
    serves: bool = True  # the tree is ready when one of these is
    pid: int = 0
    slot: int = 0
    deaths: int = 0
    started: float = 0.0
    restart_at: float = field(default=0.0)


@dataclass(frozen=True)
class Drain:
    """How an end goes."""

    delay_s: float = 0.0
    timeout_s: float = 5.0


class Supervisor:
    """Runs ``children`` until it is told to stop."""

    def __init__(
        self,
        children: list[Child],
        *,
        drain: Callable[[], Drain],
        on_ready: Callable[[], None],
        on_draining: Callable[[], None],
        on_stopping: Callable[[], None],
        before_reload: Callable[[], None],
    ) -> None:
        """
        Args:
            drain: asked when an end begins.
            on_ready: the first child that serves works.
            on_draining: an end was asked for; children still work.
            on_stopping: nothing new is to be taken from now on; before the children are told.
            before_reload: read anew what children are made of; a refusal keeps everything as it is.
        """
        self.children = children
        self._drain = drain
        self._on_ready = on_ready
        self._on_draining = on_draining
        self._on_stopping = on_stopping
        self._before_reload = before_reload
        self.lifeline, self._held = os.pipe()  # a child reads the end of file when the parent is gone
        self._ready_out, self._ready_in = os.pipe()
        os.set_blocking(self._ready_out, False)
        self._ready: set[int] = set()
        self._leaving: dict[int, tuple[str, int]] = {}  # by process id: name and slot of those that have a successor
        self._n_stops = 0
        self._wants_reload = False
        metrics.share(1 + GENERATIONS * len(children))
        self._free_slots = list(range(GENERATIONS * len(children), 0, -1))

    def run(self) -> int:
        """Returns the exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for child in self.children:
            self._start(child)
        self._pump(lambda: any(child.serves and child.pid in self._ready for child in self.children), step_s=POLL_S)
        if not self._n_stops:
            self._on_ready()
        while not self._n_stops:
            self._pump(lambda: self._wants_reload)
            if self._wants_reload and not self._n_stops:
                self._wants_reload = False
                self._reload()
        return self._stop()

    # ---- waiting

    def _pump(self, until: Callable[[], bool], *, timeout_s: float | None = None, step_s: float = 60.0) -> bool:
        """Take signals and mend what dies until ``until()``, a stop, or the time is over; whether it came to be."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        stops = self._n_stops
        while True:
            if until():
                return True
            now = time.monotonic()
            if self._n_stops > stops or (deadline is not None and now >= deadline):
                return False
            wait_s = min(step_s, self._until_restart(now))
            self._take_signal(wait_s if deadline is None else min(wait_s, deadline - now))
            self._reap()
            self._read_ready()
            for child in self.children:
                if not child.pid and child.restart_at <= time.monotonic():
                    self._start(child)

    def _take_signal(self, wait_s: float) -> None:
        info = signal.sigtimedwait(_SIGNALS, max(0.0, wait_s))
        if info is None or info.si_signo == signal.SIGCHLD:
            return
        if info.si_signo == signal.SIGHUP:
            self._wants_reload = True
        else:
            self._n_stops += 1

    def _until_restart(self, now: float) -> float:
        waiting = [child.restart_at for child in self.children if not child.pid]
        return max(0.01, min(waiting) - now) if waiting else 60.0

    def _read_ready(self) -> None:
        try:
            said = os.read(self._ready_out, 4096)
        except BlockingIOError:
            return
        self._ready |= {pid for (pid,) in _PID.iter_unpack(said)}

    # ---- children

    def _start(self, child: Child) -> None:
        _flush()
        child.started = time.monotonic()
        slot = self._free_slots.pop()
        pid = os.fork()
        if pid:
            child.pid, child.slot = pid, slot
            return
        code = 1
        try:
            os.close(self._held)
            os.close(self._ready_out)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent passes on one end
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # so does a terminal that closes
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, set())
            metrics.take_slot(slot, child.name)
            structlog.contextvars.bind_contextvars(process=child.name)
            child.run(lambda: _say(self._ready_in))
            code = 0
        except BaseException:
            log.exception("process.failed")
        finally:
            _end(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ready.discard(pid)
            if pid in self._leaving:
                name, slot = self._leaving.pop(pid)
                self._free(slot)
                log.info("process.left", process=name, exit=os.waitstatus_to_exitcode(status))
                continue
            for child in self.children:
                if child.pid == pid:
                    child.pid = 0
                    self._free(child.slot)
                    self._note_death(child, os.waitstatus_to_exitcode(status))

    def _free(self, slot: int) -> None:
        metrics.free_slot(slot)
        self._free_slots.append(slot)

    def _note_death(self, child: Child, code: int) -> None:
        long_lived = time.monotonic() - child.started > LONGEST_PAUSE_S * 2
        child.deaths = 1 if long_lived else child.deaths + 1
        pause_s = min(0.1 * 2**child.deaths, LONGEST_PAUSE_S)
        child.restart_at = time.monotonic() + pause_s
        DEATHS.add()
        log.error("process.died", process=child.name, exit=code, restart_in_s=pause_s)

    # ---- replacing them

    def _reload(self) -> None:
        began = time.monotonic()
        try:
            self._before_reload()
        except HeadwaterError as error:
            RELOAD_FAILED.add()
            log.error("server.not_reloaded", reason=error.message)  # noqa: TRY400 -- a refusal, not a bug
            return
        log.info("server.reloading")
        for child in self.children:
            if len(self._free_slots) <= 1:  # one is kept for a child that dies
                log.info("server.reload_waits", for_processes=[name for name, _ in self._leaving.values()])
                self._pump(lambda: len(self._free_slots) > 1)
            if self._n_stops or not self._replace(child):
                return
        RELOADED.add()
        log.info("server.reloaded", duration_ms=round((time.monotonic() - began) * 1000))

    def _replace(self, child: Child) -> bool:
        """Whether a successor works; the former goes on if it does not."""
        former = (child.pid, child.slot)
        self._start(child)
        if not former[0]:
            return True  # it was dead, and would have been started anyway
        self._leaving[former[0]] = (child.name, former[1])
        pid = child.pid
        self._pump(lambda: pid in self._ready or child.pid != pid, timeout_s=READY_S, step_s=POLL_S)
        if pid in self._ready and child.pid == pid:
            if former[0] in self._leaving:
                os.kill(former[0], signal.SIGUSR1)
            return True
        if self._n_stops:
            return False
        RELOAD_FAILED.add()
        log.error("server.not_reloaded", process=child.name, reason="its successor did not start; the log tells why")
        if former[0] in self._leaving:
            if child.pid:
                self._leaving[child.pid] = (child.name, child.slot)
                os.kill(child.pid, signal.SIGKILL)
            child.pid, child.slot, child.deaths = former[0], former[1], 0
            del self._leaving[former[0]]
        return False

    # ---- ending

    def _stop(self) -> int:
        asked, drain = time.monotonic(), self._drain()
        log.info("server.stopping", drain_delay_s=drain.delay_s, drain_timeout_s=drain.timeout_s)
        self._on_draining()
        if self._n_stops == 1 and drain.delay_s:
            self._pump(lambda: False, timeout_s=drain.delay_s)
        self._on_stopping()
        self._tell_all(signal.SIGTERM)
        hurried, kill_at = self._n_stops, time.monotonic() + drain.timeout_s + KILL_AFTER_S
        while alive := self._alive():
            if self._n_stops > max(hurried, 1):
                hurried = self._n_stops
                self._tell_all(signal.SIGTERM)
                kill_at = min(kill_at, time.monotonic() + HURRY_S)
            left = kill_at - time.monotonic()
            if left <= 0:
                log.error("process.killed", processes=list(alive.values()))
                self._tell_all(signal.SIGKILL)
                for pid in alive:
                    os.waitpid(pid, 0)
                break
            self._take_signal(left)
            self._collect_ended(alive)
        log.info("server.stopped", duration_ms=round((time.monotonic() - asked) * 1000))
        return 0

    def _alive(self) -> dict[int, str]:
        found = {child.pid: child.name for child in self.children if child.pid}
        return found | {pid: name for pid, (name, _) in self._leaving.items()}

    def _collect_ended(self, alive: dict[int, str]) -> None:
        for pid in alive:
            if os.waitpid(pid, os.WNOHANG)[0]:
                self._leaving.pop(pid, None)
                for child in self.children:
                    if child.pid == pid:
                        child.pid = 0

    def _tell_all(self, number: signal.Signals) -> None:
        for pid in self._alive():
            os.kill(pid, number)


def _say(pipe: int) -> None:
    os.write(pipe, _PID.pack(os.getpid()))


def _end(code: int) -> NoReturn:
    """Leave a forked child at once: the interpreter's own way out would wait for idle threads."""
    _flush()
    os._exit(code)


def _flush() -> None:
    """So that no child writes again what its parent has not yet; a full disk is no reason to end."""
    for file in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            file.flush()
