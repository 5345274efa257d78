"""The queue worker: durable jobs one after another, and beside them what is due every so often.

What the site does every so often is done on one host each time (``queue.Turns``); what a host does for itself, on each.
A host whose clock differs from the database's takes neither jobs nor turns until that is mended.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import structlog

from headwater.accounts import jobs as accounts_jobs
from headwater.compute.dispatching import run_forever as run_dispatcher
from headwater.db import SiteMoved, SiteMoving, require_same_clock
from headwater.db.clocks import OFFSET
from headwater.governance import jobs as governance_jobs
from headwater.hub import jobs as hub_jobs
from headwater.hub.log.sequencing import run_forever as run_sequencer
from headwater.kernel import HeadwaterError
from headwater.queue import Handler, Runner, Turns
from headwater.running import read_server_file
from headwater.serving import jobs as serving_jobs
from headwater.serving.supervisor import run_forever as run_engines
from headwater.web.site import Site

LOOK_S = 15.0  # for turns that have come, and at the clock

log = structlog.get_logger("headwater.worker")


def lanes(*, with_store: bool) -> list[dict[str, Handler]]:
    """Handlers by kind of job, one dictionary a lane: what waits for others' servers holds up nothing else."""
    found = [
        dict(hub_jobs.HANDLERS),
        dict(hub_jobs.OUTBOUND_HANDLERS),
        dict(hub_jobs.GATE_HANDLERS),
        dict(hub_jobs.SCRUB_HANDLERS),
        dict(governance_jobs.HANDLERS),
    ]
    return [*found, dict(hub_jobs.STORE_HANDLERS)] if with_store else found


def run(site: Site, stop: threading.Event, number: int = 1) -> None:
    """Work until ``stop`` is set; the job at hand is finished first.

    ``number`` counts a host's queue workers. The first also does what each host does for itself; 0 does nothing else.
    """
    clock = _Clock(site)
    threads = []
    if number < 2:
        threads.append(threading.Thread(target=_run_for_the_host, args=(site, stop), name="upkeep", daemon=True))
        serves = (site, stop, lambda: read_server_file(site.data_dir) is not None)
        threads.append(threading.Thread(target=run_engines, args=serves, name="engines", daemon=True))
    if number:
        first, *others = [Runner(site.db, lane, site) for lane in lanes(with_store=site.blobs.is_remote)]
        threads.append(threading.Thread(target=_run_turns, args=(site, stop, clock), name="turns", daemon=True))
        sequencing = {"may_work": clock.is_right}
        threads.append(
            threading.Thread(target=run_sequencer, args=(site, stop), kwargs=sequencing, name="log", daemon=True)
        )
        if number == 1:
            threads.append(
                threading.Thread(target=run_dispatcher, args=(site, stop), kwargs=sequencing, name="runs", daemon=True)
            )
        for lane in others:
            kwargs = {"may_work": clock.is_right}
            threads.append(
                threading.Thread(target=lane.run_forever, args=(stop,), kwargs=kwargs, name="lane", daemon=True)
            )
    for thread in threads:
        thread.start()
    if number:
        first.run_forever(stop, may_work=clock.is_right)
    else:
        stop.wait()
    for thread in threads:
        thread.join(timeout=5)


class _Clock:
    """Whether work may be begun by this host's clock. Until it is known, it may: the start has looked."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._wrong = threading.Event()

    def is_right(self) -> bool:
        return not self._wrong.is_set()

    def look(self) -> None:
        """A database that does not answer says nothing about the clock."""
        try:
            require_same_clock(self._site.db)
        except HeadwaterError as exc:
            if exc.code == "clock_differs":
                if self.is_right():
                    log.error("clock.differs", reason=exc.message)  # noqa: TRY400 -- no trace of ours explains a clock
                self._wrong.set()
            return
        if not self.is_right():
            log.info("clock.agrees")
        self._wrong.clear()


def _run_turns(site: Site, stop: threading.Event, clock: _Clock) -> None:
    turns = Turns(site.db)
    acts = {
        act.__name__: (every_s, act)
        for every_s, act in [
            *accounts_jobs.PERIODIC,
            *hub_jobs.PERIODIC,
            *governance_jobs.PERIODIC,
            *serving_jobs.PERIODIC,
        ]
    }
    while not stop.wait(LOOK_S):
        try:
            clock.look()
            due = turns.due(acts) if clock.is_right() else []
        except (SiteMoving, SiteMoved):
            continue
        except Exception:
            log.exception("turns.stumbled")
            continue
        for name in due:
            if stop.is_set():
                return
            every_s, act = acts[name]
            _do(name, lambda every_s=every_s, act=act, name=name: turns.run(name, every_s, lambda: act(site)))  # type: ignore[misc]


def _run_for_the_host(site: Site, stop: threading.Event) -> None:
    acts = [(LOOK_S, _tell_offset), *hub_jobs.FOR_EACH_HOST]
    due = [time.monotonic() + every_s for every_s, _ in acts]
    while not stop.wait(max(0.0, min(due) - time.monotonic())):
        number = due.index(min(due))
        every_s, act = acts[number]
        _do(act.__name__, lambda act=act: act(site))  # type: ignore[misc]
        due[number] = time.monotonic() + every_s


def _tell_offset(site: Site) -> None:
    with contextlib.suppress(HeadwaterError):  # a database that is away is told of elsewhere
        OFFSET.set(round(site.db.clock_offset_s(), 3))


def _do(name: str, act: Callable[[], object]) -> None:
    try:
        act()
    except (SiteMoving, SiteMoved):
        log.info("periodic.waits", act=name)
    except Exception:
        log.exception("periodic.failed", act=name)
