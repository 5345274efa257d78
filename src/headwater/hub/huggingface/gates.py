"""Access to gated repositories: asking, listing, handling, granting."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from headwater.accounts import AccessRequest
from headwater.hub.community import gates as service
from headwater.hub.community.errors import BadField
from headwater.hub.huggingface import fields
from headwater.hub.huggingface.discussions import REPO, Target
from headwater.kernel import to_iso, utcnow
from headwater.web import Access, JsonResponse, Route, next_link, read_body, read_json_object, read_tx, write_tx

BODY_LIMIT_BYTES = 1 << 17


async def list_requests(request: Request) -> Response:
    """``GET …/user-access-request/{pending|accepted|rejected}``."""
    target = Target.of(request)
    page = await read_tx(
        request,
        service.list_requests,
        target.kind,
        target.name,
        request.path_params["status"],
        cursor=request.query_params.get("cursor"),
    )
    return JsonResponse([_request(item) for item in page.items], headers=next_link(request, page.cursor))


async def handle(request: Request) -> Response:
    """``POST …/user-access-request/handle``, by ``user`` or ``requestId``."""
    target, body = Target.of(request), await read_json_object(request)
    handled = await write_tx(
        request,
        service.handle_request,
        target.kind,
        target.name,
        status=fields.text(body, "status"),
        user=fields.optional_text(body, "user"),
        request_id=_request_id(fields.optional_text(body, "requestId")),
        reason=fields.optional_text(body, "rejectionReason"),
        now=utcnow(),
    )
    return JsonResponse(_request(handled))


async def grant(request: Request) -> Response:
    """``POST …/user-access-request/grant``."""
    target, body = Target.of(request), await read_json_object(request)
    user = fields.text(body, "user")
    granted = await write_tx(request, service.grant_access, target.kind, target.name, user, now=utcnow())
    return JsonResponse(_request(granted))


async def ask(request: Request) -> Response:
    """``POST /{repo}/ask-access``: what a person (or a script of theirs) sends to ask, as a form or as JSON."""
    target = Target.of(request)
    body = await read_body(request, BODY_LIMIT_BYTES)
    made = await write_tx(
        request, service.request_access, target.kind, target.name, answers=_answers(request, body), now=utcnow()
    )
    return JsonResponse({"status": made.status, "requestId": _public_id(made)})


def _answers(request: Request, body: bytes) -> dict[str, str]:
    if not body:
        return {}
    try:
        if request.headers.get("content-type", "").startswith("application/json"):
            given = json.loads(body)
        else:
            given = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200))
    except ValueError as exc:
        raise BadField("body", "a form or a JSON object") from exc
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise BadField("body", "an object whose values are strings")
    return {key: value for key, value in given.items() if key != "csrf"}


def _request(found: AccessRequest) -> dict[str, Any]:
    user: dict[str, Any] = {
        "_id": f"{found.account.id:024x}",
        "user": found.account.name,
        "fullname": found.account.full_name or found.account.name,
        "type": "user",
    }
    if not found.by_grant and found.account.email:  # who was let in without asking gave nobody an address
        user["email"] = found.account.email
    told: dict[str, Any] = {
        "user": user,
        "requestId": _public_id(found),
        "status": found.status,
        "timestamp": to_iso(found.created_at),
    }
    if found.fields:
        told["fields"] = found.fields
    if found.rejection_reason is not None:
        told["rejectionReason"] = found.rejection_reason
    return told


def _public_id(found: AccessRequest) -> str:
    return f"{found.id:024x}"


def _request_id(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text, 16) if len(text) <= 24 and int(text, 16) < 2**62 else 0
    except ValueError:
        return 0


GATE = f"{REPO}/user-access-request"
ROUTES = [
    Route("GET", f"{GATE}/{{status:pending|accepted|rejected}}", list_requests, Access.ADMIN, "hf"),
    Route("POST", f"{GATE}/handle", handle, Access.ADMIN, "hf"),
    Route("POST", f"{GATE}/grant", grant, Access.ADMIN, "hf"),
    Route("POST", f"{REPO}/ask-access", ask, Access.CONTRIBUTE, "hf"),
]
