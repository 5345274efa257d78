"""The ASGI application: one router, one place to find the actor, one to write a refusal, one log line a request."""

from __future__ import annotations

import functools
import ipaddress
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headwater.blobs import Piece
from headwater.db import Tx
from headwater.kernel import ANONYMOUS, Actor, HeadwaterError, Kind
from headwater.kernel.addresses import network, plain_address
from headwater.web.heads import Told, asked_names, header_lines, standing_headers
from headwater.web.logs import write_info
from headwater.web.rates import Rates
from headwater.web.refusals import BadAddress, Broken, NoSuchMethod, NothingHere, refuse_in_json
from headwater.web.routing import Access, Route, Router
from headwater.web.settings import RateSettings, WebSettings
from headwater.web.site import Site
from headwater.web.threads import in_thread
from headwater.web.watch import Seen, Watch

Authenticate = Callable[[Request], Awaitable[Actor]]
Identify = Callable[[Request, Tx], Actor]
Dialect = Callable[[Request, HeadwaterError], Response]


class Connection(Protocol):
    """How an answer at hand leaves: ``lines`` are its headers, which name the body's size and say nothing of the connection."""

    @property
    def takes_pieces(self) -> bool: ...

    def send_whole(self, status: int, lines: bytes, body: bytes) -> None:
        """With HEAD the body itself is left out here."""
        ...

    def send_pieces(
        self, status: int, lines: bytes, pieces: Iterable[Piece], count: int, ended: Callable[[], None]
    ) -> None:
        """Begin to; ``ended`` is called by the event loop, however it ended."""
        ...


_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_PLAIN_PATH = re.compile(rb"/|(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._~@:+,;=!$&'()*-]+)+/?")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
log = structlog.get_logger("headwater.web")


def build_app(
    site: Site,
    routes: Iterable[Route],
    authenticate: Authenticate,
    dialects: Mapping[str, Dialect],
    identify: Identify | None = None,
) -> ASGIApp:
    """The whole site as one ASGI application.

    Args:
        authenticate: finds the actor of a request, and refuses forged ones (CSRF); asked for every
            route but those whose address is the credential. A bad credential on a route that needs none counts as no credential.
        identify: the same for GET and HEAD, in an open snapshot; without it no route answers at once.
        dialects: how each door writes a refusal; a route's ``dialect`` that is missing here is written as JSON.
    """
    return _App(site, Router(routes), authenticate, dialects, identify)


class _App:
    def __init__(
        self,
        site: Site,
        router: Router,
        authenticate: Authenticate,
        dialects: Mapping[str, Dialect],
        identify: Identify | None,
    ) -> None:
        self.site = site
        self.router = router
        self.authenticate = authenticate
        self.identify = identify
        # SQLite answers out of its own memory in microseconds, less than another thread costs; a database behind a network
        # makes its caller wait.
        self.reads_on_loop = site.db.dialect == "sqlite"
        self.dialects = dialects
        settings = site.settings.of(WebSettings)
        self.proxies = tuple(map(network, settings.trusted_proxies))
        self.rates = Rates(site.db, site.settings.of(RateSettings), router.routes)
        self.watch = Watch(router.routes, settings)
        self._bound: dict[str, Any] | None = None  # to every line of the log: which process it is

    def at_once(self, scope: Scope, connection: Connection) -> bool:
        """Answer a GET or HEAD without a task of its own, where the whole answer is at hand, or the files that it lies in.

        Where it is not, or the answer is a refusal, nothing is sent, and calling the application with the same scope goes on
        from there.
        """
        if not self.reads_on_loop or scope["method"] not in ("GET", "HEAD"):
            return False
        call = scope["headwater.call"] = self._begin(scope)
        try:
            route = self._find_route(call)
            if route is None or route.at_once is None:
                return False
            call.is_asked = True
            response = call.response = self._answer_at_once(call.request, route)
            found = None if response is None else _body_at_hand(response, scope)
            if response is None or found is None:
                return False
            if isinstance(found, bytes):
                connection.send_whole(response.status_code, call.answer.lines_of(response), found)
            elif connection.takes_pieces:
                lines = call.answer.lines_of(response)
                count, pieces = found
                connection.send_pieces(response.status_code, lines, pieces, count, functools.partial(self._end, call))
                del scope["headwater.call"]
                return True
            else:
                return False
        except Exception as exc:  # noqa: BLE001 -- raised again where refusals are written
            call.failed = exc
            return False
        self._end(call)
        del scope["headwater.call"]  # which leads back to the scope: no work for the garbage collector
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        call = scope.pop("headwater.call", None) or self._begin(scope)
        structlog.contextvars.bind_contextvars(request_id=call.request_id)
        request, answer = call.request, call.answer
        request._receive, request._send, answer.send_on = receive, send, send  # noqa: SLF001 -- a request is made before these are
        try:
            if call.failed is not None:
                raise call.failed
            response = call.response or await self._answer(call)
        except HeadwaterError as error:
            answer.code = error.code
            response = self._refuse(request, call.route, error)
        except Exception:
            log.exception("request.failed", method=scope["method"], route=call.route and call.route.pattern)
            answer.code = Broken.code
            response = self._refuse(request, call.route, Broken(call.request_id))
        try:
            await response(scope, receive, answer.send)
        except HeadwaterError as error:
            if answer.status:
                raise
            answer.code = error.code
            await self._refuse(request, call.route, error)(scope, receive, answer.send)
        except Exception:
            if answer.status:
                log.exception("answer.broken_off", route=call.route and call.route.pattern)
                _break_off(scope)
                return
            log.exception("request.failed", method=scope["method"], route=call.route and call.route.pattern)
            answer.code = Broken.code
            await self._refuse(request, call.route, Broken(call.request_id))(scope, receive, answer.send)
        finally:
            self._end(call)

    def _begin(self, scope: Scope) -> _Call:
        if self._bound is None:
            self._bound = structlog.contextvars.get_contextvars()
        seen = self.watch.begin(self._apply_proxy(scope))
        request_id = _request_id(scope)
        scope["state"] = {"site": self.site, "actor": ANONYMOUS, "request_id": request_id}
        return _Call(Request(scope), request_id, seen)

    def _find_route(self, call: _Call) -> Route | None:
        """The route, and what it takes out of the path; once a request.

        Raises:
            BadAddress.
        """
        if call.raw_path is None:
            scope = call.request.scope
            raw_path = _checked_path(scope)
            call.route, scope["path_params"], call.allowed = self.router.find(scope["method"], raw_path)
            call.raw_path = raw_path
        return call.route

    def _end(self, call: _Call) -> None:
        request = call.request
        exchange = request.scope.get("headwater.exchange")
        received_bytes = 0 if exchange is None else exchange.received_bytes
        more = self.watch.end(call.answer.seen, call.route, request.scope["method"], received_bytes)
        if more is not None:
            self._log(request, call.route, call.answer, more)

    async def _answer(self, call: _Call) -> Response:
        request, route = call.request, self._find_route(call)
        if route is None:
            return await self._answer_unknown(request, call.raw_path or "", call.allowed)
        if route.at_once is not None and not call.is_asked:
            if self.reads_on_loop:
                found = self._answer_at_once(request, route)
            else:
                found = await in_thread(self._answer_at_once, request, route)
            if found is not None:
                return found
        actor = request.scope["state"]["actor"] = await self._find_actor(request, route)
        self.rates.count(request.scope, route, actor)
        request.scope["state"]["acts"] = route.acts
        return await route.endpoint(request)

    def _answer_at_once(self, request: Request, route: Route) -> Response | None:
        """Who asks, whether they may, and what: all in one snapshot."""
        if self.identify is None or route.at_once is None:
            return None
        with self.site.db.reading() as tx:
            try:
                actor = request.scope["state"]["actor"] = self.identify(request, tx)
            except HeadwaterError as error:
                self.rates.count(request.scope, route, None)
                if route.access is not Access.PUBLIC or error.kind is not Kind.NOT_AUTHENTICATED:
                    raise
            else:
                self.rates.count(request.scope, route, actor)
            return route.at_once(request, tx)

    async def _find_actor(self, request: Request, route: Route) -> Actor:
        if route.access in (Access.SIGNED_LINK, Access.UNASKED):
            return ANONYMOUS
        try:
            return await self.authenticate(request)
        except HeadwaterError as error:
            self.rates.count(request.scope, route, None)
            if route.access is Access.PUBLIC and error.kind is Kind.NOT_AUTHENTICATED:
                return ANONYMOUS
            raise

    async def _answer_unknown(self, request: Request, raw_path: str, allowed: list[str]) -> Response:
        """No route: a wrong method, a page's address with a slash too many, or nothing at all."""
        if allowed:
            raise NoSuchMethod(request.method, allowed)
        if request.method in ("GET", "HEAD") and raw_path.endswith("/"):
            shorter, _, _ = self.router.find(request.method, raw_path.rstrip("/"))
            if shorter is not None and shorter.dialect == "page":
                query = request.url.query
                target = raw_path.rstrip("/") + (f"?{query}" if query else "")
                return Response(status_code=308, headers={"Location": target})
        if _dialect_of(request) == "page":
            request.state.actor = await self._actor_of_page(request)
        raise NothingHere

    async def _actor_of_page(self, request: Request) -> Actor:
        """Who reads a "not found" page: its frame names them."""
        try:
            return await self.authenticate(request)
        except HeadwaterError:
            return ANONYMOUS

    def _refuse(self, request: Request, route: Route | None, error: HeadwaterError) -> Response:
        write = self.dialects.get(route.dialect if route else _dialect_of(request), refuse_in_json)
        try:
            return write(request, error)
        except Exception:  # a dialect's own bug must not hide the refusal
            log.exception("refusal.failed", code=error.code)
            return refuse_in_json(request, error)

    def _apply_proxy(self, scope: Scope) -> str | None:
        """Believe ``X-Forwarded-For`` and ``-Proto`` only from addresses that the settings name; and ``traceparent``, returned."""
        client = scope.get("client")
        if not self.proxies or not client or not self._is_proxy(client[0]):
            return None
        trace = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
        headers = {name: value for name, value in scope["headers"] if name.startswith(b"x-forwarded-")}
        proto = headers.get(b"x-forwarded-proto", b"").decode("latin-1").strip().lower()
        if proto in ("http", "https"):
            scope["scheme"] = proto
        hops = [hop.strip() for hop in headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",") if hop.strip()]
        while hops:
            hop = plain_address(hops.pop())
            scope["client"] = (hop, 0)
            if not self._is_proxy(hop):
                break
        return trace

    def _is_proxy(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self.proxies)

    def _log(self, request: Request, route: Route | None, answer: _Answer, more: dict[str, object]) -> None:
        values = request.scope["path_params"] if route else {}
        actor: Actor = request.scope["state"]["actor"]
        facts: dict[str, object] = {
            **(self._bound or {}),
            "request_id": request.scope["state"]["request_id"],
            "method": request.scope["method"],
            # The pattern, not the address: an address may hold a one-time link or a signature.
            "route": route.pattern if route else None,
            "status": answer.status,
            "size_bytes": answer.size_bytes,
            **more,
        }
        if "ns" in values and "name" in values:
            facts["repo"] = f"{values['ns']}/{values['name']}"
        if actor.account_id is not None:
            facts["account_id"] = actor.account_id
        if answer.code:
            facts["code"] = answer.code
        if "slow" in more:
            log.warning("request.answered", **facts)
        else:
            write_info("request.answered", facts)


class _Call:
    """One request under way."""

    __slots__ = ("allowed", "answer", "failed", "is_asked", "raw_path", "request", "request_id", "response", "route")

    def __init__(self, request: Request, request_id: str, seen: Seen) -> None:
        self.request = request
        self.request_id = request_id
        self.answer = _Answer(request.scope["state"], request_id, seen)
        self.raw_path: str | None = None  # once the route was looked for
        self.route: Route | None = None
        self.allowed: list[str] = []
        self.is_asked = False  # whether the route was asked to answer at once
        self.response: Response | None = None  # found, but not yet sent
        self.failed: Exception | None = None


class _Answer:
    """Stands before ``send``: adds what every answer carries, and remembers what was sent."""

    __slots__ = ("_request_id", "_state", "code", "seen", "send_on", "size_bytes", "status")

    send_on: Send

    def __init__(self, state: dict[str, Any], request_id: str, seen: Seen) -> None:
        self.status = 0
        self.size_bytes = 0
        self.code = ""
        self.seen = seen
        self._state = state
        self._request_id = request_id

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            given = message.get("headers", ())
            message["headers"] = [*given, *self.begin(message["status"], given)]
        await self.send_on(message)

    def begin(self, status: int, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Its head leaves; gives the headers to be added."""
        present = dict(given)
        self._began(status, int(present.get(b"content-length", 0)))
        headers = standing_headers(present, is_strangers="serves_strangers_bytes" in self._state)
        if b"x-request-id" not in present:
            headers.append((b"x-request-id", self._request_id.encode("ascii")))
        return headers

    def lines_of(self, response: Response) -> bytes:
        """Its head leaves; gives all of its headers, as they leave.

        Raises:
            RuntimeError: one holds what none may.
        """
        told: Told | None = getattr(response, "told", None)
        if told is None:
            given = response.raw_headers
            return header_lines([*given, *self.begin(response.status_code, given)])
        self._began(response.status_code, told.size_bytes)
        return b"%bx-request-id: %b\r\n" % (told.lines, self._request_id.encode("ascii"))

    def _began(self, status: int, size_bytes: int) -> None:
        self.status = status
        self.size_bytes = size_bytes
        self.seen.began(status)


def _body_at_hand(response: Response, scope: Scope) -> bytes | tuple[int, Iterable[Piece]] | None:
    at_hand = getattr(response, "at_hand", None)
    body: bytes | tuple[int, Iterable[Piece]] | None = None if at_hand is None else at_hand(scope)
    return body


def _break_off(scope: Scope) -> None:
    """An answer that failed half-way ends the connection, so that the client sees it as incomplete."""
    exchange = scope.get("headwater.exchange")
    if exchange is not None:
        exchange.abort()


def _request_id(scope: Scope) -> str:
    if b"x-request-id" in asked_names(scope):
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value.decode("latin-1")):
                return str(value, "latin-1")
    return f"{random.getrandbits(64):016x}"


def _checked_path(scope: Scope) -> str:
    """The path as it came, still quoted. What could be read in two ways is refused, never tidied.

    Raises:
        BadAddress: empty or dot segments, control characters, backslashes, or bytes that are not UTF-8, quoted or not; a
            NUL in what follows it, which no database keeps.
    """
    if b"%00" in scope.get("query_string", b""):
        raise BadAddress("its query holds control characters")
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if _PLAIN_PATH.fullmatch(raw):
        return raw.decode("ascii")
    plain = unquote_to_bytes(raw)
    if _CONTROL.search(plain):
        raise BadAddress("it holds control characters")
    if b"\\" in plain:
        raise BadAddress("it holds a backslash")
    if b"//" in raw:
        raise BadAddress("it has an empty segment (two slashes in a row)")
    if any(segment in (b".", b"..") for segment in plain.split(b"/")):
        raise BadAddress("it has a segment that is '.' or '..'")
    try:
        plain.decode()
    except UnicodeDecodeError:
        raise BadAddress("it is not UTF-8") from None
    if not raw.startswith(b"/") or not raw.isascii():
        raise BadAddress("it must begin with a slash, and be percent-encoded where it is not ASCII")
    return raw.decode("ascii")


def _dialect_of(request: Request) -> str:
    """How to refuse where no route says so: by the look of the path, then by what the client would read."""
    path: str = request.scope["path"]
    if "/info/lfs/" in path:
        return "lfs"
    if path.endswith(("/info/refs", "/git-upload-pack", "/git-receive-pack")):
        return "git"
    if path.startswith("/xet/"):
        return "cas"
    if path.startswith("/api/v1/"):
        return "api"
    if path.startswith("/v1/"):
        return "openai"
    if path.startswith("/api/") or "/resolve/" in path:
        return "hf"
    return "page" if "text/html" in request.headers.get("accept", "") else "api"
