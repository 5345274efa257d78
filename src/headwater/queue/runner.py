"""Runs jobs: claim in one transaction, act outside of any, end in another."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from headwater.db import Database, SiteMoved, SiteMoving
from headwater.db import metrics as db_metrics
from headwater.kernel import tracing
from headwater.queue import figures, jobs
from headwater.queue.leases import renewing

Handler = Callable[[Any, dict[str, Any]], None]

POLL_S = 0.2
LOOK_AGAIN_S = 2.0  # for jobs whose time comes without anything being written

log = structlog.get_logger("headwater.queue")


class Runner:
    """One thread's worth of job running. ``context`` (the site) is handed to every handler.

    Only kinds that have a handler here are claimed, so two runners with different handlers are two lanes: what waits for
    others' servers never holds up what waits for nobody.
    """

    def __init__(self, db: Database, handlers: Mapping[str, Handler], context: Any) -> None:
        self.db = db
        self.handlers = handlers
        self.context = context
        self._kinds = sorted(handlers)

    def run_one(self) -> bool:
        """Run the job that is due longest; False when none is."""
        now = self.db.now()
        if not self.db.read(jobs.find_due, now, self._kinds):
            return False
        job = self.db.write(jobs.claim, now, self._kinds)
        if job is None:
            return False
        with (
            renewing(lambda: self.db.write(jobs.renew, job, self.db.now())),
            structlog.contextvars.bound_contextvars(job_id=job.id, job_kind=job.kind),
        ):
            self._act(job)
        return True

    def _act(self, job: jobs.Job) -> None:
        """The handler, then the job's end; one line of the log, one observation and one span tell of both."""
        started, spent = time.perf_counter(), db_metrics.Spent()
        db_metrics.spent.set(spent)
        span = None if tracing.tracer is None else tracing.tracer.start(f"job {job.kind}", attempt=job.attempts)
        figures.RUNNING.add()
        outcome = "done"
        try:
            self.handlers[job.kind](self.context, job.payload)
        except Exception as exc:  # noqa: BLE001 -- whatever a handler raises is a failed job, kept and tried again
            again = self.db.write(jobs.fail, job, traceback.format_exc(limit=8), self.db.now())
            outcome = "failed" if again else "given_up"
            tell = log.warning if again else log.error
            tell("job.failed", attempt=job.attempts, again=again, **_figures(started, spent), exc_info=True)
            if span is not None:
                span.fail(exc)
        else:
            self.db.write(jobs.finish, job.id, job.attempts)
            log.info("job.finished", attempt=job.attempts, **_figures(started, spent))
        finally:
            figures.RUNNING.add(-1)
            figures.JOBS.of(job.kind, outcome).observe(time.perf_counter() - started)
            if span is not None:
                span.end()

    def run_all(self, *, limit: int = 10_000) -> int:
        """Run until nothing is due; returns how many ran."""
        done = 0
        while done < limit and self.run_one():
            done += 1
        return done

    def run_forever(self, stop: threading.Event, *, may_work: Callable[[], bool] = lambda: True) -> None:
        """Run until ``stop`` is set; a running job is finished first. No other is begun while not ``may_work()``."""
        seen, looked_at = -1, 0.0
        while not stop.is_set():
            if not may_work():
                stop.wait(LOOK_AGAIN_S)
                continue
            try:
                version, now = self.db.version(), time.monotonic()
                if version == seen and now - looked_at < LOOK_AGAIN_S:
                    stop.wait(POLL_S)
                    continue
                seen, looked_at = version, now
                busy = self.run_one()
            except (SiteMoving, SiteMoved):  # a job that was cut off is taken up again, wherever the site then is
                busy = False
                stop.wait(LOOK_AGAIN_S)
            except Exception:
                log.exception("queue.stumbled")
                busy = False
                stop.wait(POLL_S)
            if busy:
                seen = -1


def _figures(started: float, spent: db_metrics.Spent) -> dict[str, float]:
    return {
        "duration_ms": round((time.perf_counter() - started) * 1000, 1),
        "db_ms": round(spent.seconds * 1000, 1),
    }
