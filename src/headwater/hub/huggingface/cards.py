"""``POST /api/validate-yaml``: what clients ask before every commit that holds a README."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from headwater import web
from headwater.hub import cards
from headwater.hub.huggingface.answers import as_json
from headwater.hub.huggingface.asking import json_body, kind_of, need_text
from headwater.hub.models import RepoKind
from headwater.kernel import Actor
from headwater.web import Access, Route, Site

BODY_BYTES = 16 << 20  # a README may be long; its front matter may not


async def validate_yaml(request: Request) -> Response:
    """400 with ``errors`` refuses the card, 200 may carry ``warnings``; JSON, or text for those who ask for text."""
    body = await json_body(request, limit_bytes=BODY_BYTES)
    content = need_text(body, "content", most=BODY_BYTES)
    problems = await web.call(request, _check, content, kind_of(body, "repoType"))
    errors = [problem.message for problem in problems if problem.is_error]
    warnings = [problem.message for problem in problems if not problem.is_error]
    status = 400 if errors else 200
    if request.headers.get("accept", "").startswith("text/plain"):
        # RepoCard.validate raises this text; its suite matches '- Error: "license" must be one of'.
        lines = [*(f"- Error: {line}" for line in errors), *(f"- Warning: {line}" for line in warnings)]
        return PlainTextResponse("\n".join(lines), status)
    shown: dict[str, Any] = {
        "errors": [{"message": line} for line in errors],
        "warnings": [{"message": line} for line in warnings],
    }
    if errors:
        shown["error"] = "Invalid metadata in README.md."
    return as_json(shown, status)


def _check(_site: Site, _actor: Actor, content: str, kind: RepoKind) -> tuple[cards.Problem, ...]:
    return cards.check_readme(content, kind)


ROUTES = [Route("POST", "/api/validate-yaml", validate_yaml, Access.PUBLIC, "hf")]
