"""Looking after engines: one thread of a host's first queue worker, which lives on while web workers come and go.

A row says what is wanted, another how it is; this makes the one like the other. Each endpoint is held by one supervisor of
the site, by a lease. Engines are processes of their own session and outlive a supervisor that is replaced or killed: its
successor finds them again by number and moment of start, and takes them over without a request being lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from headwater.db import SiteMoved, SiteMoving
from headwater.kernel import HeadwaterError, Kind, metrics
from headwater.serving import engines, processes, resolving, store
from headwater.serving.engines import llama, local
from headwater.serving.errors import EngineMissing, NotServable
from headwater.serving.models import LLAMA_CPP, Endpoint, Served, Standing, State
from headwater.serving.processes import Running
from headwater.serving.settings import ServingSettings
from headwater.web import Site

LEASE_S = 30.0
QUICK_S, SLOW_S = 0.1, 2.0  # between looks: while something is on its way, and else
END_S = 5.0  # an engine that was told to end gets so long
LONGEST_PAUSE_S = 60.0
SOUND_S = 60.0  # an engine that was well for so long has no failures behind it
RIGHTS_EVERY_S = 30.0
SPARED_S = 10.0  # since its last use, an endpoint is not put to sleep for another's sake
BAD_LOOKS = 3

STARTS = metrics.counter("headwater_engine_starts_total", "Engines that were started.").of()
FAILURES = metrics.counter("headwater_engine_failures_total", "Engines that died, hung or did not get ready.").of()

log = structlog.get_logger("headwater.serving")


def nudge_address(data_dir: Path) -> str:
    """Where this folder's supervisor listens for a word that something has changed: a name of this machine, no file."""
    return "\0headwater-serving-" + hashlib.sha256(str(data_dir.absolute()).encode()).hexdigest()[:32]


def nudge(data_dir: Path) -> None:
    """Have the supervisor of this machine look now; says nothing where there is none. It also looks by itself."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto(b"!", nudge_address(data_dir))


@dataclass
class Engine:
    """One that runs, as this supervisor knows it. ``child`` is None for one that another has started."""

    running: Running
    address: str
    key: str
    child: subprocess.Popen[bytes] | None = None
    begun: float = field(default_factory=time.monotonic)
    ready_since: float | None = None
    asked_at: float = 0.0
    n_bad: int = 0
    told_to_end: float | None = None
    tailed_at: float = 0.0
    rights_at: float = field(default_factory=time.monotonic)

    @property
    def is_alive(self) -> bool:
        if self.child is not None and self.child.poll() is not None:
            return False
        return self.running.is_alive


@dataclass(frozen=True)
class _Prepared:
    command: list[str]
    address: str
    key: str
    secrets: dict[str, str]


class Supervisor:
    def __init__(self, site: Site, is_replaced: Callable[[], bool] = lambda: False) -> None:
        """``is_replaced`` is asked at the end: whether the site goes on, and another supervisor of this host comes."""
        self._site = site
        self._is_replaced = is_replaced
        self._settings = site.settings.of(ServingSettings)
        own = processes.started_at(os.getpid())
        self.holder = f"{processes.host_name()}#{os.getpid()}:{own}"
        self._engines: dict[int, Engine] = {}
        self._preparing: dict[int, Future[_Prepared]] = {}
        self._renewed: dict[int, float] = {}
        self._room = 0  # for so many engines more
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="engine-start")
        self._home = site.data_dir.absolute() / "cache" / "serving"
        self._nudged: socket.socket | None = None
        self._parent = os.getppid()

    def run(self, stop: threading.Event) -> None:
        """Until ``stop`` is set; then engines end with the site, or stay for this supervisor's successor."""
        while not stop.is_set():
            is_busy = False
            try:
                is_busy = self.look()
            except (SiteMoving, SiteMoved):
                pass
            except Exception:
                log.exception("serving.stumbled")
            self._wait(stop, QUICK_S if is_busy else SLOW_S)
        with contextlib.suppress(HeadwaterError):
            self._leave()

    def log_of(self, endpoint_id: int) -> Path:
        return self._home / "logs" / f"{endpoint_id}.log"

    # ---- waiting

    def _wait(self, stop: threading.Event, longest_s: float) -> None:
        if self._nudged is None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                sock.bind(nudge_address(self._site.data_dir))
            except OSError:  # the former one still listens there
                sock.close()
                stop.wait(min(longest_s, 0.5))
                return
            self._nudged = sock
        deadline = time.monotonic() + longest_s
        while not stop.is_set() and (left := deadline - time.monotonic()) > 0:
            self._nudged.settimeout(min(left, 0.25))
            with contextlib.suppress(TimeoutError):
                self._nudged.recv(16)
                self._nudged.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        self._nudged.recv(16)
                return

    # ---- looking

    def look(self) -> bool:
        """Once at everything; whether something is on its way."""
        db = self._site.db
        if not self._engines and not self._preparing and not db.read(store.count_alive):
            return False
        now, is_busy = db.now(), False
        for endpoint_id in [number for number, mine in self._engines.items() if mine.told_to_end is not None]:
            is_busy |= self._end(endpoint_id)
        found = db.read(store.list_for_supervisor, self.holder)
        # Whatever runs is taken over and counted before anything is started.
        held = [one for one in found if self._safely(self._hold, one, now)]
        held_ids = {one.endpoint.id for one in held}
        wanting = self._wanting(found, held_ids, now)
        for one in held:
            is_busy |= self._safely(self._look_at, one, now)
        is_busy |= self._give_up(held_ids)
        running = [one for one in found if one.endpoint.id in self._here or _runs_here(one.standing)]
        is_busy |= self._begin_in_turn(wanting, running, now)
        return is_busy

    def _safely(self, act: Callable[[Served, datetime], bool], one: Served, now: datetime) -> bool:
        """What is wrong with one holds up no other."""
        try:
            return act(one, now)
        except (SiteMoving, SiteMoved):
            raise
        except Exception:
            log.exception("endpoint.stumbled", endpoint=one.endpoint.model)
            return False

    def _give_up(self, held: set[int]) -> bool:
        """End what another supervisor looks after by now, or nobody wants; whether anything of it is still there."""
        is_busy = False
        for endpoint_id in self._engines.keys() - held:
            is_busy |= self._end(endpoint_id)
        for endpoint_id in [number for number, made in self._preparing.items() if number not in held and made.done()]:
            del self._preparing[endpoint_id]
        return is_busy or bool(self._preparing)

    def _wanting(self, found: list[Served], held: set[int], now: datetime) -> list[Served]:
        """Those that should have an engine, have none, and could have it here."""
        asking = [one for one in found if self._asks_for_engine(one, now)]
        here = engines.available(self._site.settings) if asking and self._settings.engines > 0 else ()
        wanting = []
        for one in asking:
            if one.endpoint.id in held or (self._is_free(one.standing, now) and one.endpoint.engine in here):
                wanting.append(one)
            elif self._is_free(one.standing, now) and one.standing.state is State.WAITING and not one.standing.reason:
                why = EngineMissing(one.endpoint.engine, "No host of this site that runs engines has it.").message
                self._site.db.write(store.set_state, one.endpoint.id, State.WAITING, now=now, reason=why)
        return wanting

    def _asks_for_engine(self, one: Served, now: datetime) -> bool:
        if one.endpoint.wanted != "running" or one.endpoint.id in self._here:
            return False
        match one.standing.state:
            case State.ASLEEP:
                return one.standing.wake_at is not None
            case State.BACKING_OFF:
                return one.standing.retry_at is None or one.standing.retry_at <= now
            case State.FAILED:
                return False
        return True

    def _begin_in_turn(self, wanting: list[Served], running: list[Served], now: datetime) -> bool:
        """Room goes to whose owner has fewest engines here, each time anew; ``running`` are all of this host, a predecessor's, too."""
        self._room = self._settings.engines - len(running)
        n_of = Counter(one.endpoint.owner_id for one in running)
        is_busy, left = False, sorted(wanting, key=lambda one: n_of[one.endpoint.owner_id])
        while left:
            one = left.pop(0)
            if self._safely(lambda one, now: self._begin(one, running, now), one, now):
                is_busy = True
                n_of[one.endpoint.owner_id] += 1
                left.sort(key=lambda one: n_of[one.endpoint.owner_id])
        return is_busy

    def _look_at(self, one: Served, now: datetime) -> bool:
        """At one that is held; what should begin is begun later, when it is known what there is room for."""
        mine = self._engines.get(one.endpoint.id)
        if one.endpoint.wanted != "running":
            return self._look_at_stopped(one, mine, now)
        if one.endpoint.id in self._preparing:
            return self._look_at_prepared(one, now)
        if mine is None:
            return one.standing.state is State.BACKING_OFF
        if mine.told_to_end is not None or one.standing.state not in (State.STARTING, State.READY):
            self._end(one.endpoint.id)
            return True  # soon after, whatever comes next can begin
        if one.standing.state is State.STARTING:
            return self._look_at_starting(one, mine, now)
        return self._look_at_ready(one, mine, now)

    def _hold(self, one: Served, now: datetime) -> bool:
        """Whether it is this supervisor's to look after. Takes over what is nobody's and runs here, or was stopped."""
        standing = one.standing
        if standing.holder == self.holder:
            if time.monotonic() - self._renewed.get(one.endpoint.id, 0.0) > LEASE_S / 3:
                return self._take(one, now)
            return True
        if not self._is_free(standing, now):
            return False
        was_here = standing.host == processes.host_name() and standing.pid is not None
        return (was_here or (one.endpoint.wanted != "running" and self._settings.engines > 0)) and self._take(one, now)

    def _is_free(self, standing: Standing, now: datetime) -> bool:
        """Whether nobody looks after it, or somebody who is no more."""
        is_over = standing.held_until is not None and standing.held_until < now
        return standing.holder is None or is_over or self._is_gone(standing.holder)

    def _take(self, one: Served, now: datetime) -> bool:
        former = None if one.standing.holder == self.holder else one.standing.holder
        if not self._site.db.write(store.take, one.endpoint.id, self.holder, former, now=now, lease_s=LEASE_S):
            return False
        self._renewed[one.endpoint.id] = time.monotonic()
        if one.standing.holder != self.holder:
            self._adopt(one)
        return True

    def _is_gone(self, holder: str) -> bool:
        """Whether it was a supervisor of this machine that is no more: then nobody waits for its lease to end."""
        host, _, process = holder.rpartition("#")
        if host != processes.host_name():
            return False
        pid, _, started = process.partition(":")
        return not (pid.isdigit() and started.isdigit() and Running(int(pid), int(started)).is_alive)

    def _adopt(self, one: Served) -> None:
        """Take over what a former supervisor of this machine has started."""
        standing = one.standing
        if not _runs_here(standing) or standing.pid is None or standing.pid_started is None:
            return
        running = Running(standing.pid, standing.pid_started)
        if one.endpoint.id not in self._engines:
            engine = Engine(running, standing.address or "", standing.key or "")
            if standing.state is State.READY:
                engine.ready_since = time.monotonic()
            if standing.state not in (State.READY, State.STARTING):
                processes.tell(running, signal.SIGKILL)
            self._engines[one.endpoint.id] = engine
            log.info("engine.adopted", endpoint=one.endpoint.model, pid=running.pid)

    # ---- starting

    def _begin(self, one: Served, running: list[Served], now: datetime) -> bool:
        """Begin it where there is room; what has to wait is let go, as another host may have room."""
        has_room, is_held = self._has_room(one.endpoint, running, now), one.standing.holder == self.holder
        is_told = one.standing.state is State.WAITING and bool(one.standing.reason)
        if not has_room and is_told and not is_held:
            return False
        if not is_held and not self._take(one, now):
            return False
        if not has_room:
            if not is_told:
                why = f"{self._settings.engines} engines run on this host, the most it may (serving.engines)."
                self._write(one, State.WAITING, now, reason=why)
            self._site.db.write(store.release, self.holder, one.endpoint.id)
            return False
        self._room -= 1
        self._write(one, State.STARTING, now, pid=None, pid_started=None, address=None, key=None)
        self._preparing[one.endpoint.id] = self._pool.submit(self._prepare, one.endpoint)
        return True

    @property
    def _here(self) -> set[int]:
        """Endpoints with an engine on this host, or with one on its way."""
        return self._engines.keys() | self._preparing.keys()

    def _has_room(self, wanting: Endpoint, running: list[Served], now: datetime) -> bool:
        """Whether one more engine may run beside ``running``. One that nobody uses makes room: first of those that may sleep; then
        also of those that may not, where their owner has more engines here than a fair share leaves to ``wanting``'s. Such a one is
        asleep until it is asked: two that want one place would else take it from each other for ever.
        """
        if self._room > 0:
            return True
        if any(mine.told_to_end is not None for mine in self._engines.values()):
            return False  # there is room soon
        n_of = Counter(one.endpoint.owner_id for one in running)
        n_own = n_of[wanting.owner_id]
        unused = [
            one
            for one in running
            if one.standing.state is State.READY and _last_use(one) + timedelta(seconds=SPARED_S) < now
        ]
        idle = [one for one in unused if one.endpoint.idle_s] or [
            one
            for one in unused
            if one.endpoint.owner_id != wanting.owner_id
            and (n_own == 0 or n_of[one.endpoint.owner_id] == max(n_of.values()) > n_own + 1)
        ]
        if idle:
            longest = max(idle, key=lambda one: (n_of[one.endpoint.owner_id], now - _last_use(one)))
            self._put_to_sleep(longest, now, reason="It made room for another's engine, and starts when it is asked.")
        return False

    def _prepare(self, one: Endpoint) -> _Prepared:
        """In a thread: files at hand, and how the engine is called."""
        resolved = resolving.resolve(self._site, one)
        _require_memory(resolved.size_bytes)
        host = self._settings.address
        port = processes.free_port(host)
        key = secrets.token_hex(24)
        threads = self._settings.threads or os.cpu_count() or 1
        if one.engine == LLAMA_CPP:
            program = llama.find(self._site.settings)
            if program is None:
                raise EngineMissing(LLAMA_CPP, "It was there when the endpoint was made.")
            command = llama.command(program, one, resolved.model, host, port, threads)
            named = {"LLAMA_API_KEY": key}
        else:
            command = local.command(one, resolved.model, host, port, threads)
            named = {"HEADWATER_ENGINE_KEY": key, "OMP_NUM_THREADS": str(threads)}
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return _Prepared(command, address, key, named)

    def _look_at_prepared(self, one: Served, now: datetime) -> bool:
        future = self._preparing[one.endpoint.id]
        if not future.done():
            return True
        del self._preparing[one.endpoint.id]
        try:
            made = future.result()
        except HeadwaterError as error:
            if error.kind is Kind.UNAVAILABLE:  # a store, a database: it may come back
                return self._fail(one, error.message, now)
            self._write(one, State.FAILED, now, reason=error.message)
            log.info("engine.refused", endpoint=one.endpoint.model, code=error.code)
            return False
        except Exception as error:
            log.exception("engine.not_prepared", endpoint=one.endpoint.model)
            return self._fail(one, f"its files could not be had: {error}", now)
        try:
            child, running = processes.start(
                made.command, folder=self._home, log=self.log_of(one.endpoint.id), secrets=made.secrets
            )
        except OSError as error:
            return self._fail(one, f"the program could not be started: {error}", now)
        self._engines[one.endpoint.id] = Engine(running, made.address, made.key, child)
        STARTS.add()
        log.info("engine.started", endpoint=one.endpoint.model, engine=one.endpoint.engine, pid=running.pid)
        values = {
            "host": processes.host_name(),
            "pid": running.pid,
            "pid_started": running.started,
            "address": made.address,
            "key": made.key,
        }
        if not self._site.db.write(store.write_held, one.endpoint.id, self.holder, values):
            self._end(one.endpoint.id)
        return True

    def _look_at_starting(self, one: Served, mine: Engine, now: datetime) -> bool:
        if not mine.is_alive:
            return self._fail(one, f"it ended while it started{_exit_of(mine)}", now)
        status, _ = processes.ask(mine.address, "/health", mine.key, timeout_s=1.0)
        if status == 200:
            mine.ready_since = mine.asked_at = time.monotonic()
            context = self._context_of(mine)
            self._write(one, State.READY, now, context_tokens=context, retry_at=None, wake_at=None)
            duration_ms = round((time.monotonic() - mine.begun) * 1000)
            log.info("engine.ready", endpoint=one.endpoint.model, pid=mine.running.pid, duration_ms=duration_ms)
        elif time.monotonic() - mine.begun > self._settings.start_timeout_s:
            why = f"it was not ready after {self._settings.start_timeout_s:.0f} seconds (serving.start_timeout_s)"
            return self._fail(one, why, now)
        return True

    def _context_of(self, mine: Engine) -> int | None:
        """How many tokens one request may have, as the engine says."""
        status, said = processes.ask(mine.address, "/props", mine.key)
        try:
            found = said["default_generation_settings"]["n_ctx"] if status == 200 else None
        except (KeyError, TypeError):
            return None
        return found if isinstance(found, int) else None

    # ---- while it runs

    def _look_at_ready(self, one: Served, mine: Engine, now: datetime) -> bool:
        if not mine.is_alive:
            return self._fail(one, f"it ended{_exit_of(mine)}", now)
        moment = time.monotonic()
        if moment - mine.asked_at >= self._settings.health_every_s:
            mine.asked_at = moment
            status, _ = processes.ask(mine.address, "/health", mine.key)
            mine.n_bad = 0 if status == 200 else mine.n_bad + 1
            if mine.n_bad >= BAD_LOOKS:
                return self._fail(one, f"it did not answer, {BAD_LOOKS} times in a row", now)
            processes.trim(self.log_of(one.endpoint.id))
            if one.standing.n_failures and mine.ready_since is not None and moment - mine.ready_since > SOUND_S:
                self._site.db.write(store.write_held, one.endpoint.id, self.holder, {"n_failures": 0})
        if moment - mine.rights_at > RIGHTS_EVERY_S:
            mine.rights_at = moment
            why = self._site.db.read(resolving.may_still_run, one.endpoint)
            if why is not None:
                self._write(one, State.FAILED, now, reason=why, address=None, key=None)
                return self._end(one.endpoint.id)
        if one.endpoint.idle_s and _last_use(one) + timedelta(seconds=one.endpoint.idle_s) < now:
            return self._put_to_sleep(one, now)
        return False

    def _put_to_sleep(self, one: Served, now: datetime, *, reason: str = "") -> bool:
        used_at = one.standing.last_used_at
        if not self._site.db.write(store.put_to_sleep, one.endpoint.id, self.holder, used_at, now=now, reason=reason):
            return False
        log.info("engine.put_to_sleep", endpoint=one.endpoint.model)
        return self._end(one.endpoint.id)

    def _fail(self, one: Served, why: str, now: datetime) -> bool:
        """It died, or must: started again after a pause, and given up after several times."""
        mine = self._engines.get(one.endpoint.id)
        was_sound = mine is not None and mine.ready_since is not None and time.monotonic() - mine.ready_since > SOUND_S
        n_failures = 1 if was_sound else one.standing.n_failures + 1
        tail = processes.read_tail(self.log_of(one.endpoint.id))
        gone = {"address": None, "key": None, "n_failures": n_failures, "log_tail": tail}
        FAILURES.add()
        log.warning("engine.failed", endpoint=one.endpoint.model, n_failures=n_failures, reason=why)
        if n_failures >= self._settings.most_failures:
            self._write(one, State.FAILED, now, reason=why, **gone)
        else:
            pause_s = min(2.0 ** (n_failures - 1), LONGEST_PAUSE_S)
            retry_at = now + timedelta(seconds=pause_s)
            self._write(one, State.BACKING_OFF, now, reason=why, retry_at=retry_at, **gone)
        if mine is not None:
            processes.tell(mine.running, signal.SIGKILL)
            mine.told_to_end = time.monotonic()
        return True

    # ---- ending

    def _look_at_stopped(self, one: Served, mine: Engine | None, now: datetime) -> bool:
        preparing = self._preparing.get(one.endpoint.id)
        if preparing is not None:
            if not preparing.done():
                return True
            del self._preparing[one.endpoint.id]
        if mine is not None and self._end(one.endpoint.id):
            return True
        tail = processes.read_tail(self.log_of(one.endpoint.id))
        values: dict[str, Any] = {"pid": None, "pid_started": None, "host": None, "address": None, "key": None}
        values["log_tail"] = tail
        if one.standing.state is not State.STOPPED:  # said before it was told to stop, and written after
            values |= {"state": State.STOPPED.value, "since": now, "reason": ""}
        self._site.db.write(store.write_held, one.endpoint.id, self.holder, values)
        self._site.db.write(store.release, self.holder, one.endpoint.id)
        resolving.forget(self._site, one.endpoint)
        return False

    def _end(self, endpoint_id: int) -> bool:
        """Have an engine end, first kindly; whether it is still there."""
        mine = self._engines.get(endpoint_id)
        if mine is None:
            return False
        if not mine.is_alive:
            del self._engines[endpoint_id]
            values = {"pid": None, "pid_started": None}
            self._site.db.write(store.write_held, endpoint_id, self.holder, values)
            return False
        moment = time.monotonic()
        if mine.told_to_end is None:
            mine.told_to_end = moment
            processes.tell(mine.running, signal.SIGTERM)
        elif moment - mine.told_to_end > END_S:
            processes.tell(mine.running, signal.SIGKILL)
        return True

    def _leave(self) -> None:
        """The process ends. With the site its engines end, too; where it has a successor, that takes them over."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._nudged is not None:
            self._nudged.close()
        if os.getppid() == self._parent and self._is_replaced():
            self._site.db.write(store.release, self.holder)
            return
        for mine in self._engines.values():
            processes.tell(mine.running, signal.SIGTERM)
        deadline = time.monotonic() + 2.0
        while any(mine.is_alive for mine in self._engines.values()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for mine in self._engines.values():
            processes.tell(mine.running, signal.SIGKILL)
        now = self._site.db.now()
        for one in self._site.db.read(store.list_for_supervisor, self.holder):
            if one.standing.holder != self.holder:
                continue
            if one.standing.state in (State.READY, State.STARTING, State.WAITING):
                sleeps = one.standing.state is State.READY and one.endpoint.idle_s
                values: dict[str, Any] = {"address": None, "key": None, "pid": None, "pid_started": None}
                self._write(one, State.ASLEEP if sleeps else State.WAITING, now, wake_at=None, **values)
        self._site.db.write(store.release, self.holder)

    def _write(self, one: Served, state: State, now: datetime, *, reason: str = "", **more: Any) -> None:
        values = {"state": state.value, "reason": reason[:4000], "since": now, **more}
        if "log_tail" not in values and state in (State.READY, State.FAILED):
            values["log_tail"] = processes.read_tail(self.log_of(one.endpoint.id))
        self._site.db.write(store.write_held, one.endpoint.id, self.holder, values)


def _runs_here(standing: Standing) -> bool:
    if standing.pid is None or standing.pid_started is None or standing.host != processes.host_name():
        return False
    return Running(standing.pid, standing.pid_started).is_alive


def _last_use(one: Served) -> datetime:
    used = one.standing.last_used_at
    return one.standing.since if used is None else max(used, one.standing.since)


def _exit_of(mine: Engine) -> str:
    if mine.child is None:
        return ""
    try:
        code = mine.child.wait(1.0)  # its first thread is gone; the others may take a moment more
    except subprocess.TimeoutExpired:
        return ""
    return f" (signal {-code})" if code < 0 else f" (exit code {code})"


def _require_memory(size_bytes: int) -> None:
    """Raises: NotServable where the weights alone are more than what is free."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
                if size_bytes > free:
                    raise NotServable(
                        f"its weights take {size_bytes / 1e9:.1f} GB, and this host has {free / 1e9:.1f} GB of memory free."
                    )


def run_forever(site: Site, stop: threading.Event, is_replaced: Callable[[], bool]) -> None:
    """What a host's queue worker does beside its jobs."""
    Supervisor(site, is_replaced).run(stop)
