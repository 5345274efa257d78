"""Jobs of governance; handlers are imported when the first of their kind runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headwater import queue
from headwater.queue import Handler
from headwater.web.site import Site

GRADE = "governance.grade_repository"
BEHIND = "governance.grade_behind"


def _grade(site: Site, payload: Any) -> None:
    from headwater.governance.grading import grade_repository

    grade_repository(site, payload)


def _grade_behind(site: Site, payload: Any) -> None:
    from headwater.governance.grading import grade_behind

    grade_behind(site, payload)


def look_behind(site: Site) -> None:
    """Every so often: repositories that were never graded, or by other rules, from the first on."""
    site.db.write(lambda tx: queue.put(tx, BEHIND, {"after": 0}, unique="after 0"))


# In a lane of their own: they read many files, and nothing waits for them.
HANDLERS: dict[str, Handler] = {GRADE: _grade, BEHIND: _grade_behind}

PERIODIC: list[tuple[float, Callable[[Site], None]]] = [(3600.0, look_behind)]
