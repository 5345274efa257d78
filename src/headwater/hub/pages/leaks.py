"""Secrets that pushes were refused for, and letting one in with a reason: for those who administer a repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.db import Tx
from headwater.hub import leaks
from headwater.hub.leaks import FoundSecret
from headwater.hub.pages.doors import leads_on
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.hub.pages.talk import SHOWN_AGAIN
from headwater.kernel import Actor, HeadwaterError, utcnow
from headwater.web import shell


@dataclass(frozen=True)
class SecretsPage:
    """``problem`` is why one was not let in; ``typed`` what had been written, for the mark ``at``."""

    head: Head
    rows: Sequence[FoundSecret]
    problem: HeadwaterError | None = None
    at: str = ""
    typed: str = ""


def load(
    tx: Tx, actor: Actor, request: Request, problem: HeadwaterError | None = None, at: str = "", typed: str = ""
) -> SecretsPage:
    """Raises: RepositoryNotFound, NotSignedIn, NotAllowed, Moved."""
    kind, name = name_of(request)
    _, rows = leaks.list_found(tx, actor, kind, name)
    return SecretsPage(find_head(tx, actor, kind, name, "settings"), rows, problem, at, typed)


@leads_on
async def show(request: Request) -> Response:
    """``GET …/settings/secrets``."""
    return shell.render(request, "hub/secrets.html", await web.read_tx(request, load, request))


@leads_on
async def change(request: Request) -> Response:
    """``POST …/settings/secrets``: let one in."""
    form = await shell.read_form(request)
    kind, name = name_of(request)
    try:
        await web.write_tx(request, leaks.allow, kind, name, form["mark"], form["reason"], now=utcnow())
    except HeadwaterError as problem:
        if problem.kind not in SHOWN_AGAIN:
            raise
        page = await web.read_tx(request, load, request, problem, form["mark"], form["reason"])
        return shell.render(request, "hub/secrets.html", page, status=web.status_of(problem))
    return shell.redirect(request, request.url.path, flash="secrets.done")
