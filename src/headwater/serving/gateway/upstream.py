"""HTTP/1.1 to an engine: small on purpose, because each token of each stream passes through it.

A connection is an asyncio protocol around httptools' parser; what came in one read is given on in one piece. Connections are
kept and used again while the engine stays at its address.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import httptools

from headwater.serving.errors import EngineGone

CONNECT_S = 5.0
MOST_IDLE = 16  # connections that are kept to each engine
HIGH_WATER_BYTES = 256 * 1024  # not read on, while so much waits for a client that reads slowly


class Broken(Exception):
    """The engine could not be reached, or its connection ended before any of the answer came.

    ``was_asked``: whether it may have begun with the request, which then may be what has ended it.
    """

    was_asked = False


class Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.is_lost = self._keeps = False
        self._moved = self._stall_s = 0.0
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self._has_head = False
        self.is_complete = False
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self._is_paused = False
        self._why: str | None = None

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._wake()

    def data_received(self, data: bytes) -> None:
        self._moved = self._loop.time()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._give_up("what it sent is not HTTP")
            return
        if self._waiting_bytes > HIGH_WATER_BYTES and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ---- the parser's side

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._keeps = self._parser.should_keep_alive()
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._waiting_bytes += len(body)

    def on_message_complete(self) -> None:
        self.is_complete = True

    # ---- the gateway's side

    @property
    def is_reusable(self) -> bool:
        return self.is_complete and self._keeps and not self.is_lost and self._why is None

    async def ask(self, head: bytes, body: bytes, stall_s: float) -> None:
        """Send a request and wait for the head of its answer.

        Raises:
            Broken: the connection ended first. EngineGone: nothing came in time.
        """
        self._begin()
        self._moved = self._loop.time()
        self._stall_s = stall_s
        if self.is_lost or self._transport is None:
            raise Broken
        self._watch()
        self._transport.write(head + body)
        while not self._has_head:
            if self.is_lost:
                if self._why is not None:
                    raise EngineGone(self._why)
                raise Broken
            await self._wait()

    async def read(self) -> bytes:
        """The next of the body; b"" at its end.

        Raises:
            EngineGone: the rest will not come.
        """
        while not self._pieces:
            if self.is_complete:
                self._unwatch()
                return b""
            if self.is_lost:
                self._unwatch()
                raise EngineGone(self._why or "its process ended")
            await self._wait()
        pieces, self._pieces, self._waiting_bytes = self._pieces, [], 0
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def abort(self) -> None:
        """Let go at once: the engine notices, and stops what it does for this request."""
        self._unwatch()
        self.is_lost = True
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def close(self) -> None:
        self._unwatch()
        self.is_lost = True
        if self._transport is not None:
            self._transport.close()

    def _give_up(self, why: str) -> None:
        self._why = why
        self.abort()

    def _watch(self) -> None:
        """One timer an answer, which looks now and then, and is not set anew with each token."""
        self._timer = self._loop.call_later(self._stall_s, self._look)

    def _look(self) -> None:
        left = self._moved + self._stall_s - self._loop.time()
        if left > 0.001 or self._is_paused:
            self._timer = self._loop.call_later(max(left, 1.0), self._look)
        else:
            self._timer = None
            self._give_up(f"it sent nothing for {self._stall_s:.0f} seconds")

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Upstream:
    """A site part of each web worker: connections to engines by their address."""

    def __init__(self) -> None:
        self._idle: dict[str, list[Connection]] = {}

    async def ask(
        self,
        address: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        stall_s: float,
        holds: Callable[[Connection], None],
    ) -> Connection:
        """Send a request; the answer's head has come. Give the connection back with ``done``.

        ``holds`` is told of each connection before it is tried, so that it can be let go while the answer is waited for; what it
        raises ends the asking.

        Raises:
            Broken: nothing of an answer came. EngineGone
        """
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {path} HTTP/1.1\r\nHost: {address}\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode()
        idle = self._idle.get(address, [])
        was_asked = False
        while idle:
            connection = idle.pop()
            if connection.is_lost:
                continue
            holds(connection)
            try:
                await connection.ask(head, body, stall_s)
            except Broken:  # closed by the engine just now; a new one tells whether it is there
                was_asked = True
                continue
            except BaseException:
                connection.abort()
                raise
            return connection
        try:
            connection = await self._connect(address)
            was_asked = True
            holds(connection)
            try:
                await connection.ask(head, body, stall_s)
            except BaseException:
                connection.abort()
                raise
        except Broken as broken:
            broken.was_asked = was_asked
            raise
        return connection

    async def _connect(self, address: str) -> Connection:
        host, _, port = address.rpartition(":")
        try:
            async with asyncio.timeout(CONNECT_S):
                _, made = await asyncio.get_running_loop().create_connection(Connection, host.strip("[]"), int(port))
        except (OSError, TimeoutError) as exc:
            raise Broken from exc
        return made

    def done(self, address: str, connection: Connection) -> None:
        """The answer was read whole, or will not be."""
        if not connection.is_reusable:
            connection.abort()
            return
        if address not in self._idle and len(self._idle) >= 64:
            self.close()  # addresses of engines that are no more
        idle = self._idle.setdefault(address, [])
        if len(idle) < MOST_IDLE:
            idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()


async def read_whole(connection: Connection, limit_bytes: int) -> bytes:
    """The whole body.

    Raises:
        EngineGone: it did not come whole, or is longer than ``limit_bytes``.
    """
    parts, total = [], 0
    async for piece in iter_body(connection):
        total += len(piece)
        if total > limit_bytes:
            raise EngineGone(f"its answer is longer than {limit_bytes} bytes")
        parts.append(piece)
    return b"".join(parts)


async def iter_body(connection: Connection) -> AsyncIterator[bytes]:
    while piece := await connection.read():
        yield piece


__all__ = ["Broken", "Connection", "Upstream", "iter_body", "read_whole"]
