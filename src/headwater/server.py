"""One command, several processes: the parent binds the socket, forks web workers and the queue worker, and watches them.

The parent opens no database and starts no thread, so that a fork is always safe and its memory is shared. Children end when
the parent does, however it ends: they hold the other end of a pipe.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import orjson
import structlog
from starlette.types import ASGIApp

from headwater import __version__
from headwater.assembly import build_site, prepare_data
from headwater.config import ServerSettings
from headwater.kernel import HeadwaterError, Kind, Settings, utcnow
from headwater.running import lock_folder, remove_server_file, write_server_file
from headwater.surroundings import require_git
from headwater.web.app import Dialect, build_app
from headwater.web.routing import Route
from headwater.web.site import Site

log = structlog.get_logger("headwater.server")

DRAIN_S = 5.0  # requests may finish for so long after a stop was asked for
KILL_S = 9.0  # after which what still runs is ended: the promise is 10 seconds
LONGEST_PAUSE_S = 30.0  # between restarts of a worker that keeps dying
BACKLOG = 1024
_M_ARENA_MAX = -8  # of malloc.h


class PortTaken(HeadwaterError):
    code = "port_taken"
    kind = Kind.CONFLICT

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(
            f"Cannot listen on {host} port {port}: {why}. Choose another with --port, or --port 0 for any free one."
        )


@dataclass
class Ready:
    """What ``serve`` tells its caller once the first request can be answered."""

    url: str
    pid: int
    first_admin_link: str | None


def routes() -> list[Route]:
    """Every route of every door, in the order in which they are tried."""
    from headwater.accounts import pages as account_pages
    from headwater.hub import huggingface, pages
    from headwater.hub.git import door as git
    from headwater.hub.huggingface import unserved
    from headwater.hub.lfs import door as lfs
    from headwater.hub.xet import door as xet
    from headwater.web import health, shell

    return [
        *health.ROUTES,
        *shell.ROUTES,
        *account_pages.ROUTES,
        *huggingface.ROUTES,
        *lfs.ROUTES,
        *git.ROUTES,
        *xet.ROUTES,
        *unserved.ROUTES,  # answers what is left below /api, so it comes after all that serve there
        *pages.ROUTES,
    ]


def dialects() -> dict[str, Dialect]:
    """How each door writes a refusal."""
    from headwater.hub import huggingface
    from headwater.hub.git import door as git
    from headwater.hub.lfs import door as lfs
    from headwater.hub.xet import door as xet
    from headwater.web import shell

    return {**shell.DIALECTS, **huggingface.DIALECTS, **lfs.DIALECTS, **git.DIALECTS, **xet.DIALECTS}


def app_for(site: Site) -> ASGIApp:
    """The whole site as one ASGI application."""
    from headwater.accounts.door import authenticate

    return build_app(site, routes(), authenticate, dialects())


def serve(
    data_dir: Path,
    settings: Settings,
    *,
    run_worker: Callable[[Site, threading.Event], None],
    on_ready: Callable[[Ready], None],
) -> int:
    """Serve ``data_dir`` until SIGTERM or SIGINT; returns the exit code.

    Raises:
        AlreadyRunning: another process does.
        PortTaken: the address cannot be listened on.
    """
    own = settings.of(ServerSettings)
    require_git()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = lock_folder(data_dir)
    listener = _listen(own.host, own.port)
    base_url = (own.url or _url_of(listener)).rstrip("/")
    prepared = _begin_in_child(lambda: _prepare(data_dir, settings, base_url))
    _preload()  # while the child makes the schema
    link = prepared()
    parent = _Parent(data_dir, settings, listener, base_url, run_worker)
    try:
        return parent.run(lambda: on_ready(Ready(base_url, os.getpid(), link)))
    finally:
        remove_server_file(data_dir)
        os.close(lock)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as exc:
        why = "another program uses it" if exc.errno == errno.EADDRINUSE else (exc.strerror or str(exc))
        raise PortTaken(host, port, why) from exc
    listener.setblocking(False)
    return listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 -- listening there was asked for; a link needs an address
        host = _outward_address() or socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _outward_address() -> str | None:
    """The address of this machine on the network by which it reaches others; None where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # chooses a route and sends nothing
        except OSError:
            return None
        host: str = probe.getsockname()[0]
    return None if host == "0.0.0.0" else host  # noqa: S104 -- compared, not listened on


def _prepare(data_dir: Path, settings: Settings, base_url: str) -> str | None:
    """What must be done once before anything is served; returns the first admin's sign-up link if it was just made."""
    prepare_data(data_dir)
    from headwater.accounts.service import ensure_first_admin_link

    site = build_site(data_dir, settings, base_url=base_url)
    try:
        path = site.db.write(ensure_first_admin_link, utcnow())
    finally:
        site.db.close()
    return None if path is None else base_url + path


def _begin_in_child(act: Callable[[], Any]) -> Callable[[], Any]:
    """Start ``act()`` in a process of its own, so that what it opens and imports never reaches the parent.

    Returns what waits for its end, and returns or raises what it did.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            answer: dict[str, Any] = {"value": act()}
        except HeadwaterError as exc:
            answer = {"code": exc.code, "kind": exc.kind.value, "message": exc.message}
        except BaseException:  # noqa: BLE001 -- a child's last words; the parent repeats them
            import traceback

            answer = {"trace": traceback.format_exc()}
        os.write(writing, orjson.dumps(answer))
        os._exit(0)
    os.close(writing)

    def wait() -> Any:
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read()
        os.waitpid(pid, 0)
        if not said:
            raise RuntimeError("the start's first step was killed")
        told = orjson.loads(said)
        if "trace" in told:
            raise RuntimeError(f"the start's first step failed:\n{told['trace']}")
        if "code" in told:
            raise _told_refusal(told)
        return told["value"]

    return wait


def _told_refusal(told: dict[str, str]) -> HeadwaterError:
    """A refusal that a child met, with its own code and kind."""
    kind = type("StartRefused", (HeadwaterError,), {"code": told["code"], "kind": Kind(told["kind"])})
    refusal: HeadwaterError = kind(told["message"])
    return refusal


def _preload() -> None:
    """Import what every child needs, once, and keep the collector's hands off it, so that its pages stay shared."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy moves bytes here; its threads would only spin
    _keep_few_arenas()
    import uvicorn
    import uvloop

    from headwater.web import protocol

    routes()
    dialects()
    del uvicorn, uvloop, protocol
    gc.freeze()
    gc.enable()


def _keep_few_arenas() -> None:
    """Let all threads of a process share two heaps: glibc would keep one, with what was freed in it, for each thread."""
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)


@dataclass
class _Child:
    name: str
    run: Callable[[], None]
    pid: int = 0
    deaths: int = 0
    started: float = 0.0
    restart_at: float = field(default=0.0)


class _Parent:
    """Starts the children, starts them again when they die, and ends them all."""

    def __init__(
        self,
        data_dir: Path,
        settings: Settings,
        listener: socket.socket,
        base_url: str,
        run_worker: Callable[[Site, threading.Event], None],
    ) -> None:
        self.data_dir = data_dir
        self.settings = settings
        self.listener = listener
        self.base_url = base_url
        self.run_worker = run_worker
        n_web = settings.of(ServerSettings).workers or min(2, os.cpu_count() or 1)
        self.children = [_Child(f"web-{number}", self._run_web) for number in range(1, n_web + 1)]
        self.children.append(_Child("queue", self._run_queue))
        self.lifeline, self._held = os.pipe()  # a child reads the end of file when the parent is gone
        self.ready_pipe, self._say_ready = os.pipe()
        os.set_blocking(self.ready_pipe, False)

    def run(self, on_ready: Callable[[], None]) -> int:
        signals = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        for child in self.children:
            self._start(child)
        told = False
        while True:
            info = signal.sigtimedwait(signals, 0.05 if not told else self._pause())
            if info is not None and info.si_signo != signal.SIGCHLD:
                log.info("server.stopping", signal=signal.Signals(info.si_signo).name)
                return self._stop(signals)
            self._reap()
            now = time.monotonic()
            for child in self.children:
                if not child.pid and child.restart_at <= now:
                    self._start(child)
            if not told and self._is_ready():
                told = True
                write_server_file(self.data_dir, {"url": self.base_url, "pid": os.getpid(), "version": __version__})
                log.info("server.started", url=self.base_url, pid=os.getpid(), version=__version__)
                on_ready()

    def _is_ready(self) -> bool:
        try:
            return bool(os.read(self.ready_pipe, 64))
        except BlockingIOError:
            return False

    def _pause(self) -> float:
        waiting = [child.restart_at for child in self.children if not child.pid]
        return max(0.01, min(waiting) - time.monotonic()) if waiting else 60.0

    def _start(self, child: _Child) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        child.started = time.monotonic()
        pid = os.fork()
        if pid:
            child.pid = pid
            return
        code = 1
        try:
            os.close(self._held)
            os.close(self.ready_pipe)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent passes on one end
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, set())
            structlog.contextvars.bind_contextvars(process=child.name)
            child.run()
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
            for child in self.children:
                if child.pid == pid:
                    child.pid = 0
                    long_lived = time.monotonic() - child.started > LONGEST_PAUSE_S * 2
                    child.deaths = 1 if long_lived else child.deaths + 1
                    pause_s = min(0.1 * 2**child.deaths, LONGEST_PAUSE_S)
                    child.restart_at = time.monotonic() + pause_s
                    log.error(
                        "process.died", process=child.name, exit=os.waitstatus_to_exitcode(status), restart_in_s=pause_s
                    )

    def _stop(self, signals: set[signal.Signals]) -> int:
        asked = time.monotonic()
        remove_server_file(self.data_dir)
        self.listener.close()
        self._signal_all(signal.SIGTERM)
        while any(child.pid for child in self.children):
            left = asked + KILL_S - time.monotonic()
            if left <= 0:
                log.error("process.killed", processes=[child.name for child in self.children if child.pid])
                self._signal_all(signal.SIGKILL)
                for child in self.children:
                    if child.pid:
                        os.waitpid(child.pid, 0)
                break
            signal.sigtimedwait(signals, left)
            self._collect_ended()
        log.info("server.stopped", duration_ms=round((time.monotonic() - asked) * 1000))
        return 0

    def _collect_ended(self) -> None:
        for child in self.children:
            if child.pid and os.waitpid(child.pid, os.WNOHANG)[0]:
                child.pid = 0

    def _signal_all(self, number: signal.Signals) -> None:
        for child in self.children:
            if child.pid:
                os.kill(child.pid, number)

    def _run_web(self) -> None:
        from headwater.web.protocol import run_web

        site = build_site(self.data_dir, self.settings, base_url=self.base_url)
        try:
            run_web(
                app_for(site),
                self.listener,
                lifeline=self.lifeline,
                drain_s=DRAIN_S,
                on_ready=lambda: os.write(self._say_ready, b"+"),
            )
        finally:
            site.close()

    def _run_queue(self) -> None:
        self.listener.close()
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        threading.Thread(target=_watch, args=(self.lifeline, stop), name="lifeline", daemon=True).start()
        site = build_site(self.data_dir, self.settings, base_url=self.base_url)
        try:
            self.run_worker(site, stop)
        finally:
            site.close()


def _watch(lifeline: int, stop: threading.Event) -> None:
    os.read(lifeline, 1)
    stop.set()


def _end(code: int) -> NoReturn:
    """Leave a forked child at once: the interpreter's own way out would wait for idle threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
