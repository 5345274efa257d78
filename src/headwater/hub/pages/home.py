"""The first page: what is here and what one can do first, for a stranger and for somebody who is signed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.db import Tx
from headwater.hub import search
from headwater.hub.models import RepoKind
from headwater.hub.pages.listing import Row, row_of
from headwater.hub.search import Count, Query, Sort
from headwater.kernel import Actor
from headwater.web import shell

SHOWN = 8
USED = {RepoKind.MODEL: 8, RepoKind.DATASET: 4, RepoKind.SPACE: 3}


@dataclass(frozen=True)
class Section:
    """One kind's most used repositories; ``total`` counts all that the reader may see."""

    kind: RepoKind
    total: Count
    rows: Sequence[Row]


@dataclass(frozen=True)
class HomePage:
    """``mine`` is empty for strangers."""

    sections: Sequence[Section]
    new: Sequence[Row]
    mine: Sequence[Row]
    is_empty: bool
    base_url: str
    example: str  # a model anyone may fetch


def load(tx: Tx, actor: Actor, base_url: str) -> HomePage:
    """A fixed number of lists, each a fixed number of queries."""
    sections, new = [], []
    for kind in RepoKind:
        query = Query(kind, sort=Sort.TRENDING, limit=USED[kind])
        rows = [row_of(listed) for listed in search.list_repositories(tx, actor, query).items]
        sections.append(Section(kind, search.count_repositories(tx, actor, query), rows))
        latest = Query(kind, sort=Sort.MODIFIED, limit=SHOWN)
        new += [row_of(listed) for listed in search.list_repositories(tx, actor, latest).items]
    new.sort(key=lambda row: row.updated_at, reverse=True)
    mine: list[Row] = []
    if actor.account_id is not None:
        for kind in RepoKind:
            query = Query(kind, author=actor.name, sort=Sort.MODIFIED, limit=SHOWN)
            mine += [row_of(listed) for listed in search.list_repositories(tx, actor, query).items]
        mine.sort(key=lambda row: row.updated_at, reverse=True)
    open_to_all = (f"{row.namespace}/{row.name}" for row in sections[0].rows if not row.is_private and not row.is_gated)
    example = next(open_to_all, "name/model")
    return HomePage(sections, new[:SHOWN], mine[:SHOWN], not new, base_url, example)


async def show(request: Request) -> Response:
    """``GET /``."""
    page = await web.read_tx(request, load, web.site_of(request).base_url)
    return shell.render(request, "hub/home.html", page)
