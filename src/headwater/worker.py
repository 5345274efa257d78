"""The queue worker: durable jobs one after another, and beside them what is due every so often."""

from __future__ import annotations

import threading
import time

import structlog

from headwater.accounts import jobs as accounts_jobs
from headwater.hub import jobs as hub_jobs
from headwater.queue import Handler, Runner
from headwater.web.site import Site

log = structlog.get_logger("headwater.worker")


def lanes() -> list[dict[str, Handler]]:
    """Handlers by kind of job, one dictionary a lane: what waits for others' servers holds up nothing else."""
    return [dict(hub_jobs.HANDLERS), dict(hub_jobs.OUTBOUND_HANDLERS)]


def run(site: Site, stop: threading.Event) -> None:
    """Work until ``stop`` is set; the job at hand is finished first."""
    clock = threading.Thread(target=_run_periodic, args=(site, stop), name="periodic", daemon=True)
    clock.start()
    first, *others = [Runner(site.db, lane, site) for lane in lanes()]
    threads = [threading.Thread(target=lane.run_forever, args=(stop,), name="lane", daemon=True) for lane in others]
    for thread in threads:
        thread.start()
    first.run_forever(stop)
    for thread in threads:
        thread.join(timeout=5)
    clock.join(timeout=5)


def _run_periodic(site: Site, stop: threading.Event) -> None:
    acts = [*accounts_jobs.PERIODIC, *hub_jobs.PERIODIC]  # (seconds between, act)
    started = time.monotonic()
    due = {number: started + every_s for number, (every_s, _) in enumerate(acts)}
    while due:
        number = min(due, key=due.__getitem__)
        if stop.wait(max(0.0, due[number] - time.monotonic())):
            return
        every_s, act = acts[number]
        try:
            act(site)
        except Exception:
            log.exception("periodic.failed", act=act.__name__)
        due[number] = time.monotonic() + every_s
