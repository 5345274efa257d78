"""Administration of what is stored: how much, by whom, what the collector did, what could not be done."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import pages as account_pages
from headwater.hub import collector
from headwater.hub.quotas.totals import Day
from headwater.kernel import Actor, utcnow
from headwater.web import Access, Route, Site, shell

ADDRESS = "/admin/storage"
WIDTH, HEIGHT = 640, 140  # of the chart, in its own units
account_pages.ADMIN_TABS.append((ADDRESS, "storage.tab"))


@dataclass(frozen=True)
class Chart:
    """Two lines over the days, as points of an SVG; ``most_bytes`` is the height of the whole."""

    logical: str
    stored: str
    first_day: str
    last_day: str
    most_bytes: int


@dataclass(frozen=True)
class StoragePage:
    tabs: Sequence[tuple[str, str]]
    overview: collector.Overview
    chart: Chart | None
    database_bytes: int
    free_bytes: int
    disk_bytes: int
    folder: str


def load(site: Site, actor: Actor) -> StoragePage:
    """Raises: NotSignedIn, NotAllowed."""
    with site.db.reading() as tx:
        overview = collector.find_overview(tx, actor, now=utcnow())
    disk = shutil.disk_usage(site.data_dir)
    return StoragePage(
        tabs=account_pages.ADMIN_TABS,
        overview=overview,
        chart=draw(overview.days),
        database_bytes=site.db.size_bytes(),
        free_bytes=disk.free,
        disk_bytes=disk.total,
        folder=str(site.data_dir),
    )


def draw(days: Sequence[Day]) -> Chart | None:
    """How the site grew; None until there are two days to compare."""
    if len(days) < 2:
        return None
    most = max(max(day.logical_bytes, day.stored_bytes) for day in days) or 1
    first = date.fromisoformat(days[0].day)
    span = (date.fromisoformat(days[-1].day) - first).days

    def points(values: Sequence[int]) -> str:
        return " ".join(
            f"{WIDTH * (date.fromisoformat(day.day) - first).days / span:.1f},{HEIGHT - HEIGHT * value / most:.1f}"
            for day, value in zip(days, values, strict=True)
        )

    return Chart(
        logical=points([day.logical_bytes for day in days]),
        stored=points([day.stored_bytes for day in days]),
        first_day=days[0].day,
        last_day=days[-1].day,
        most_bytes=most,
    )


async def show(request: Request) -> Response:
    """``GET /admin/storage``."""
    return shell.render(request, "hub/storage.html", await web.call(request, load))


async def change(request: Request) -> Response:
    """``POST /admin/storage``: run the collector, confirm the clock, or try failed jobs again."""
    form, now = await shell.read_form(request), utcnow()
    act, n = form["act"], 0
    if act == "run":
        await web.write_tx(request, collector.ask_for_run, now=now)
    elif act == "confirm":
        await web.write_tx(request, collector.confirm, now=now)
    elif act == "retry":
        n = await web.write_tx(request, collector.retry_jobs, now=now)
    else:
        raise shell.PageNotFound
    return shell.redirect(request, ADDRESS, flash=f"storage.flash_{act}", values={"n": n})


ROUTES = [
    Route("GET", ADDRESS, show, Access.SITE_ADMIN),
    Route("POST", ADDRESS, change, Access.SITE_ADMIN, acts=("run", "confirm", "retry")),
]
