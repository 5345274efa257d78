"""The thread that starts runs and follows them: claims what fits, ships logs, holds leases, writes down ends.

One a host, in its first queue worker. It keeps nothing that it could not read again: the database says which attempts are this
host's, the runner what became of them.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog

from headwater.compute.models import RunId, State
from headwater.compute.rows import RunHost
from headwater.compute.runners import Held, Runner, RunnerAway, StartFailed
from headwater.compute.service import lifecycle
from headwater.compute.service.lifecycle import Outcome
from headwater.compute.settings import ComputeSettings
from headwater.compute.store import attempts, runs, said
from headwater.db import Held as Lock
from headwater.db import SiteMoved, SiteMoving, Tx
from headwater.kernel import utcnow
from headwater.web import Site

POLL_S = 0.1
LOOK_AGAIN_S = 2.0  # though nothing was committed: queued runs become due, leases end
SHIP_S = 0.3
SHIP_BYTES = 64 << 10  # of a log in one piece
SHIP_PIECES = 4  # a time: a run that floods its log does not flood the database
RENEW_S = lifecycle.LEASE_S / 4
SAY_HOST_S = 60.0
SCAN_S = 15.0
TIDY_S = 3600.0
HEAD_SHARE = 4  # a quarter of a log that is too long is its beginning

log = structlog.get_logger("headwater.compute")


@dataclass
class _Attempt:
    """One that this host follows."""

    shipped: int = 0  # bytes of its log
    shipped_at: float = 0.0
    n_pieces: int = 0
    is_asked: bool = False  # to end


class Dispatcher:
    """Made after the fork; ``step`` is one round."""

    def __init__(self, site: Site, runner: Runner) -> None:
        self.site = site
        self.runner = runner
        self.settings = site.settings.of(ComputeSettings)
        self.held: dict[Held, _Attempt] = {}
        self.host: RunHost | None = None
        self._has_taken_up = False
        self._seen, self._looked_at = -1, 0.0
        self._due: dict[str, float] = {}

    def run_forever(self, stop: threading.Event, *, may_work: Callable[[], bool] = lambda: True) -> None:
        """Until ``stop`` is set. The processes go on."""
        while not stop.wait(POLL_S):
            if not may_work():
                continue
            try:
                self.step()
            except (SiteMoving, SiteMoved):
                stop.wait(LOOK_AGAIN_S)
            except Exception:
                log.exception("runs.stumbled")
                stop.wait(1.0)

    def step(self) -> None:
        """Look at what is at hand, and begin what can be begun."""
        if not self._has_taken_up:
            self._take_up()
        self._say_host()
        if self.host is None and not self.held:
            return
        self._follow()
        version, now = self.site.db.version(), time.monotonic()
        if version == self._seen and now - self._looked_at < LOOK_AGAIN_S:
            return
        self._seen, self._looked_at = version, now
        self._look_at_wishes()
        if self.host is None:
            return  # what was begun there is followed until it is given up; nothing begins
        if self._is_due("scan", SCAN_S):
            self.site.db.write(lifecycle.lose_expired, self.site.db.now(), but_of=self.host.id)
        while self._begin_one():
            self._seen = -1
        if self._is_due("tidy", TIDY_S):
            self._tidy()

    def _is_due(self, name: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(name, 0.0):
            return False
        self._due[name] = now + every_s
        return True

    def _say_host(self) -> None:
        if not self._is_due("host", SAY_HOST_S):
            return
        described = self.runner.describe()
        if described is None:
            self.host = None
            self._due["host"] = time.monotonic() + LOOK_AGAIN_S
            return
        self.site.db.write(attempts.save_host, described)
        self.host = described

    def _take_up(self) -> None:
        """What was begun here before this process was, whether the runner answers yet or not."""
        with self.site.db.reading() as tx:
            for run_id, attempt in attempts.active_of_host(tx, self.runner.host_id):
                run = runs.find_run(tx, run_id)
                if run is None:
                    continue
                self.runner.adopt(run, attempt.number, attempt.remote_id)
                self.held[run_id, attempt.number] = _Attempt(shipped=said.shipped(tx, run_id, attempt.number))
                log.info("run.taken_up", run_id=run_id, attempt=attempt.number)
        self._has_taken_up = True

    # ---- following

    def _follow(self) -> None:
        if self._is_due("renew", RENEW_S) and self.held:
            for gone in self.site.db.write(lifecycle.renew, list(self.held), self.site.db.now()):
                log.warning("run.taken_away", run_id=gone[0], attempt=gone[1])
                self.runner.end(gone)
                self._let_go(gone)
        for held, state in list(self.held.items()):
            outcome = self.runner.find_outcome(held)
            if outcome is not None:
                self._ship_all(held, state)
                self._end(held, outcome)
            elif time.monotonic() - state.shipped_at >= _pause_s(state.n_pieces):
                self._ship(held, state)

    def _ship(self, held: Held, state: _Attempt, *, is_last: bool = False) -> bool:
        """Whether there may be more."""
        state.shipped_at = time.monotonic()
        for _ in range(SHIP_PIECES):
            data = self.runner.read_log(held, state.shipped, SHIP_BYTES)
            cut = len(data) if is_last and len(data) < SHIP_BYTES else _whole_letters(data)
            if not cut:
                return False
            text = data[:cut].decode(errors="replace").replace("\0", "\ufffd")
            self.site.db.write(_keep_log, held, state.shipped, state.shipped + cut, text, self.settings.log_bytes)
            state.shipped += cut
            state.n_pieces += 1
            if cut < SHIP_BYTES // 2:
                return False
        return True

    def _ship_all(self, held: Held, state: _Attempt) -> None:
        while self._ship(held, state, is_last=True):
            pass

    def _end(self, held: Held, outcome: Outcome) -> None:
        run = self.site.db.write(lifecycle.end_attempt, *held, outcome, self.site.db.now())
        log.info(
            "run.attempt_ended", run_id=held[0], attempt=held[1], state=outcome.state.value, reason=outcome.reason_code
        )
        self._let_go(held, is_over=run is not None and run.state.is_over)

    def _let_go(self, held: Held, *, is_over: bool = False) -> None:
        self.held.pop(held, None)
        self.runner.forget(held, is_over=is_over)

    def _look_at_wishes(self) -> None:
        """Who wants one of these to end."""
        wanted = [held for held, state in self.held.items() if not state.is_asked]
        if not wanted:
            return
        asked = self.site.db.read(attempts.cancelled_among, [run_id for run_id, _ in wanted])
        for held in wanted:
            if held[0] in asked:
                self.held[held].is_asked = self.runner.ask_to_end(held)

    # ---- beginning

    def _begin_one(self) -> bool:
        host = self.host
        now = self.site.db.now()
        if host is None or not host.cpus or not self.site.db.read(runs.has_due, now):
            return False
        claimed = self.site.db.write(lifecycle.claim, host, self.settings, now)
        if claimed is None:
            return False
        held = (claimed.run.id, claimed.attempt)
        self.held[held] = _Attempt()
        try:
            remote_id = self.runner.start(claimed)
        except StartFailed as exc:
            outcome = Outcome(State.FAILED, "cannot_start", f"The program could not be started: {exc}")
            self._end(held, outcome)
            return True
        except RunnerAway as exc:
            log.warning("run.not_begun", run_id=held[0], reason=str(exc)[:200])
            self._let_go(held)
            self.site.db.write(lifecycle.put_back, *held, self.site.db.now())
            self.host = None  # until it describes itself again
            self._due["host"] = time.monotonic() + LOOK_AGAIN_S
            return False
        waited = (now - claimed.run.due_at).total_seconds()
        log.info(
            "run.started", run_id=held[0], attempt=held[1], run_kind=claimed.run.kind, waited_ms=round(waited * 1000)
        )
        self.site.db.write(lifecycle.note_started, *held, remote_id=remote_id, runs=self.runner.begins_at_once)
        return True

    def _tidy(self) -> None:
        kept = self.runner.list_kept()
        before = utcnow() - timedelta(days=self.settings.keep_days)
        self.runner.tidy(self.site.db.read(runs.over_before, kept, before))


def _pause_s(n_pieces: int) -> float:
    """At first at once; of a run that prints a little for hours, more at a time, so that its rows stay few."""
    return SHIP_S if n_pieces < 300 else 1.0 if n_pieces < 2000 else 5.0


def _whole_letters(data: bytes) -> int:
    """How much of this ends with a whole letter of UTF-8."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            return len(data)
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) if back >= needed else len(data) - back
    return len(data)


def _keep_log(tx: Tx, held: Held, start: int, end: int, text: str, limit_bytes: int) -> None:
    run_id, attempt = held
    run = runs.find_run(tx, run_id)
    if run is None:
        return
    said.put_log(tx, run_id, attempt, start, end, text, utcnow())
    total = run.n_log_bytes + end - start
    if total > limit_bytes:
        total -= said.drop_middle(tx, run_id, limit_bytes // HEAD_SHARE, total - limit_bytes)
    runs.update_run(tx, run_id, n_log_bytes=total)


def runner_of(site: Site) -> Runner:
    """The one that the settings choose."""
    if site.settings.of(ComputeSettings).ray_address is not None:
        from headwater.compute.runners.ray import RayRunner

        return RayRunner(site)
    from headwater.compute.runners.local import LocalRunner

    return LocalRunner(site)


def run_forever(site: Site, stop: threading.Event, *, may_work: Callable[[], bool]) -> None:
    """What the queue worker's thread does, while no other process of this host, or of the site where runs go to a cluster, does."""
    settings = site.settings.of(ComputeSettings)
    if settings.cpus == 0:
        return
    holding = _holding_cluster if settings.ray_address is not None else _holding_host
    while not stop.is_set():
        try:
            with holding(site) as held:
                if held:
                    Dispatcher(site, runner_of(site)).run_forever(stop, may_work=lambda: _holds(held) and may_work())
        except Exception:
            log.exception("runs.stumbled")
        stop.wait(POLL_S if settings.ray_address is None else LOOK_AGAIN_S)


def _holding_cluster(site: Site) -> AbstractContextManager[Lock]:
    """One host of the site speaks with the cluster; where it is lost, another goes on."""
    return site.db.holding("compute-ray", exclusive=True, wait=False)


@contextmanager
def _holding_host(site: Site) -> Iterator[Lock]:
    """A worker that leaves, and its successor, are both there for a moment."""
    folder = site.data_dir / "runs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield Lock(is_held=False)
        else:
            yield Lock(is_held=True)
            fcntl.flock(fd, fcntl.LOCK_UN)
    finally:
        os.close(fd)


def _holds(held: Lock) -> bool:
    """Raises: DatabaseAway: another may hold it by now."""
    held.check()
    return True


__all__ = ["Dispatcher", "RunId", "run_forever", "runner_of"]
