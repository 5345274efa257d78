"""Administration of what is stored: how much, by whom, what the collector did, what could not be done."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import pages as account_pages
from headwater.hub import collector
from headwater.kernel import Actor, utcnow
from headwater.web import Access, Route, Site, shell

ADDRESS = "/admin/storage"
account_pages.ADMIN_TABS.append((ADDRESS, "storage.tab"))


@dataclass(frozen=True)
class StoragePage:
    tabs: Sequence[tuple[str, str]]
    overview: collector.Overview
    database_bytes: int
    free_bytes: int
    disk_bytes: int
    folder: str


def load(site: Site, actor: Actor) -> StoragePage:
    """Raises: NotSignedIn, NotAllowed."""
    with site.db.reading() as tx:
        overview = collector.find_overview(tx, actor)
    disk = shutil.disk_usage(site.data_dir)
    return StoragePage(
        tabs=account_pages.ADMIN_TABS,
        overview=overview,
        database_bytes=site.db.size_bytes(),
        free_bytes=disk.free,
        disk_bytes=disk.total,
        folder=str(site.data_dir),
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
    Route("POST", ADDRESS, change, Access.SITE_ADMIN),
]
