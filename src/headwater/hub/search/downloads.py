"""How often files are fetched: counted in memory, written in batches, kept by day."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from datetime import date

from sqlalchemy import bindparam, update

from headwater.db import Database, Tx, insert, row_locked
from headwater.hub.tables.repositories import repository
from headwater.hub.tables.search import download_day, download_total
from headwater.kernel import RepoId, utcnow
from headwater.web import Site

FLUSH_S = 5.0
_MOST_WAITING = 500  # one write: nobody else should wait long for it

_log = logging.getLogger("headwater.hub")
_making = threading.Lock()


class DownloadCounts:
    """One per process. What waits when a process is killed is lost: a few seconds of counts, never a file."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._waiting: dict[RepoId, int] = {}
        self._timer: threading.Timer | None = None

    def add(self, repo_id: RepoId) -> None:
        with self._lock:
            self._waiting[repo_id] = self._waiting.get(repo_id, 0) + 1
            if self._timer is None:
                self._timer = threading.Timer(FLUSH_S, self.flush)
                self._timer.daemon = True
                self._timer.start()
            is_full = len(self._waiting) >= _MOST_WAITING
        if is_full:
            self.flush(wait=False)

    def flush(self, *, wait: bool = True) -> None:
        """Write what waits."""
        with self._lock:
            counts, self._waiting = self._waiting, {}
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if not counts:
            return
        future = self._db.submit(add_counts, counts, utcnow().date())
        future.add_done_callback(_log_failure)
        if wait:
            wait_for([future])

    def close(self) -> None:
        self.flush()


def _log_failure(future: Future[None]) -> None:
    if future.exception() is not None:
        _log.error("downloads.lost", exc_info=future.exception())


def count_download(site: Site, repo_id: RepoId) -> None:
    """One more download of one file; answers at once."""
    counts: DownloadCounts | None = site.parts.get(DownloadCounts)
    if counts is None:
        with _making:
            counts = site.parts.setdefault(DownloadCounts, DownloadCounts(site.db))
    counts.add(repo_id)


def flush_downloads(site: Site) -> None:
    """Write what this process has counted; for the end of a process, and for tests."""
    counts: DownloadCounts | None = site.parts.get(DownloadCounts)
    if counts is not None:
        counts.flush()


@row_locked
def add_counts(tx: Tx, counts: dict[RepoId, int], day: date) -> None:
    """Add to the day, to the sum of all time, and to the number that lists show."""
    counts = dict(sorted(counts.items()))  # who locks rows in one order never waits in a circle
    days = insert(download_day)
    tx.execute(
        days.on_conflict_do_update(index_elements=["repo_id", "day"], set_={"n": download_day.c.n + days.excluded.n}),
        [{"repo_id": repo_id, "day": day, "n": n} for repo_id, n in counts.items()],
    )
    totals = insert(download_total)
    tx.execute(
        totals.on_conflict_do_update(index_elements=["repo_id"], set_={"n": download_total.c.n + totals.excluded.n}),
        [{"repo_id": repo_id, "n": n} for repo_id, n in counts.items()],
    )
    tx.execute(
        update(repository)
        .where(repository.c.id == bindparam("of"))
        .values(n_downloads=repository.c.n_downloads + bindparam("more")),
        [{"of": repo_id, "more": n} for repo_id, n in counts.items()],
    )
