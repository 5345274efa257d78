"""What the site stores, for its administrators, and the few acts they have on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from headwater import accounts, ledger, queue
from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub.collector import clock
from headwater.hub.events import COLLECT_BYTES
from headwater.hub.quotas.listing import RepositoryLine, list_repositories
from headwater.hub.quotas.totals import Day, Totals, find_totals, list_days
from headwater.kernel import Actor

LARGEST = 10
FAILED = 20


@dataclass(frozen=True)
class Overview:
    """``largest`` is what owners are charged for one repository: files that others have too count in full."""

    totals: Totals
    days: Sequence[Day]
    largest: Sequence[RepositoryLine]
    last_run_at: datetime | None
    last_report: Mapping[str, int] | None
    stop: clock.Stopped | None
    jobs: Mapping[str, int]
    failed: Sequence[queue.FailedJob]


def find_overview(tx: Tx, actor: Actor, *, now: datetime) -> Overview:
    """Raises: NotSignedIn, NotAllowed."""
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    return Overview(
        totals=find_totals(tx, now),
        days=list_days(tx, now),
        largest=list_repositories(tx, actor, None, limit=LARGEST).items,
        last_run_at=clock.find_last_run(tx),
        last_report=clock.find_report(tx),
        stop=clock.find_stop(tx),
        jobs=queue.count_by_state(tx),
        failed=queue.list_failed(tx, FAILED),
    )


def ask_for_run(tx: Tx, actor: Actor, *, now: datetime) -> None:
    """Let the collector run as soon as a worker is free.

    Raises:
        NotSignedIn, NotAllowed.
        ClockJumped: it would not; somebody must look at the clock first.
    """
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    stop = clock.find_stop(tx)
    if stop is not None:
        raise clock.ClockJumped(stop)
    queue.put(tx, COLLECT_BYTES, {}, unique="site", now=now)


def confirm(tx: Tx, actor: Actor, *, now: datetime) -> None:
    """Say that the clock is right, and let the collector go on.

    Raises:
        NotSignedIn, NotAllowed.
    """
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    clock.confirm_clock(tx, now)
    ledger.record(tx, actor, "site.clock_confirmed", "site", {}, now=now)


def retry_jobs(tx: Tx, actor: Actor, *, now: datetime) -> int:
    """Try again what was given up; returns how many jobs.

    Raises:
        NotSignedIn, NotAllowed.
    """
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    return queue.retry_failed(tx, now)
