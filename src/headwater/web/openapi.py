"""The description of the API in OpenAPI 3.1, made from the routes themselves, at ``/api/v1/openapi.json``.

A route is in it because it is served. What it is sent and what it gives stands with the doors, as ``Shape``; what it
needs is the route's own ``Access``. Pages, and calls that are only answered with "not served", are left out.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from headwater import __version__
from headwater.web.requests import site_of
from headwater.web.routing import Access, Route

Schema = dict[str, Any]

ADDRESS = "/api/v1/openapi.json"
_OPEN = frozenset({Access.PUBLIC, Access.UNASKED})
_SEGMENT = r"^[^\u0000-\u001f\u007f\\/]+$"  # anything else is refused before it is looked for
_REST = r"^[^\u0000-\u001f\u007f\\]*$"
_PARAM = re.compile(r"\{(\w+)(\*)?(?::([^}]+))?\}")
_REFUSALS = {  # by dialect: what is always in a refusal's body
    "hf": ("application/json", {"error": {"type": "string"}}),
    "api": ("application/json", {"error": {"type": "string"}, "code": {"type": "string"}}),
    "lfs": ("application/vnd.git-lfs+json", {"message": {"type": "string"}}),
    "cas": ("application/json", {"error": {"type": "string"}, "code": {"type": "string"}}),
    "openai": ("application/json", {"error": {"type": "object"}}),
}
_GROUPS = {
    "hf": "Repositories, files, people: as huggingface_hub calls them",
    "lfs": "Git LFS",
    "cas": "Xet: content-addressed storage",
    "api": "This server's own",
    "openai": "Models that are served, as OpenAI's API is called",
}


@dataclass(frozen=True)
class Shape:
    """What a call is sent and gives. ``media`` and ``sends_media`` are of bodies that are not JSON."""

    gives: Schema | None = None
    sends: Schema | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    media: str = "application/json"
    sends_media: str = "application/json"
    status: int = 200


class Description:
    """A site part: the document, made when it is first asked for.

    ``shapes`` gives what calls are sent and give, by "METHOD pattern", and the routes that are left out.
    """

    def __init__(
        self, routes: Iterable[Route], shapes: Callable[[], tuple[Mapping[str, Shape], Collection[Route]]]
    ) -> None:
        self._routes = tuple(routes)
        self._shapes = shapes
        self._written: bytes | None = None

    def written(self, base_url: str) -> bytes:
        if self._written is None:
            shapes, left_out = self._shapes()
            hidden = {id(route) for route in left_out}
            kept = [route for route in self._routes if id(route) not in hidden]
            self._written = orjson.dumps(describe(kept, shapes, base_url))
        return self._written


async def get_description(request: Request) -> Response:
    """``GET /api/v1/openapi.json``: this document."""
    site = site_of(request)
    return Response(site.part(Description).written(site.base_url), media_type="application/json")


def described(routes: Iterable[Route]) -> list[Route]:
    """Those that programs call; git's own are described by git."""
    return [route for route in routes if route.dialect in _REFUSALS]


def describe(routes: Iterable[Route], shapes: Mapping[str, Shape], base_url: str) -> Schema:
    """The whole document."""
    paths: dict[str, Schema] = {}
    for route in described(routes):
        shape = shapes.get(f"{route.method} {route.pattern}", Shape())
        paths.setdefault(template_of(route.pattern), {})[route.method.lower()] = _operation(route, shape)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headwater",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Calls that change something take a token as Bearer. A refusal says in words what to do; its "
            "stable code is in docs/errors.md. A value `path` is the rest of the address and may hold slashes.",
        },
        "servers": [{"url": base_url}],
        "tags": [{"name": name, "description": text} for name, text in _GROUPS.items()],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "a token of /settings/tokens"}
            },
            "schemas": {f"Refusal_{name}": _refusal(name) for name in _REFUSALS},
        },
    }


def template_of(pattern: str) -> str:
    """The address as OpenAPI writes it. Two patterns that differ only in the words they take are two addresses there."""

    def fill(match: re.Match[str]) -> str:
        name, _, words = match.groups()
        return words if words and "|" not in words else "{" + name + "}"

    return _PARAM.sub(fill, pattern)


def _operation(route: Route, shape: Shape) -> Schema:
    parameters: list[Schema] = []
    for name, rest, words in _PARAM.findall(route.pattern):
        schema: Schema = {"type": "string", "pattern": _SEGMENT}
        if words:
            schema = {"type": "string", "enum": words.split("|")}
        elif rest:
            schema = {"type": "string", "pattern": _REST}
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in shape.query.items()]
    done: Schema = {"description": "Done."}
    if shape.gives is not None:
        done["content"] = {shape.media: {"schema": shape.gives}}
    found: Schema = {
        "operationId": _operation_id(route),
        "summary": _summary(route),
        "tags": [route.dialect],
        "parameters": parameters,
        "responses": {
            str(shape.status): done,
            "default": {
                "description": "Refused; or, for an address that has changed, where it is now.",
                "content": {
                    # An address that cannot be read at all is refused before anybody knows whose it is.
                    "application/json": {"schema": {"$ref": "#/components/schemas/Refusal_hf"}},
                    _REFUSALS[route.dialect][0]: {"schema": {"$ref": f"#/components/schemas/Refusal_{route.dialect}"}},
                },
            },
        },
        "x-headwater-access": route.access.value,
    }
    if route.access is Access.READ:
        found["security"] = [{}, {"token": []}]
    elif route.access not in _OPEN and route.access is not Access.SIGNED_LINK:
        found["security"] = [{"token": []}]
    if shape.sends is not None:
        found["requestBody"] = {"content": {shape.sends_media: {"schema": shape.sends}}}
    return found


def _operation_id(route: Route) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", _PARAM.sub(lambda match: match[1], route.pattern).lower()).strip("_")
    return f"{route.method.lower()}_{words}"


def _summary(route: Route) -> str:
    """The first sentence of what the code says about the call."""
    text = inspect.getdoc(route.endpoint) or ""
    line = re.sub(r"^``[A-Z]+ [^`]*``\s*[:;,.]?\s*", "", text.partition("\n\n")[0].replace("\n", " "))
    line = line.replace("``", "`").strip()
    if not line or "wrapper" in line:
        line = getattr(route.endpoint, "__name__", "call").replace("_", " ").strip()
    return line[:1].upper() + line[1:]


def _refusal(dialect: str) -> Schema:
    properties = _REFUSALS[dialect][1]
    return {"type": "object", "properties": properties, "required": list(properties)[:1]}


ROUTES = [Route("GET", ADDRESS, get_description, Access.PUBLIC, "api")]
