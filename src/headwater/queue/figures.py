"""What is counted about jobs, and how many wait."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from sqlalchemy import func, select

from headwater.db import Tx
from headwater.kernel import metrics, utcnow
from headwater.kernel.metrics import Family
from headwater.queue.tables import job

JOB_BOUNDS = (0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)
OUTCOMES = ("done", "failed", "given_up")

JOBS = metrics.histogram(
    "headwater_job_seconds",
    "Time that a job's run took. A failed one is tried again, one given up is not.",
    "kind",
    "outcome",
    bounds=JOB_BOUNDS,
)
RUNNING = metrics.gauge("headwater_jobs_at_work", "Jobs that this host's workers have at hand.").of()


def declare(kinds: Collection[str]) -> None:
    """Give the series of these kinds their place, before the first fork."""
    for kind in kinds:
        for outcome in OUTCOMES:
            JOBS.of(kind, outcome)


def measure(tx: Tx) -> Iterator[Family]:
    """How many jobs there are by state and kind, and for how long the one due longest has waited."""
    rows = tx.execute(select(job.c.state, job.c.kind, func.count().label("n")).group_by(job.c.state, job.c.kind))
    samples = [({"state": row.state, "kind": row.kind}, float(row.n)) for row in rows]
    yield Family("headwater_jobs", "gauge", "Jobs of the whole site; failed ones were given up.", samples)
    now = utcnow()
    due = tx.execute(select(func.min(job.c.run_at)).where(job.c.state == "waiting", job.c.run_at <= now)).scalar()
    age_s = 0.0 if due is None else (now - due).total_seconds()
    text = "For how long the job that is due longest has waited for a worker."
    yield Family("headwater_job_oldest_due_seconds", "gauge", text, [({}, age_s)])
