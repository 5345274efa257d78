"""The playground: ask one model or two side by side, and take what was tried along as code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.db import Tx
from headwater.kernel import Actor
from headwater.serving import service
from headwater.web import shell


@dataclass(frozen=True)
class PlaygroundPage:
    """``chosen`` and ``beside`` are models that the address names; "" for none."""

    models: Sequence[str]
    base_url: str
    chosen: str
    beside: str


async def show(request: Request) -> Response:
    """``GET /playground?model=&beside=``."""
    return shell.render(request, "serving/playground.html", await web.read_tx(request, _load, request))


def _load(tx: Tx, actor: Actor, request: Request) -> PlaygroundPage:
    """Raises: NotSignedIn."""
    found = [one.endpoint.model for one in service.list_usable(tx, actor) if one.endpoint.task == "generate"]
    asked = request.query_params

    def known(name: str) -> str:
        text = asked.get(name, "")
        return text if text in found else ""

    return PlaygroundPage(found, web.site_of(request).base_url, known("model"), known("beside"))
