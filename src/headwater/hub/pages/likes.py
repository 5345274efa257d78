"""The like button."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.hub.community import likes
from headwater.hub.pages.head import name_of
from headwater.kernel import utcnow
from headwater.web import shell


async def change(request: Request) -> Response:
    """``POST …/like``: ``like`` is 1 or 0; back to the repository."""
    form = await shell.read_form(request)
    kind, name = name_of(request)
    if form["like"] == "1":
        repo = await web.write_tx(request, likes.like, kind, name, now=utcnow())
    else:
        repo = await web.write_tx(request, likes.unlike, kind, name)
    return shell.redirect(request, f"/{repo.path}")
