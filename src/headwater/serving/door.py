"""Endpoints, usage and limits for programs, below ``/api/v1``."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import Action
from headwater.db import Tx
from headwater.kernel import Actor, to_iso, utcnow
from headwater.serving import processes, service, usage
from headwater.serving.errors import BadEndpoint
from headwater.serving.models import Served
from headwater.serving.service import Wish
from headwater.serving.supervisor import nudge
from headwater.web import Access, JsonResponse, Route, Site
from headwater.web.openapi import Shape

_ALL = "/api/v1/endpoints"
_ONE = f"{_ALL}/{{ns}}/{{name}}"
_LIMITS = "/api/v1/serving/limits/{subject:token|account|owner}/{name}"

_TYPES: dict[str, type] = {
    "model": str, "revision": str, "owner": str, "name": str, "file": str, "engine": str, "task": str, "access": str,
    "context_tokens": int, "slots": int, "idle_s": int, "starts": bool,
}  # fmt: skip


def wish_of(body: dict[str, Any]) -> Wish:
    """Raises: BadEndpoint, with every field that is unknown or of another type."""
    problems = [f"{name!r} is unknown" for name in body if name not in _TYPES]
    given = {name: value for name, value in body.items() if name in _TYPES and value is not None}
    words = {str: "a text", int: "a whole number", bool: "true or false"}
    problems += [f"{name} is {words[_TYPES[name]]}" for name, value in given.items() if type(value) is not _TYPES[name]]
    if "model" not in given:
        problems.append("model is needed, as namespace/name")
    if problems:
        raise BadEndpoint(problems)
    return Wish(**given)


def facts_of(one: Served, *, shows_model: bool = True) -> dict[str, Any]:
    """An endpoint as programs see it; never its engine's address or key.

    ``shows_model``: whether they may know which repository it serves.
    """
    end, now = one.endpoint, one.standing
    return {
        "model": end.model,
        "repository": end.repo if shows_model else None,
        "commit": end.commit if shows_model else None,
        "file": end.file if shows_model else None,
        "engine": end.engine,
        "task": end.task,
        "access": end.access,
        "context_tokens": now.context_tokens or end.context_tokens,
        "slots": end.slots,
        "idle_s": end.idle_s,
        "keeps_contents": end.keeps_contents,
        "wanted": end.wanted,
        "state": now.state.value,
        "reason": now.reason if shows_model else "",  # it may name the repository
        "since": to_iso(now.since),
        "failures": now.n_failures,
        "last_used_at": None if now.last_used_at is None else to_iso(now.last_used_at),
        "created_at": to_iso(end.created_at),
    }


def _shown(tx: Tx, actor: Actor, one: Served) -> dict[str, Any]:
    return facts_of(one, shows_model=service.may_see_model(tx, actor, one.endpoint))


async def list_all(request: Request) -> Response:
    """``GET /api/v1/endpoints``: those that one may know of."""

    def act(tx: Tx, actor: Actor) -> list[dict[str, Any]]:
        return [_shown(tx, actor, one) for one in service.list_visible(tx, actor)]

    return JsonResponse(await web.read_tx(request, act))


async def create(request: Request) -> Response:
    """``POST /api/v1/endpoints``: serve a model."""
    wish = wish_of(await web.read_json_object(request))
    made = await web.call(request, service.create, wish, now=utcnow())
    nudge(web.site_of(request).data_dir)
    return JsonResponse(facts_of(made), 201)


def _names(request: Request) -> tuple[str, str]:
    return request.path_params["ns"], request.path_params["name"]


async def get(request: Request) -> Response:
    """``GET /api/v1/endpoints/{ns}/{name}``."""

    def act(tx: Tx, actor: Actor) -> dict[str, Any]:
        return _shown(tx, actor, service.get(tx, actor, *_names(request)))

    return JsonResponse(await web.read_tx(request, act))


async def change(request: Request) -> Response:
    """``PATCH /api/v1/endpoints/{ns}/{name}``: access, idle_s, keeps_contents."""
    body = await web.read_json_object(request)

    def act(tx: Tx, actor: Actor) -> dict[str, Any]:
        return _shown(tx, actor, service.change(tx, actor, *_names(request), body, now=utcnow()))

    return JsonResponse(await web.write_tx(request, act))


async def start(request: Request) -> Response:
    """``POST …/start``."""

    def act(tx: Tx, actor: Actor) -> dict[str, Any]:
        return _shown(tx, actor, service.start(tx, actor, *_names(request), now=utcnow()))

    found = await web.write_tx(request, act)
    nudge(web.site_of(request).data_dir)
    return JsonResponse(found)


async def stop(request: Request) -> Response:
    """``POST …/stop``."""

    def act(tx: Tx, actor: Actor) -> dict[str, Any]:
        return _shown(tx, actor, service.stop(tx, actor, *_names(request), now=utcnow()))

    found = await web.write_tx(request, act)
    nudge(web.site_of(request).data_dir)
    return JsonResponse(found)


async def delete(request: Request) -> Response:
    """``DELETE /api/v1/endpoints/{ns}/{name}``."""
    await web.write_tx(request, service.delete, *_names(request), now=utcnow())
    nudge(web.site_of(request).data_dir)
    return Response(status_code=204)


async def get_log(request: Request) -> Response:
    """``GET …/log``: what its engine said last, for those who may stop it; nothing for whoever may not see the model that it names."""
    return Response(await web.call(request, log_of, *_names(request)), media_type="text/plain")


def log_of(site: Site, actor: Actor, owner: str, name: str) -> str:
    """From the engine's own file where that is on this host, else as it was last written down."""

    def act(tx: Tx) -> Served | None:
        found = service.get_owned(tx, actor, owner, name, Action.WRITE)
        return found if service.may_see_model(tx, actor, found.endpoint) else None

    found = site.db.read(act)
    if found is None:
        return ""
    path = site.data_dir.absolute() / "cache" / "serving" / "logs" / f"{found.endpoint.id}.log"
    return processes.read_tail(path) or found.standing.log_tail


async def list_usage(request: Request) -> Response:
    """``GET /api/v1/serving/usage?of=&days=&by=day|minute&format=json|csv``: what one's account used, and its endpoints gave."""
    asked = request.query_params
    by_s = 60 if asked.get("by") == "minute" else 86_400
    text = asked.get("days", "")
    days = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else usage.DEFAULT_DAYS
    now = utcnow()
    lines = await web.read_tx(request, usage.list_usage, asked.get("of") or None, days=days, by_s=by_s, now=now)
    if asked.get("format") == "csv":
        name = f"usage-{now:%Y-%m-%d}.csv"
        head = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
        return Response(usage.as_csv(lines), media_type="text/csv; charset=utf-8", headers=head)
    return JsonResponse(
        [
            {"from": line.moment, "model": line.model, "person": line.person, "token_id": line.token_id or None,
             "token": line.token, **vars(line.used)}
            for line in lines
        ]
    )  # fmt: skip


async def get_limits(request: Request) -> Response:
    """``GET /api/v1/serving/limits/{subject}/{name}``: what was set for a token, an account, or an owner's endpoints."""
    found = await web.read_tx(request, usage.get_limits, request.path_params["subject"], request.path_params["name"])
    return JsonResponse(None if found is None else vars(found))


async def set_limits(request: Request) -> Response:
    """``PUT …``: requests_minute, requests_day, tokens_minute, tokens_day; 0 for none. null takes back what was set."""
    body = await web.read_json(request)
    if body is not None and not isinstance(body, dict):
        raise BadEndpoint(["limits are an object, or null"])
    values = request.path_params
    await web.write_tx(request, usage.set_limits, values["subject"], values["name"], body, now=utcnow())
    return JsonResponse(body)


ROUTES = [
    Route("GET", _ALL, list_all, Access.READ, "api"),
    Route("POST", _ALL, create, Access.WRITE, "api"),
    Route("GET", _ONE, get, Access.READ, "api"),
    Route("PATCH", _ONE, change, Access.ADMIN, "api"),
    Route("DELETE", _ONE, delete, Access.ADMIN, "api"),
    Route("POST", f"{_ONE}/start", start, Access.WRITE, "api"),
    Route("POST", f"{_ONE}/stop", stop, Access.WRITE, "api"),
    Route("GET", f"{_ONE}/log", get_log, Access.WRITE, "api"),
    Route("GET", "/api/v1/serving/usage", list_usage, Access.SELF, "api"),
    Route("GET", _LIMITS, get_limits, Access.SELF, "api"),
    Route("PUT", _LIMITS, set_limits, Access.SELF, "api"),
]

_TEXT: dict[str, Any] = {"type": "string"}
_ENDPOINT: dict[str, Any] = {
    "type": "object",
    "properties": dict.fromkeys(("model", "engine", "task", "access", "wanted", "state"), _TEXT),
    "required": ["model", "engine", "state"],
}
SHAPES: dict[str, Shape] = {
    f"GET {_ALL}": Shape({"type": "array", "items": _ENDPOINT}),
    f"POST {_ALL}": Shape(
        _ENDPOINT, {"type": "object", "properties": {"model": _TEXT}, "required": ["model"]}, status=201
    ),
    f"GET {_ONE}": Shape(_ENDPOINT),
    f"DELETE {_ONE}": Shape(status=204),
    f"GET {_ONE}/log": Shape(_TEXT, media="text/plain"),
}
