"""How the site is looked after, for anyone: the last good backup, drill, check and scrubbing."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.hub.checking.status import Status, find_status
from headwater.web import Access, Route, shell
from headwater.web.responses import JsonResponse


@dataclass(frozen=True)
class StatusPage:
    status: Status


async def show(request: Request) -> Response:
    """``GET /status``."""
    status = await web.read_tx(request, find_status, web.site_of(request).settings)
    return shell.render(request, "hub/status.html", StatusPage(status))


async def get_status(request: Request) -> Response:
    """``GET /-/status``: the same for programs."""
    status = await web.read_tx(request, find_status, web.site_of(request).settings)
    return JsonResponse(status.as_facts(), headers={"Cache-Control": "no-store"})


ROUTES = [
    Route("GET", "/status", show, Access.PUBLIC),
    Route("GET", "/-/status", get_status, Access.PUBLIC, "api"),
]
