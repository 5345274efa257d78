"""Refusals in the shape of OpenAI's errors, which their clients turn into exceptions."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from headwater.kernel import HeadwaterError, Kind
from headwater.web import status_of

_TYPES = {
    Kind.NOT_ALLOWED: "permission_error",
    Kind.TOO_MANY: "rate_limit_error",
    Kind.BROKEN: "server_error",
    Kind.UNAVAILABLE: "server_error",
    Kind.FULL: "server_error",
    Kind.NOT_SERVED: "server_error",
}
# Codes that OpenAI's API has for what ours are called otherwise.
_CODES = {
    "bad_credential": "invalid_api_key",
    "not_signed_in": "invalid_api_key",
    "too_many_requests": "rate_limit_exceeded",
}


def shape_of(error: HeadwaterError) -> dict[str, Any]:
    kind = getattr(error, "what", None) if error.kind is Kind.TOO_MANY else None
    return {
        "error": {
            "message": error.message,
            "type": kind or _TYPES.get(error.kind, "invalid_request_error"),
            "param": getattr(error, "param", None),
            "code": _CODES.get(error.code, error.code),
        }
    }


def refuse(request: Request, error: HeadwaterError) -> Response:
    return Response(orjson.dumps(shape_of(error)), status_of(error), error.headers, "application/json")
