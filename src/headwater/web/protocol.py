"""HTTP/1.1 on uvicorn's parser, with the two things that Python is too slow for taken off the event loop.

*Sending*: a response body given as pieces of files leaves by ``os.sendfile`` on a duplicate of the connection's socket, in a
thread of its own (``web.sending``). *Receiving*: a large request body is handed to the thread that consumes it
(``web.bodies.SocketReader``); afterwards the connection gets a fresh parser, as the old one still waits for that body.

Both are offered only on plain TCP. Extensions in the scope: ``http.response.pathsend`` and ``http.response.zerocopysend`` as
ASGI defines them, ``headwater.pieces`` (our own: ``pieces`` and their ``count``), and ``scope["headwater.exchange"]``.

uvicorn is pinned: this leans on ``HttpToolsProtocol`` and its cycle, which are not public.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any

import httptools
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from headwater.blobs import Extent, Piece
from headwater.kernel.addresses import plain_address
from headwater.web.bodies import SocketReader
from headwater.web.heads import header_lines
from headwater.web.sending import OpenFile, senders
from headwater.web.watch import RECEIVED_BY_LOOP, RECEIVED_BY_THREAD, SENT_BY_LOOP

SMALL_REST_BYTES = 256 * 1024  # an unread body's rest, up to which reading on is better than closing
LINGER_S = 20.0  # how long an unread body is thrown away after the answer, so that the client gets to read the answer
MAX_HEAD_BYTES = 64 * 1024
LEAVE_S = 1.0  # of silence after which a connection of a process that leaves is closed
JOINED_BYTES = 64 * 1024  # a larger body is not copied behind its head
HEAD_S = 30.0  # a request's head must be complete within this
_TOO_LONG = "the request's head is too long"  # raised inside the parser's callback, this ends the connection with 400
_OF_A_BODY = frozenset((b"content-length", b"transfer-encoding", b"expect"))
_EXTENSIONS: dict[str, dict[object, object]] = {
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
    "headwater.pieces": {},
}


class Protocol(HttpToolsProtocol):
    """One connection."""

    is_plain = False
    body_seen = 0
    _context: contextvars.Context
    _in_head = True
    _head_bytes = 0
    _timer: asyncio.TimerHandle | None = None
    _head_since: float | None = None  # since when a request's head is waited for
    _idle_since: float | None = None  # since when the next request is, after an answer
    _keeps_alive = False  # whether the connection stays open after the answer that is being made
    _discarding = False
    is_leaving = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self.client is not None:
            self.client = (plain_address(self.client[0]), self.client[1])
        self.is_plain = self.scheme == "http" and transport.get_extra_info("socket") is not None
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        was_in_head = self._in_head
        super().data_received(data)
        if was_in_head and self._in_head:
            # One endless header is not seen by the callbacks before it ends.
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The request's head is too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.body_seen = self._head_bytes = 0
        self._in_head = True
        self._idle_since = None
        self._expect_head()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._head_bytes += len(url)
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError(_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """As uvicorn's own, which is not called: of all callbacks this one is called most."""
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError(_TOO_LONG)

    def on_headers_complete(self) -> None:
        """As uvicorn's own, but that an answer at hand gets no cycle."""
        self._in_head = False
        self._head_since = None
        scope, version = self.scope, self.parser.get_http_version()
        scope["method"] = self.parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        target = httptools.parse_url(self.url)
        path = target.path.decode("ascii")
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["raw_path"] = target.path
        scope["query_string"] = target.query or b""
        names = scope["headwater.names"] = frozenset([name for name, _ in self.headers])  # type: ignore[typeddict-unknown-key]
        self._keeps_alive = version != "1.0" and self.parser.should_keep_alive()
        before = self.cycle
        if before is not None and not before.response_complete:
            # What is queued would be answered one inside the other, and so is not answered at once.
            self.flow.pause_reading()
            self.pipeline.appendleft((self._begin_cycle(), self.app))
            return
        if self.is_leaving:
            self._keeps_alive = False
        context = contextvars.copy_context()
        at_once = getattr(self.app, "at_once", None)
        if at_once is not None and not self.flow.write_paused and _OF_A_BODY.isdisjoint(names):
            self._context = context
            if context.run(at_once, scope, self):
                return
        self._run_task(self._begin_cycle(), self.app, context)

    def _begin_cycle(self) -> RequestResponseCycle:
        cycle = self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self._keeps_alive,
            on_response=self.on_response_complete,
        )
        return cycle

    def on_body(self, body: bytes) -> None:
        self.body_seen += len(body)
        RECEIVED_BY_LOOP.add_alone(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.cycle is not None:  # one that was answered at once has none
            super().on_message_complete()

    # ---- answers at hand, inside the parser's callback for the request's head

    @property
    def takes_pieces(self) -> bool:
        """Whether pieces could be sent now: on plain TCP, and where nothing of an earlier answer is still to leave."""
        return self.is_plain and not self.transport.get_write_buffer_size() and not self.transport.is_closing()

    def send_whole(self, status: int, lines: bytes, body: bytes) -> None:
        """See ``web.app.Connection``; in one write."""
        if self.scope["method"] == "HEAD":
            body = b""
        SENT_BY_LOOP.add_alone(len(body))
        self.transport.write(self._head(status, lines) + body)
        if not self._keeps_alive:
            self.transport.close()
        self.on_response_complete()

    def send_pieces(
        self, status: int, lines: bytes, pieces: Iterable[Piece], count: int, ended: Callable[[], None]
    ) -> None:
        """See ``web.app.Connection``."""
        cycle = self._begin_cycle()  # something is under way, and whoever looks shall see it
        cycle.more_body, cycle.response_started = False, True
        context = self._context

        def end(exc: Exception | None) -> None:
            if exc is not None:  # the client has gone, or reads nothing
                self.transport.abort()
            cycle.response_complete = True
            try:
                context.run(ended)
            finally:
                if not cycle.keep_alive:
                    self.transport.close()
                self.on_response_complete()

        self.flow.pause_reading()  # while the socket may block, the loop keeps off it
        senders().start(self.socket_fd(), pieces, count, self._head(status, lines), end)

    def _head(self, status: int, lines: bytes) -> bytes:
        end = b"\r\n" if self._keeps_alive else b"connection: close\r\n\r\n"
        return b"".join((STATUS_LINE[status], _date_lines(self.server_state.default_headers), lines, end))

    def socket_fd(self) -> int:
        fd: int = self.transport.get_extra_info("socket").fileno()
        return fd

    # ---- time

    def on_response_complete(self) -> None:
        """As uvicorn's own, without a timer for each."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()
            self._watch_time()

    def _expect_head(self) -> None:
        if self._head_since is None:
            self._head_since = self.loop.time()
        self._watch_time()

    def _watch_time(self) -> None:
        # The timer is not set anew for each request, but looks now and then what is waited for.
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_S, self._look_at_time)

    def _look_at_time(self) -> None:
        self._timer = None
        now = self.loop.time()
        if self.transport.is_closing():
            return
        if self._head_since is not None:
            if self.flow.read_paused:
                self._head_since = now  # a pipelined request waits for us, not we for it
            left = self._head_since + HEAD_S - now
        elif self._idle_since is not None:
            left = self._idle_since + self.timeout_keep_alive - now
        else:
            return
        if left > 0.001:
            # Not later than this: a head may begin meanwhile.
            self._timer = self.loop.call_later(min(left, HEAD_S), self._look_at_time)
        else:
            self.transport.close()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- all other answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self.is_leaving and cycle is self.cycle:
            cycle.keep_alive = False
        self._run_task(cycle, app, contextvars.copy_context())

    def _run_task(self, cycle: RequestResponseCycle, app: Any, context: contextvars.Context) -> None:
        exchange = Exchange(self, cycle, app)
        task = self.loop.create_task(cycle.run_asgi(exchange), context=context)  # type: ignore[arg-type]
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def leave(self) -> None:
        """The process has a successor: answer what comes on this connection once more, with word that it ends.

        Closing it at once would cut off a client that is just sending its next request.
        """
        self.is_leaving = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(LEAVE_S, self._leave_if_silent)

    def _leave_if_silent(self) -> None:
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()

    def discard_rest(self) -> None:
        """Throw away what still comes of an unread body, and close soon."""
        self._discarding = True
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def fresh_parser(self) -> None:
        """Begin anew after a body that this parser has not seen."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)


class Exchange:
    """One request and its answer on a connection: the ASGI application as uvicorn's cycle sees it."""

    def __init__(self, protocol: Protocol, cycle: RequestResponseCycle, app: ASGIApp) -> None:
        self.protocol = protocol
        self.cycle = cycle
        self.app = app
        self.taken: SocketReader | None = None
        self._came_before = 0  # the taken body's first bytes, which the loop had received
        self._closes_late = False
        self._head = b""  # of the answer, until it leaves with the first of its body
        cycle.scope["headwater.exchange"] = self  # type: ignore[typeddict-unknown-key]
        if protocol.is_plain:
            cycle.scope["extensions"] = _EXTENSIONS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, self.send)
        finally:
            del scope["headwater.exchange"]  # which leads back here: no work for the garbage collector
            if self.taken is not None:
                RECEIVED_BY_THREAD.add_alone(self.taken.received - self._came_before)

    # ---- sending

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self._settle_body()
            await self._begin(message["status"], message.get("headers", ()))
        elif kind == "headwater.pieces":
            await self._send_pieces(message["pieces"], message["count"], more_body=False)
        elif kind == "http.response.pathsend":
            size = os.stat(message["path"]).st_size
            await self._send_pieces([Extent(message["path"], 0, size)], size, more_body=False)
        elif kind == "http.response.zerocopysend":
            file, offset = message["file"], message.get("offset") or 0
            count = message.get("count")
            if count is None:
                count = os.fstat(file.fileno()).st_size - offset
            piece = OpenFile(file.fileno(), offset, count)
            await self._send_pieces([piece], count, more_body=message.get("more_body", False))
        else:
            body = message.get("body")
            if body and self.cycle.scope["method"] != "HEAD":
                SENT_BY_LOOP.add_alone(len(body))
            await self._send_body(message)

    async def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """As uvicorn's cycle begins an answer, but that its head waits for the first of its body, to leave in one write."""
        cycle = self.cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        if cycle.response_started:
            raise RuntimeError("an answer was begun twice")
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        self._head = self._head_of(status, headers)

    def _head_of(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        cycle = self.cycle
        pairs = [*cycle.default_headers, *headers]
        lines = [STATUS_LINE[status], header_lines(pairs)]
        said, says_close = dict(pairs), False
        if cycle.chunked_encoding is None and b"content-length" in said:
            cycle.expected_content_length = int(said[b"content-length"])
            cycle.chunked_encoding = False
        if said.get(b"transfer-encoding", b"").lower() == b"chunked":
            cycle.expected_content_length = 0
            cycle.chunked_encoding = True
        if b"close" in [token.lower().strip() for token in said.get(b"connection", b"").split(b",")]:
            cycle.keep_alive = False
            says_close = True
        if not cycle.keep_alive and not says_close:
            lines.append(b"connection: close\r\n")
        if cycle.chunked_encoding is None and cycle.scope["method"] != "HEAD" and status not in (204, 304):
            cycle.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    async def _send_body(self, message: Message) -> None:
        head, cycle = self._head, self.cycle
        if head and not cycle.disconnected:
            self._head = b""
            body = message.get("body", b"")
            if (
                cycle.chunked_encoding
                or len(body) > JOINED_BYTES
                or len(body) != cycle.expected_content_length
                or cycle.scope["method"] == "HEAD"
            ):
                cycle.transport.write(head)
            else:
                cycle.transport.write(head + body)
                cycle.expected_content_length = 0
                message = {**message, "body": b""}
        if self._closes_late and not message.get("more_body", False):
            # uvicorn would close at once, and the client's unread bytes would turn that into a reset that swallows the answer.
            self.cycle.keep_alive = True
            await self.cycle.send(message)  # type: ignore[arg-type]
            self.protocol.discard_rest()
        else:
            await self.cycle.send(message)  # type: ignore[arg-type]

    async def _send_pieces(self, pieces: Iterable[Piece | OpenFile], count: int, *, more_body: bool) -> None:
        cycle = self.cycle
        if not cycle.response_started or cycle.chunked_encoding:
            raise RuntimeError("pieces need a started response with a Content-Length")
        if cycle.disconnected or cycle.response_complete:
            return
        if cycle.scope["method"] != "HEAD" and count:
            if count > cycle.expected_content_length:
                raise RuntimeError("Response content longer than Content-Length")
            await self._flush()
            head, self._head = self._head, b""
            if cycle.disconnected or self.protocol.transport.is_closing():
                return
            flow = self.protocol.flow
            was_paused = flow.read_paused
            flow.pause_reading()  # while the socket may block, the loop keeps off it
            try:
                await senders().send(self.protocol.socket_fd(), pieces, count, head)
            except asyncio.CancelledError:
                self.abort()
                raise
            except OSError:
                self.abort()  # the client has gone, or reads nothing
                return
            if not was_paused:
                flow.resume_reading()
            cycle.expected_content_length -= count
        await self._send_body({"type": "http.response.body", "body": b"", "more_body": more_body})

    async def _flush(self) -> None:
        """Wait until what the transport still holds of earlier answers has left: pieces go past it."""
        transport = self.protocol.transport
        if not transport.get_write_buffer_size():
            return
        await asyncio.sleep(0)  # uvloop writes at the end of an iteration
        if not transport.get_write_buffer_size():
            return
        transport.set_write_buffer_limits(0)
        try:
            while transport.get_write_buffer_size() and not self.cycle.disconnected and not transport.is_closing():
                await self.protocol.flow.drain()
                await asyncio.sleep(0)
        finally:
            transport.set_write_buffer_limits()

    def abort(self) -> None:
        """End the connection at once, whatever is under way."""
        self.protocol.transport.abort()

    # ---- receiving

    @property
    def received_bytes(self) -> int:
        """Of this request's body so far."""
        return self.protocol.body_seen if self.taken is None else self.taken.received

    def take_body(self, size_bytes: int) -> SocketReader | None:
        """Stop the loop's reading and hand out the socket; None where that cannot be, or is not worth it."""
        protocol, cycle = self.protocol, self.cycle
        left = size_bytes - protocol.body_seen
        if not protocol.is_plain or protocol.cycle is not cycle or not cycle.more_body or left <= 0:
            return None
        if len(cycle.body) != protocol.body_seen or protocol.transport.is_closing():
            return None
        protocol.flow.pause_reading()
        if cycle.waiting_for_100_continue:
            cycle.waiting_for_100_continue = False
            protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        sock = socket.socket(fileno=os.dup(self.protocol.socket_fd()))
        self._came_before = len(cycle.body)
        self.taken = SocketReader(sock, bytes(cycle.body), size_bytes)
        cycle.body = bytearray()
        return self.taken

    def give_back(self) -> None:
        """The consumer is done: go on with the next request, or give the connection up if bytes were left unread."""
        protocol, cycle = self.protocol, self.cycle
        if self.taken is None or protocol.transport.is_closing():
            return
        if self.taken.left == 0:
            protocol.fresh_parser()
            cycle.more_body = False
            protocol.flow.resume_reading()

    def _settle_body(self) -> None:
        """Before the answer's head: if much of the body is still to come, this connection ends with this answer."""
        cycle, protocol = self.cycle, self.protocol
        if not cycle.more_body or protocol.cycle is not cycle or cycle.disconnected:
            return
        length = next((int(value) for name, value in cycle.scope["headers"] if name == b"content-length"), None)
        left = None if length is None else length - protocol.body_seen
        if self.taken is not None or cycle.waiting_for_100_continue or left is None or left > SMALL_REST_BYTES:
            cycle.keep_alive = False
            self._closes_late = True


_dated: tuple[list[tuple[bytes, bytes]], bytes] = [], b""


def _date_lines(headers: list[tuple[bytes, bytes]]) -> bytes:
    """The headers that uvicorn makes anew each second, as they leave."""
    global _dated  # noqa: PLW0603
    if _dated[0] is not headers:
        _dated = headers, header_lines(headers)
    return _dated[1]
