"""``GET /-/health``: for balancers, ``headwater status`` and whoever waits for a start."""

from __future__ import annotations

from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from headwater import __version__
from headwater.db import Tx
from headwater.kernel import Actor
from headwater.web.requests import read_tx
from headwater.web.responses import JsonResponse
from headwater.web.routing import Access, Route


def _touch_database(tx: Tx, actor: Actor) -> None:
    tx.execute(text("select 1")).scalar()


async def get_health(request: Request) -> Response:
    """200 when requests are answered and the database can be read."""
    await read_tx(request, _touch_database)
    return JsonResponse({"status": "ok", "version": __version__}, headers={"Cache-Control": "no-store"})


ROUTES = [Route("GET", "/-/health", get_health, Access.PUBLIC, "api")]
