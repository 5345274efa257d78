"""The community's pages; one module a noun, the routes meet here."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.hub.community import gates
from headwater.hub.pages import collecting, hooks, pictures, profile, talk
from headwater.hub.pages.addresses import PREFIXES
from headwater.hub.pages.head import name_of
from headwater.kernel import utcnow
from headwater.web import Access, JsonResponse, Route, shell


async def ask_access(request: Request) -> Response:
    """``POST …/ask-access``: where the public hub takes the form of a gated repository, for scripts that send it."""
    form = await shell.read_form(request)
    kind, name = name_of(request)
    answers = {key: form[key] for key in form.names() if key != "csrf"}
    made = await web.write_tx(request, gates.request_access, kind, name, answers=answers, now=utcnow())
    return JsonResponse({"status": made.status})


ROUTES = [
    *collecting.ROUTES,
    *hooks.ROUTES,
    *pictures.ROUTES,
    *(
        route
        for prefix in PREFIXES
        for route in (
            *talk.routes(f"/{prefix}{{ns}}/{{name}}"),
            Route("POST", f"/{prefix}{{ns}}/{{name}}/ask-access", ask_access, Access.CONTRIBUTE, "hf"),
        )
    ),
    *profile.ROUTES,
]
