"""Torch files offered as safetensors: what was asked for, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.db import Tx
from headwater.hub import converting
from headwater.hub.pages import addresses
from headwater.hub.pages.doors import leads_on
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.kernel import Actor, utcnow
from headwater.web import shell


@dataclass(frozen=True)
class Row:
    path: str
    href: str
    target: str
    state: str
    why: str
    pull: int | None
    pull_href: str
    asked_at: datetime


@dataclass(frozen=True)
class ConversionsPage:
    head: Head
    rows: Sequence[Row]


def load(tx: Tx, actor: Actor, request: Request) -> ConversionsPage:
    """Raises: RepositoryNotFound, NotSignedIn, NotAllowed, Moved."""
    kind, name = name_of(request)
    repo, found = converting.list_conversions(tx, actor, kind, name)
    rows = [
        Row(
            path=each.path,
            href=addresses.at(repo, "blob", repo.default_branch, each.path),
            target=converting.target_of(each.path),
            state=each.state,
            why=each.why or "",
            pull=each.pull,
            pull_href=addresses.of(repo, f"discussions/{each.pull}"),
            asked_at=each.asked_at,
        )
        for each in found
    ]
    return ConversionsPage(find_head(tx, actor, kind, name, "files"), rows)


@leads_on
async def show(request: Request) -> Response:
    """``GET …/convert``."""
    return shell.render(request, "hub/conversions.html", await web.read_tx(request, load, request))


@leads_on
async def ask(request: Request) -> Response:
    """``POST …/convert``."""
    form = await shell.read_form(request)
    kind, name = name_of(request)
    await web.write_tx(request, converting.ask, kind, name, form["path"], now=utcnow())
    return shell.redirect(request, request.url.path, flash="convert.asked")
