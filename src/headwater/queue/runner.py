"""Runs jobs: claim in one transaction, act outside of any, end in another."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from headwater.db import Database
from headwater.kernel import utcnow
from headwater.queue import jobs

Handler = Callable[[Any, dict[str, Any]], None]

POLL_S = 0.2
LOOK_AGAIN_S = 2.0  # for jobs whose time comes without anything being written
_log = logging.getLogger("headwater.queue")


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
        if not self.db.read(jobs.find_due, utcnow(), self._kinds):
            return False
        job = self.db.write(jobs.claim, utcnow(), self._kinds)
        if job is None:
            return False
        stop = threading.Event()
        keeper = threading.Thread(target=self._hold, args=(job.id, stop), daemon=True)
        keeper.start()
        try:
            self.handlers[job.kind](self.context, job.payload)
        except Exception:  # noqa: BLE001 -- whatever a handler raises is a failed job, kept and tried again
            again = self.db.write(jobs.fail, job, traceback.format_exc(limit=8), utcnow())
            _log.log(
                logging.WARNING if again else logging.ERROR,
                "job.failed kind=%s id=%s attempt=%s",
                job.kind,
                job.id,
                job.attempts,
                exc_info=True,
            )
        else:
            self.db.write(jobs.finish, job.id)
        finally:
            stop.set()
        return True

    def run_all(self, *, limit: int = 10_000) -> int:
        """Run until nothing is due; for tests and for the command line. Returns how many ran."""
        done = 0
        while done < limit and self.run_one():
            done += 1
        return done

    def run_forever(self, stop: threading.Event) -> None:
        """Run until ``stop`` is set; a running job is finished first."""
        seen, looked_at = -1, 0.0
        while not stop.is_set():
            try:
                version, now = self.db.version(), time.monotonic()
                if version == seen and now - looked_at < LOOK_AGAIN_S:
                    stop.wait(POLL_S)
                    continue
                seen, looked_at = version, now
                busy = self.run_one()
            except Exception:  # noqa: BLE001 -- the database may be busy or full; the loop must outlive it
                _log.exception("queue.stumbled")
                busy = False
                stop.wait(POLL_S)
            if busy:
                seen = -1

    def _hold(self, job_id: Any, stop: threading.Event) -> None:
        while not stop.wait(jobs.LEASE_S / 3):
            self.db.write(jobs.renew, job_id, utcnow())
