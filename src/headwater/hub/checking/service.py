"""``check``: all checkers one after another. Nothing is changed by looking.

Rows are read in small snapshots, so a check of hours disturbs no writer; the collectors rest meanwhile, so that what a row
named a moment ago is not gone by right.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from headwater.db import Tx
from headwater.hub.checking import store
from headwater.hub.checking.graph import check_repositories
from headwater.hub.checking.lives import check_lives
from headwater.hub.checking.models import BY_HAND, Checker, Looking, Problem, Seen
from headwater.hub.checking.objects import check_blobs, check_terms, check_xorbs
from headwater.hub.checking.owners import check_owners, check_second_factors
from headwater.hub.checking.record import check_log, check_refs
from headwater.hub.gate.checking import check_verdicts
from headwater.hub.placing import COLLECTOR_LOCKS
from headwater.hub.releases.checking import check_releases
from headwater.kernel import SYSTEM, Actor, HeadwaterError, utcnow
from headwater.web.site import Site

# What is looked at, in this order; a package with tables of its own adds its checker here.
CHECKERS: list[tuple[str, Checker]] = [
    ("log", check_log),
    ("refs", check_refs),
    ("lives", check_lives),
    ("repositories", check_repositories),
    ("xorbs", check_xorbs),
    ("terms", check_terms),
    ("files", check_blobs),
    ("verdicts", check_verdicts),
    ("releases", check_releases),
    ("owners", check_owners),
    ("second factors", check_second_factors),
]


@dataclass(frozen=True)
class Report:
    """What one check found. ``is_whole``: every checker ran, and bytes were read."""

    problems: Sequence[Problem]
    seen: Seen
    is_whole: bool
    started_at: datetime
    took_s: float

    @property
    def is_good(self) -> bool:
        return not self.problems


def check(
    site: Site,
    *,
    reads_bytes: bool = True,
    only: Sequence[str] = (),
    pace: Callable[[int], None] = lambda _: None,
    on_step: Callable[[str], None] = lambda _: None,
    actor: Actor = SYSTEM,
    keeps: bool = True,
) -> Report:
    """Look at everything the site keeps.

    Args:
        reads_bytes: hash every object; else only whether it is there, in its size.
        only: names of checkers, all when empty.
        pace: told of bytes before they are read; may wait.
        keeps: note the outcome, as ``/status`` and the record have it; no for a copy that is only tried.
    """
    started_at, started = utcnow(), time.monotonic()
    looking = Looking(site, reads_bytes=reads_bytes, pace=pace)
    problems: list[Problem] = []
    with contextlib.ExitStack() as holds:
        locks = [holds.enter_context(site.db.holding(name, exclusive=True)) for name in COLLECTOR_LOCKS]
        for name, checker in CHECKERS:
            if only and name not in only:
                continue
            on_step(name)
            problems += _run(name, checker, looking)
            for lock in locks:
                lock.check()
    is_whole = reads_bytes and not only
    report = Report(unique(problems), looking.seen, is_whole, started_at, time.monotonic() - started)
    if keeps:
        site.db.write(_note, actor, report)
    return report


def _run(name: str, checker: Checker, looking: Looking) -> Iterator[Problem]:
    """What a checker yields, and one more if it meets what nobody can have written: the others are asked all the same."""
    try:
        yield from checker(looking)
    except HeadwaterError:
        raise  # the database or the store is away
    except Exception as exc:  # noqa: BLE001 -- whatever somebody has put into a row
        what = f"Looking at {name} ended early: something there cannot be read ({type(exc).__name__}: {str(exc)[:200]})"
        yield Problem("check.stumbled", f"{what}.", name, BY_HAND)


def unique(problems: Sequence[Problem]) -> list[Problem]:
    """Two checkers may meet the same."""
    found: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        found.setdefault((problem.code, problem.where), problem)
    return list(found.values())


def _note(tx: Tx, actor: Actor, report: Report) -> None:
    facts = {"problems": len(report.problems), "took_s": round(report.took_s, 1), **asdict(report.seen)}
    store.note_check(
        tx, actor, report.problems, facts, is_whole=report.is_whole, started_at=report.started_at, now=utcnow()
    )
