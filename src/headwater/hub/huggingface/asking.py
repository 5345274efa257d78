"""What every call of this door shares: the repository that a path names, values out of queries and bodies."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.hub.content.errors import BadParameter
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.models import RepoKind, RepoName, Repository

API = "/api/{type:models|datasets|spaces}/{ns}/{name}"
MAX_NAME_CHARS = 96


def asked(request: Request) -> tuple[RepoKind, RepoName]:
    """Kind and name out of the path. Routes without a ``type`` are those of models.

    Raises:
        RepositoryNotFound: nothing can have such a name.
    """
    values = request.scope["path_params"]
    return _asked(values.get("type", "models"), values["ns"], values["name"])


@functools.lru_cache(maxsize=1024)
def _asked(kind: str, namespace: str, name: str) -> tuple[RepoKind, RepoName]:
    if max(len(namespace), len(name)) > MAX_NAME_CHARS or "/" in namespace or "/" in name:
        raise RepositoryNotFound
    return RepoKind.from_plural(kind), RepoName(namespace, name)


def renamed(request: Request, repo: Repository) -> Response | None:
    """A redirect when the path carries another name than the repository has now: a former one, or other letter case.

    Relative to this origin: clients follow redirects of HEAD only there.
    """
    values = request.scope["path_params"]
    if (values["ns"], values["name"]) == (repo.name.namespace, repo.name.name):
        return None
    raw: str = request.scope["raw_path"].decode("ascii", "replace").split("?")[0]
    segments = raw.split("/")
    at = 1
    if segments[1] == "api":
        at = 3
    elif "type" in values:
        at = 2
    segments[at : at + 2] = [quote(repo.name.namespace), quote(repo.name.name)]
    query = request.scope.get("query_string", b"").decode("ascii", "replace")
    location = "/".join(segments) + (f"?{query}" if query else "")
    return Response(status_code=307, headers={"Location": location, "Cache-Control": "no-store"})


def flag(request: Request, key: str, *, default: bool = False) -> bool:
    """A boolean of the query; the client sends ``true`` and ``false``, people also ``1`` and ``0``.

    Raises:
        BadParameter.
    """
    if not request.scope["query_string"]:
        return default
    return parse_flag(key, request.query_params.get(key), default=default)


def parse_flag(key: str, text: str | None, *, default: bool = False) -> bool:
    if text is None or text == "":
        return default
    known = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in known:
        raise BadParameter(key, "it may be true or false")
    return known[text.lower()]


def count(request: Request, key: str, *, default: int, most: int) -> int:
    """A number of the query, at least 1; more than ``most`` counts as ``most``.

    Raises:
        BadParameter.
    """
    text = request.query_params.get(key)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 12 or int(text) < 1:
        raise BadParameter(key, "it must be a number from 1 on")
    return min(int(text), most)


def text_of(body: Mapping[str, Any], key: str, *, most: int = 10_000) -> str | None:
    """A text out of a JSON body, or None.

    Raises:
        BadParameter: it is no text.
    """
    value = body.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > most:
        raise BadParameter(key, f"it must be text of at most {most} characters")
    return value


def need_text(body: Mapping[str, Any], key: str, *, most: int = 10_000) -> str:
    """As ``text_of``, where it may not be missing."""
    value = text_of(body, key, most=most)
    if value is None:
        raise BadParameter(key, "it is missing")
    return value


def kind_of(body: Mapping[str, Any], key: str = "type") -> RepoKind:
    """``model`` (also when absent), ``dataset`` or ``space``.

    Raises:
        BadParameter.
    """
    word = text_of(body, key) or "model"
    try:
        return RepoKind(word.removesuffix("s"))
    except ValueError as exc:
        raise BadParameter(key, "it may be 'model', 'dataset' or 'space'") from exc


async def json_body(request: Request, *, limit_bytes: int = 1 << 20) -> dict[str, Any]:
    """The body as a JSON object; an empty body is an empty one."""
    return await web.read_json_object(request, limit_bytes=limit_bytes)
