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

from headwater.db import Tx

Endpoint = Callable[[Request], Awaitable[Response]]
AtOnce = Callable[[Request, Tx], Response | None]


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
    UNASKED = "unasked"  # needs nothing, and nobody looks who it is: so it is answered when the database does not


@dataclass(frozen=True)
class Route:
    """One method and pattern. ``dialect`` chooses how a refusal is written: hf, git, lfs, cas, api, page.

    ``at_once`` is for calls that are asked very often (GET and HEAD only): it is tried first, in the snapshot in which the
    actor was found, and answers from that and from memory; None where more is needed, and ``endpoint`` is asked.

    ``acts`` are what a form sent here may ask for in its field ``act``: forms that ask for anything else are not taken (see
    ``shell.read_form``), so no act is done that the table of access does not know.
    """

    method: str
    pattern: str
    endpoint: Endpoint
    access: Access
    dialect: str = "page"
    at_once: AtOnce | None = None
    acts: tuple[str, ...] = ("",)


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


_MAX_SHAPES = 4096
_MAX_FOUND, _MAX_FOUND_CHARS = 1024, 256  # of remembered paths, and of each
_SHAPE_SEGMENTS = 12


class _Shape:
    """What a pattern asks of a path's segments, for leaving out most routes before any is tried."""

    def __init__(self, pattern: str) -> None:
        self.segments: list[frozenset[str] | None] = []  # None: anything
        self.is_open = False  # whether more may follow
        for segment in pattern.split("/")[1:]:
            match = _PARAM.fullmatch(segment)
            if segment.count("{") != segment.count("}"):  # words that hold slashes
                self.is_open = True
                break
            if match is not None and match[2]:
                self.is_open = True
            elif match is not None and match[3]:
                self.segments.append(frozenset(match[3].split("|")))
            else:
                self.segments.append(None if "{" in segment else frozenset({segment}))

    def may_match(self, shape: tuple[str, ...]) -> bool:
        n = len(self.segments)
        if len(shape) < n or (len(shape) > n and not self.is_open):
            return False
        return all(words is None or word in words for words, word in zip(self.segments, shape, strict=False))


class Router:
    """Finds the route of a request; within one first segment, declared order decides.

    Raises at construction when a route declares no access.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        named: list[tuple[_Shape, re.Pattern[str], Route]] = []
        open_: list[tuple[_Shape, re.Pattern[str], Route]] = []
        for route in self.routes:
            if not isinstance(route.access, Access):
                raise TypeError(f"{route.method} {route.pattern} declares no access")
            is_open = "{" in route.pattern.split("/")[1]
            (open_ if is_open else named).append((_Shape(route.pattern), _compile(route.pattern), route))
        self._all = [*named, *open_]
        self._words = frozenset(
            word for shape, _, _ in self._all for words in shape.segments if words is not None for word in words
        )
        self._by_shape: dict[tuple[str, ...], list[tuple[re.Pattern[str], Route]]] = {}
        self._found: dict[tuple[str, str], tuple[Route, dict[str, str]]] = {}

    def find(self, method: str, raw_path: str) -> tuple[Route | None, dict[str, str], list[str]]:
        """The route, its unquoted values, and which methods the path would take.

        HEAD is answered by GET's route unless it has its own.
        """
        known = self._found.get((method, raw_path))
        if known is not None:
            return known[0], known[1].copy(), []
        route, values, allowed = self._find(method, raw_path)
        if route is not None and len(raw_path) <= _MAX_FOUND_CHARS:
            if len(self._found) >= _MAX_FOUND:
                self._found.clear()
            self._found[method, raw_path] = route, values.copy()
        return route, values, allowed

    def _find(self, method: str, raw_path: str) -> tuple[Route | None, dict[str, str], list[str]]:
        allowed: list[str] = []
        fallback: tuple[Route, dict[str, str]] | None = None
        for regex, route in self._candidates(raw_path):
            match = regex.fullmatch(raw_path)
            if match is None:
                continue
            if route.method == method:
                return route, _values(match), []
            if method == "HEAD" and route.method == "GET" and fallback is None:
                fallback = (route, _values(match))
            allowed.append(route.method)
        if fallback is not None:
            return *fallback, []
        return None, {}, sorted(set(allowed))

    def _candidates(self, raw_path: str) -> list[tuple[re.Pattern[str], Route]]:
        """In order, those routes that could match a path with these words at these places."""
        words = self._words
        shape = tuple([part if part in words else "" for part in raw_path.split("/", _SHAPE_SEGMENTS + 1)[1:]])
        found = self._by_shape.get(shape)
        if found is None:
            found = [(regex, route) for each, regex, route in self._all if each.may_match(shape)]
            if len(self._by_shape) >= _MAX_SHAPES:
                self._by_shape.clear()
            self._by_shape[shape] = found
        return found


def _values(match: re.Match[str]) -> dict[str, str]:
    return {
        name: unquote(value) if value and "%" in value else value or "" for name, value in match.groupdict().items()
    }


def path_for(pattern: str, **values: str) -> str:
    """The inverse of matching: values quoted into a pattern; ``{x*}`` keeps its slashes."""

    def fill(match: re.Match[str]) -> str:
        name, rest, _ = match.groups()
        return quote(values[name], safe="/" if rest else "")

    return _PARAM.sub(fill, pattern).rstrip("/") or "/"
