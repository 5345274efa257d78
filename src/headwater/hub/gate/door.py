"""How a reader says that they want a suspicious file all the same: the explicit step, the same at every HTTP door."""

from __future__ import annotations

from starlette.requests import Request

HEADER = "X-Headwater-Accept"
WORD = "suspicious"


def accepts_suspicious(request: Request) -> bool:
    """By header, or by ``?accept=suspicious``."""
    if request.headers.get(HEADER, "").strip().lower() == WORD:
        return True
    return bool(request.scope["query_string"]) and request.query_params.get("accept", "").lower() == WORD
