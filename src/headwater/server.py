"""One command, several processes: the parent binds the socket, forks web workers and the queue worker, and watches them.

How they are watched, replaced and ended is in ``supervision``; here is what they are made of.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from starlette.types import ASGIApp

from headwater import __version__
from headwater.assembly import build_site, prepare_data
from headwater.config import ServerSettings
from headwater.kernel import HeadwaterError, Kind, Settings, utcnow
from headwater.running import lock_folder, remove_server_file, tell_systemd, write_server_file
from headwater.supervision import Child, Drain, Supervisor
from headwater.surroundings import require_git
from headwater.web.app import Dialect, build_app
from headwater.web.health import DRAINING
from headwater.web.routing import Route
from headwater.web.settings import TelemetrySettings
from headwater.web.site import Site

if TYPE_CHECKING:
    from headwater.web.openapi import Shape

log = structlog.get_logger("headwater.server")

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
    from headwater.compute import door as compute_door
    from headwater.compute import pages as compute_pages
    from headwater.corpora import pages as corpora_pages
    from headwater.evaluation import door as evaluation_door
    from headwater.evaluation import pages as evaluation_pages
    from headwater.governance import door as governance_door
    from headwater.governance import pages as governance_pages
    from headwater.hub import huggingface, pages
    from headwater.hub.git import door as git
    from headwater.hub.huggingface import unserved
    from headwater.hub.lfs import door as lfs
    from headwater.hub.log import door as log_door
    from headwater.hub.log import pages as log_pages
    from headwater.hub.releases import door as releases
    from headwater.hub.xet import door as xet
    from headwater.serving import door as serving_door
    from headwater.serving import pages as serving_pages
    from headwater.serving.gateway import door as gateway
    from headwater.web import health, metrics, openapi, shell

    return [
        *health.ROUTES,
        *metrics.ROUTES,
        *openapi.ROUTES,
        *shell.ROUTES,
        *account_pages.ROUTES,
        *log_door.ROUTES,  # before what answers all that is left below /api
        *huggingface.ROUTES,
        *lfs.ROUTES,
        *git.ROUTES,
        *xet.ROUTES,
        *log_pages.ROUTES,
        *releases.ROUTES,
        *gateway.ROUTES,
        *serving_door.ROUTES,
        *serving_pages.ROUTES,
        *compute_door.ROUTES,
        *compute_pages.ROUTES,
        *corpora_pages.ROUTES,
        *evaluation_door.ROUTES,
        *evaluation_pages.ROUTES,
        *governance_door.ROUTES,
        *governance_pages.ROUTES,
        *unserved.ROUTES,  # answers what is left below /api, so it comes after all that serve there
        *pages.ROUTES,
    ]


def dialects() -> dict[str, Dialect]:
    """How each door writes a refusal."""
    from headwater.hub import huggingface
    from headwater.hub.git import door as git
    from headwater.hub.lfs import door as lfs
    from headwater.hub.xet import door as xet
    from headwater.serving.gateway import door as gateway
    from headwater.web import shell

    return {
        **shell.DIALECTS,
        **huggingface.DIALECTS,
        **lfs.DIALECTS,
        **git.DIALECTS,
        **xet.DIALECTS,
        **gateway.DIALECTS,
    }


def app_for(site: Site) -> ASGIApp:
    """The whole site as one ASGI application."""
    from headwater.accounts.door import authenticate, identify_sender
    from headwater.hub.figures import measure as measure_hub
    from headwater.ledger.figures import measure as measure_ledger
    from headwater.queue.figures import measure as measure_queue
    from headwater.web.metrics import Figures
    from headwater.web.openapi import Description

    all_routes = routes()
    site.add_part(Description(all_routes, _shapes_of_calls))
    has_public_address = site.settings.of(ServerSettings).url is not None
    site.add_part(Figures((measure_queue, measure_ledger, measure_hub), for_token_only=has_public_address))
    return build_app(site, all_routes, authenticate, dialects(), identify_sender)


def _shapes_of_calls() -> tuple[Mapping[str, Shape], Collection[Route]]:
    from headwater.compute import door as compute_door
    from headwater.evaluation import door as evaluation_door
    from headwater.governance import door as governance_door
    from headwater.hub.huggingface import unserved
    from headwater.hub.huggingface.shapes import SHAPES
    from headwater.serving import door as serving_door

    return {
        **SHAPES,
        **compute_door.SHAPES,
        **governance_door.SHAPES,
        **serving_door.SHAPES,
        **evaluation_door.SHAPES,
    }, unserved.ROUTES


def serve(
    data_dir: Path,
    settings: Settings,
    *,
    run_worker: Callable[[Site, threading.Event, int], None],
    on_ready: Callable[[Ready], None],
    reread: Callable[[], Settings],
) -> int:
    """Serve ``data_dir`` until SIGTERM or SIGINT; returns the exit code. SIGHUP calls ``reread`` and replaces the workers.

    Raises:
        AlreadyRunning: another process does.
        PortTaken: the address cannot be listened on.
    """
    own = settings.of(ServerSettings)
    require_git()
    _require_telemetry(settings)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = lock_folder(data_dir)
    listener = _inherited_listener() or _listen(own.host, own.port)
    base_url = (own.url or _url_of(listener)).rstrip("/")
    prepared = _begin_in_child(lambda: _prepare(data_dir, settings, base_url))
    _preload()  # while the child makes the schema
    link = prepared()
    tree = _Tree(data_dir, settings, listener, base_url, run_worker, reread)
    try:
        return tree.run(lambda: on_ready(Ready(base_url, os.getpid(), link)))
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


def _inherited_listener() -> socket.socket | None:
    """The socket that systemd holds for this service: it stays open while the service is restarted, so nobody is refused.

    Source: sd_listen_fds(3).
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    listener = socket.socket(fileno=3)
    os.set_inheritable(3, False)
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
    prepare_data(data_dir, settings)
    from headwater.accounts.service import ensure_first_admin_link
    from headwater.hub.log.witnesses import hold_if_behind
    from headwater.hub.quotas.service import adopt_configuration
    from headwater.hub.quotas.settings import QuotaSettings

    site = build_site(data_dir, settings, base_url=base_url)
    try:
        if hold_if_behind(site) is not None:
            return None  # it takes no changes, and is read as it is
        adopt_configuration(site.db, settings.of(QuotaSettings).as_limits())
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

    from headwater.hub import jobs as hub_jobs
    from headwater.queue import figures as queue_figures
    from headwater.web import running, watch

    watch.declare(routes())
    queue_figures.declare([*hub_jobs.HANDLERS, *hub_jobs.OUTBOUND_HANDLERS, *hub_jobs.STORE_HANDLERS])
    dialects()
    del uvicorn, uvloop, running
    gc.freeze()
    gc.enable()


def _keep_few_arenas() -> None:
    """Let all threads of a process share two heaps: glibc would keep one, with what was freed in it, for each thread."""
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 2)


class _Tree:
    """What the children of a site do, and what the site's files say meanwhile."""

    def __init__(
        self,
        data_dir: Path,
        settings: Settings,
        listener: socket.socket,
        base_url: str,
        run_worker: Callable[[Site, threading.Event, int], None],
        reread: Callable[[], Settings],
    ) -> None:
        self.data_dir = data_dir
        self.settings = settings
        self.listener = listener
        self.base_url = base_url
        self.run_worker = run_worker
        self.reread = reread

    def run(self, on_ready: Callable[[], None]) -> int:
        n_web = self.settings.of(ServerSettings).workers or min(2, os.cpu_count() or 1)
        web = [Child(f"web-{number}", self._run_web) for number in range(1, n_web + 1)]
        n_queue = self.settings.of(ServerSettings).queue_workers
        queue = [self._queue_child(number) for number in range(1, n_queue + 1)] or [self._queue_child(0)]

        def ready() -> None:
            write_server_file(self.data_dir, {"url": self.base_url, "pid": os.getpid(), "version": __version__})
            log.info("server.started", url=self.base_url, pid=os.getpid(), version=__version__)
            tell_systemd("READY=1")
            on_ready()

        self.supervisor = Supervisor(
            [*web, *queue],
            drain=self._drain,
            on_ready=ready,
            on_draining=self._begin_to_drain,
            on_stopping=self.listener.close,
            before_reload=self._reread,
        )
        return self.supervisor.run()

    def _drain(self) -> Drain:
        own = self.settings.of(ServerSettings)
        return Drain(own.drain_delay_s, own.drain_timeout_s)

    def _begin_to_drain(self) -> None:
        DRAINING.set(1)
        remove_server_file(self.data_dir)
        tell_systemd("STOPPING=1")

    def _reread(self) -> None:
        """Where it listens, how many workers there are and how much is logged stay as they are until a restart."""
        settings = self.reread()
        _require_telemetry(settings)
        self.settings = settings

    def _run_web(self, say_ready: Callable[[], None]) -> None:
        from headwater.web.running import run_web

        _begin_telemetry(self.settings)
        site = build_site(self.data_dir, self.settings, base_url=self.base_url)
        try:
            run_web(
                app_for(site),
                self.listener,
                lifeline=self.supervisor.lifeline,
                drain_s=self.settings.of(ServerSettings).drain_timeout_s,
                on_ready=say_ready,
            )
        finally:
            site.close()
            _end_telemetry(self.settings)

    def _queue_child(self, number: int) -> Child:
        """Number 0 does no jobs, only what a host does for itself."""
        name = {0: "upkeep", 1: "queue"}.get(number, f"queue-{number}")
        return Child(name, lambda say_ready: self._run_queue(say_ready, number), serves=False)

    def _run_queue(self, say_ready: Callable[[], None], number: int) -> None:
        self.listener.close()
        stop = threading.Event()

        def end(*_: object) -> None:
            if stop.is_set():  # asked twice: the job's lease ends by itself, and another worker takes it
                os._exit(0)
            stop.set()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGUSR1, lambda *_: stop.set())
        lifeline = self.supervisor.lifeline
        threading.Thread(target=_watch, args=(lifeline, stop), name="lifeline", daemon=True).start()
        _begin_telemetry(self.settings)
        site = build_site(self.data_dir, self.settings, base_url=self.base_url)
        try:
            say_ready()
            self.run_worker(site, stop, number)
        finally:
            site.close()
            _end_telemetry(self.settings)


def _require_telemetry(settings: Settings) -> None:
    if settings.of(TelemetrySettings).endpoint is not None:
        from headwater.web.telemetry import require_packages

        require_packages()


def _begin_telemetry(settings: Settings) -> None:
    if settings.of(TelemetrySettings).endpoint is not None:
        from headwater.web import telemetry

        telemetry.begin(settings.of(TelemetrySettings))


def _end_telemetry(settings: Settings) -> None:
    if settings.of(TelemetrySettings).endpoint is not None:
        from headwater.web import telemetry

        telemetry.end()


def _watch(lifeline: int, stop: threading.Event) -> None:
    ended = (
        select.poll()
    )  # a read would not wait: event loops of web workers make this end, which all share, non-blocking
    ended.register(lifeline, select.POLLIN | select.POLLHUP)
    ended.poll()
    stop.set()
