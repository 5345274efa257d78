"""How a page's address becomes an answer: load in a thread, print, lead on from former names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.pages.head import Moved, moved_to
from headwater.web import shell

Endpoint = Callable[[Request], Awaitable[Response]]


def leads_on(endpoint: Endpoint) -> Endpoint:
    """A former name of a repository leads to its present address, for reading only."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Moved as moved:
            if request.method not in ("GET", "HEAD"):
                raise RepositoryNotFound from moved
            return Response(status_code=307, headers={"Location": quote(moved_to(request, moved.repo), safe="/?&=%:")})

    return answer


def show(template: str, load: Callable[..., object]) -> Endpoint:
    """A page whose data ``load(site, actor, request)`` gives, printed by ``template``."""

    @leads_on
    async def answer(request: Request) -> Response:
        page = await web.call(request, load, request)
        return shell.render(request, template, page)

    return answer
