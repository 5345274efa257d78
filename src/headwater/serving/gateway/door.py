"""The OpenAI API below ``/v1``."""

from __future__ import annotations

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts, web
from headwater.db import Tx
from headwater.kernel import Actor
from headwater.serving import service
from headwater.serving.gateway import asking
from headwater.serving.gateway.refusing import refuse
from headwater.serving.gateway.relay import Gateway
from headwater.serving.models import Served
from headwater.web import Access, JsonResponse, Route
from headwater.web.app import Dialect


async def list_models(request: Request) -> Response:
    """``GET /v1/models``: the endpoints that this key may ask."""

    def act(tx: Tx, actor: Actor) -> list[Served]:
        return service.list_usable(tx, actor)

    found = await web.read_tx(request, act)
    return JsonResponse({"object": "list", "data": [_shown(one) for one in found]})


async def get_model(request: Request) -> Response:
    """``GET /v1/models/{owner}/{name}``."""
    return JsonResponse(_shown(await web.read_tx(request, service.get_for_use, request.path_params["model"])))


def _shown(one: Served) -> dict[str, Any]:
    """A model as OpenAI's API shows it, and what is known of it here beside."""
    return {
        "id": one.endpoint.model,
        "object": "model",
        "created": int(one.endpoint.created_at.timestamp()),
        "owned_by": one.endpoint.owner,
        "task": one.endpoint.task,
        "state": one.standing.state.value,
        "context_length": one.standing.context_tokens or one.endpoint.context_tokens,
    }


async def chat(request: Request) -> Response:
    """``POST /v1/chat/completions``."""
    return await _answer(request, asking.CHAT)


async def complete(request: Request) -> Response:
    """``POST /v1/completions``."""
    return await _answer(request, asking.COMPLETIONS)


async def embed(request: Request) -> Response:
    """``POST /v1/embeddings``."""
    return await _answer(request, asking.EMBEDDINGS)


async def _answer(request: Request, call: str) -> Response:
    began = time.perf_counter()
    actor = web.actor_of(request)
    if actor.is_anonymous:  # before a byte of the body is read
        raise accounts.NotSignedIn
    asked = await asking.read(request, call)
    return await web.site_of(request).part(Gateway).answer(request, actor, asked, began)


ROUTES = [
    Route("GET", "/v1/models", list_models, Access.READ, "openai"),
    Route("GET", "/v1/models/{model*}", get_model, Access.READ, "openai"),
    Route("POST", "/v1/chat/completions", chat, Access.READ, "openai"),
    Route("POST", "/v1/completions", complete, Access.READ, "openai"),
    Route("POST", "/v1/embeddings", embed, Access.READ, "openai"),
]
DIALECTS: dict[str, Dialect] = {"openai": refuse}
