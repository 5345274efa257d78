"""Webhooks of a person, as huggingface_hub calls them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater.hub.community import webhooks as service
from headwater.hub.community.errors import BadField
from headwater.hub.community.models import Delivery, Webhook
from headwater.hub.community.webhooks import WebhookFields
from headwater.hub.huggingface import fields
from headwater.hub.huggingface.errors import NotServed
from headwater.kernel import to_iso, utcnow
from headwater.web import Access, JsonResponse, Route, read_json_object, read_tx, write_tx

BASE = "/api/settings/webhooks"


async def list_webhooks(request: Request) -> Response:
    return JsonResponse([_webhook(hook) for hook in await read_tx(request, service.list_webhooks)])


async def get_webhook(request: Request) -> Response:
    return _answer(await read_tx(request, service.get_webhook, request.path_params["id"]))


async def create_webhook(request: Request) -> Response:
    given = _fields(await read_json_object(request))
    return _answer(await write_tx(request, service.create_webhook, given, now=utcnow()))


async def update_webhook(request: Request) -> Response:
    body = await read_json_object(request)
    if body.get("watched") == []:
        del body["watched"]  # the client sends an empty list where nothing is to change
    given = _fields(body)
    return _answer(await write_tx(request, service.update_webhook, request.path_params["id"], given))


async def set_enabled(request: Request) -> Response:
    """``POST …/{id}/enable`` and ``…/disable``."""
    enabled = request.path_params["act"] == "enable"
    return _answer(await write_tx(request, service.set_enabled, request.path_params["id"], enabled=enabled))


async def delete_webhook(request: Request) -> Response:
    await write_tx(request, service.delete_webhook, request.path_params["id"])
    return JsonResponse({"success": True})


async def list_deliveries(request: Request) -> Response:
    """``GET …/{id}/deliveries``: ours; what was sent lately and what came of it."""
    found = await read_tx(request, service.list_deliveries, request.path_params["id"])
    return JsonResponse([_delivery(delivery) for delivery in found])


def _answer(hook: Webhook) -> Response:
    return JsonResponse({"webhook": _webhook(hook)})


def _fields(body: Mapping[str, Any]) -> WebhookFields:
    if body.get("jobSourceId") is not None or body.get("secrets") is not None:
        raise NotServed("webhooks that start jobs")
    watched = body.get("watched")
    if watched is not None:
        if not isinstance(watched, list) or not all(isinstance(item, dict) for item in watched):
            raise BadField("watched", 'a list of {"type": …, "name": …}')
        watched = [(fields.text(item, "type"), fields.text(item, "name")) for item in watched]
    return WebhookFields(
        url=fields.optional_text(body, "url"),
        watched=watched,
        domains=fields.optional_texts(body, "domains"),
        secret=fields.optional_text(body, "secret"),
    )


def _webhook(hook: Webhook) -> dict[str, Any]:
    return {
        "id": hook.public_id,
        "url": hook.url,
        "watched": [{"type": item.kind, "name": item.name} for item in hook.watched],
        "domains": list(hook.domains),
        "secret": hook.secret,
        "disabled": hook.is_disabled,
    }


def _delivery(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.public_id,
        "event": delivery.event,
        "state": delivery.state,
        "attempts": delivery.n_attempts,
        "status": delivery.http_status,
        "answer": delivery.answer,
        "createdAt": to_iso(delivery.created_at),
        "attemptedAt": None if delivery.attempted_at is None else to_iso(delivery.attempted_at),
        "durationMs": delivery.duration_ms,
    }


ROUTES = [
    Route("GET", BASE, list_webhooks, Access.SELF, "hf"),
    Route("POST", BASE, create_webhook, Access.SELF, "hf"),
    Route("GET", f"{BASE}/{{id}}", get_webhook, Access.SELF, "hf"),
    Route("POST", f"{BASE}/{{id}}", update_webhook, Access.SELF, "hf"),
    Route("DELETE", f"{BASE}/{{id}}", delete_webhook, Access.SELF, "hf"),
    Route("POST", f"{BASE}/{{id}}/{{act:enable|disable}}", set_enabled, Access.SELF, "hf"),
    Route("GET", f"{BASE}/{{id}}/deliveries", list_deliveries, Access.SELF, "hf"),
]
