"""Routes matched on the raw, still quoted path, because ``feat%2Fx`` is one segment.

Patterns: ``/api/{type:models|datasets|spaces}/{ns}/{name}/tree/{rev}/{path*}``. ``{x}`` is one segment, ``{x:a|b}`` one of
the given words, ``{x*}`` the rest (may hold ``/`` and be empty; a slash before it is optional). Values are unquoted once, after the split.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.responses import Response

Endpoint = Callable[[Request], Awaitable[Response]]


class Access(Enum):
    """Who may call a route at all. The service decides about the thing itself; this names what the route asks for."""

    PUBLIC = "public"  # needs nothing: sign-in page, static files
    READ = "read"  # the service asks for the right to read
    CONTRIBUTE = "contribute"
    WRITE = "write"
    ADMIN = "admin"  # of the thing
    SELF = "self"  # a signed-in person about themselves
    SITE_ADMIN = "site_admin"
    SIGNED_LINK = "signed_link"  # the url itself is the credential


@dataclass(frozen=True)
class Route:
    """One method and pattern. ``dialect`` chooses how a refusal is written: hf, git, lfs, cas, api, page."""

    method: str
    pattern: str
    endpoint: Endpoint
    access: Access
    dialect: str = "page"


_PARAM = re.compile(r"\{(\w+)(\*)?(?::([^}]+))?\}")


def _compile(pattern: str) -> re.Pattern[str]:
    out, at = [], 0
    for match in _PARAM.finditer(pattern):
        literal = pattern[at : match.start()]
        name, rest, words = match.groups()
        if rest:
            out.append(re.escape(literal.removesuffix("/")) + f"(?:/(?P<{name}>.*))?")
        else:
            out.append(re.escape(literal) + (f"(?P<{name}>{words})" if words else f"(?P<{name}>[^/]+)"))
        at = match.end()
    out.append(re.escape(pattern[at:]))
    return re.compile("".join(out))


class Router:
    """Finds the route of a request; within one first segment, declared order decides.

    Raises at construction when a route declares no access.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._by_head: dict[str, list[tuple[re.Pattern[str], Route]]] = {}
        self._open: list[tuple[re.Pattern[str], Route]] = []
        for route in self.routes:
            if not isinstance(route.access, Access):
                raise TypeError(f"{route.method} {route.pattern} declares no access")
            head = route.pattern.split("/")[1]
            compiled = (_compile(route.pattern), route)
            (self._open if "{" in head else self._by_head.setdefault(head, [])).append(compiled)

    def find(self, method: str, raw_path: str) -> tuple[Route | None, dict[str, str], list[str]]:
        """The route, its unquoted values, and which methods the path would take.

        HEAD is answered by GET's route unless it has its own.
        """
        head = raw_path.split("/", 2)[1] if "/" in raw_path else ""
        allowed: list[str] = []
        fallback: tuple[Route, dict[str, str]] | None = None
        for candidates in (self._by_head.get(head, ()), self._open):
            for regex, route in candidates:
                match = regex.fullmatch(raw_path)
                if match is None:
                    continue
                values = {k: unquote(v or "") for k, v in match.groupdict().items()}
                if route.method == method:
                    return route, values, []
                if method == "HEAD" and route.method == "GET" and fallback is None:
                    fallback = (route, values)
                allowed.append(route.method)
        if fallback is not None:
            return *fallback, []
        return None, {}, sorted(set(allowed))


def path_for(pattern: str, **values: str) -> str:
    """The inverse of matching: values quoted into a pattern; ``{x*}`` keeps its slashes."""

    def fill(match: re.Match[str]) -> str:
        name, rest, _ = match.groups()
        return quote(values[name], safe="/" if rest else "")

    return _PARAM.sub(fill, pattern).rstrip("/") or "/"
