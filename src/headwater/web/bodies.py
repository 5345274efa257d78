"""Request bodies: small ones as bytes, large ones as a reader that a thread pulls from.

A large body does not pass through the event loop: the protocol (``web.protocol``) stops the loop's reading, and the
thread that consumes the body receives into its own buffer straight from the socket. Where that is not possible (TLS,
chunked bodies, another server) the same reader is fed by ASGI events. How much a peer may dawdle is bounded either way.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from starlette.requests import Request
from starlette.types import Receive

from headwater.web.refusals import BadAddress, BadEncoding, BodyTooLarge, BodyTooSlow, BodyTruncated
from headwater.web.threads import run_in

T = TypeVar("T")

SMALL_BYTES = 256 * 1024  # at most this much is gathered on the loop and handed over whole
IDLE_S = 30.0  # nothing at all for so long ends the body
GRACE_S = 60.0  # after which a body must have kept the least rate
LEAST_RATE = 1024  # bytes a second, averaged over the whole body
LOW_WATER_BYTES = 256 * 1024  # the kernel wakes the thread when so much has come
POLL_S = 0.5


class BodyReader(Protocol):
    """What a consumer sees. ``size_bytes`` is what the sender announced, None for chunked or encoded bodies."""

    @property
    def size_bytes(self) -> int | None: ...

    def read_into(self, window: memoryview) -> int:
        """Fill the window from its start with at least one byte; 0 at the end of the body.

        Raises:
            BodyTruncated, BodyTooSlow, BodyTooLarge, BadEncoding: the rest will not come.
        """
        ...

    def read(self, n: int = -1) -> bytes:
        """Up to ``n`` bytes, fewer only at the end; all that is left when ``n`` is negative."""
        ...


class _Reading(ABC):
    """``read`` on top of ``read_into``, and the bound on the whole; shared by every reader."""

    size_bytes: int | None = None

    @abstractmethod
    def read_into(self, window: memoryview) -> int:
        """As ``BodyReader`` says."""

    def read(self, n: int = -1) -> bytes:
        parts = bytearray()
        while n < 0 or len(parts) < n:
            step = (1 << 16) if n < 0 else min(n - len(parts), 1 << 20)
            at = len(parts)
            parts.extend(bytes(step))
            with memoryview(parts) as whole, whole[at : at + step] as window:
                got = self.read_into(window)
            del parts[at + got :]
            if got == 0:
                break
        return bytes(parts)


class _Pace:
    """Says when a body is too slow; the clock starts when somebody first waits for it."""

    def __init__(self) -> None:
        self.started = self.last = 0.0

    def moved(self) -> None:
        self.last = time.monotonic()

    def check(self, received: int) -> None:
        now = time.monotonic()
        if not self.started:
            self.started = self.last = now
        running = now - self.started
        if now - self.last > IDLE_S or (running > GRACE_S and received < running * LEAST_RATE):
            raise BodyTooSlow(received)


class SocketReader(_Reading):
    """Receives from a duplicate of the connection's socket; ``first`` is what the parser had already seen.

    Belongs to one consuming thread; ``stop`` may be called from any.
    """

    def __init__(self, sock: socket.socket, first: bytes, size_bytes: int) -> None:
        self.size_bytes: int = size_bytes
        self.received = len(first)
        self._sock = sock
        sock.setblocking(False)
        self._first = memoryview(first)
        self._pace = _Pace()
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN)
        self._low_water = 1
        self._stopped = False

    @property
    def left(self) -> int:
        """Bytes that have not yet been taken from the socket."""
        return self.size_bytes - self.received

    def read_into(self, window: memoryview) -> int:
        if self._first:
            got = min(len(self._first), len(window))
            window[:got] = self._first[:got]
            self._first = self._first[got:]
            return got
        if not self.left:
            return 0
        want = min(self.left, len(window))
        self._wait_for(min(want, LOW_WATER_BYTES))
        while True:
            try:
                got = self._sock.recv_into(window, want)
            except BlockingIOError:
                self._pace.check(self.received)
                self._poll.poll(POLL_S * 1000)
                if self._stopped:
                    raise BodyTruncated(self.received, self.size_bytes) from None
                continue
            except OSError as exc:
                raise BodyTruncated(self.received, self.size_bytes) from exc
            if not got:
                raise BodyTruncated(self.received, self.size_bytes)
            self.received += got
            self._pace.moved()
            return got

    def _wait_for(self, n_bytes: int) -> None:
        """Let the kernel gather: one wake-up for much, not many for little. Less may have come when this returns."""
        if n_bytes != self._low_water:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, n_bytes)
            self._low_water = n_bytes
        self._poll.poll(POLL_S * 1000)
        if self._stopped:
            raise BodyTruncated(self.received, self.size_bytes)

    def stop(self) -> None:
        """Make the consumer's next read fail; for a request that is given up."""
        self._stopped = True

    def close(self) -> None:
        """Give the socket back as it was."""
        with contextlib.suppress(OSError):  # the peer may be gone
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self._sock.close()


class EventReader(_Reading):
    """Pulls ASGI body events into the consuming thread, one at a time, so that the loop holds at most one."""

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop, size_bytes: int | None) -> None:
        self.size_bytes = size_bytes
        self.received = 0
        self._receive = receive
        self._loop = loop
        self._rest = memoryview(b"")
        self._more = True
        self._pace = _Pace()
        self._stopped = False

    def read_into(self, window: memoryview) -> int:
        while not self._rest:
            if not self._more:
                return 0
            self._next_event()
        got = min(len(self._rest), len(window))
        window[:got] = self._rest[:got]
        self._rest = self._rest[got:]
        return got

    def _next_event(self) -> None:
        waiting = asyncio.run_coroutine_threadsafe(_one_event(self._receive), self._loop)
        while True:
            try:
                event = waiting.result(timeout=POLL_S)
                break
            except TimeoutError:
                try:
                    if self._stopped:
                        raise BodyTruncated(self.received, self.size_bytes) from None
                    self._pace.check(self.received)
                except BaseException:
                    waiting.cancel()
                    raise
        if event["type"] == "http.disconnect":
            raise BodyTruncated(self.received, self.size_bytes)
        body = event.get("body", b"")
        self._more = event.get("more_body", False)
        self._rest = memoryview(body)
        self.received += len(body)
        if body:
            self._pace.moved()

    def stop(self) -> None:
        self._stopped = True


async def _one_event(receive: Receive) -> Any:
    return await receive()


class _Whole(_Reading):
    """A body already in memory."""

    def __init__(self, data: bytes) -> None:
        self.size_bytes = len(data)
        self._rest = memoryview(data)

    def read_into(self, window: memoryview) -> int:
        got = min(len(self._rest), len(window))
        window[:got] = self._rest[:got]
        self._rest = self._rest[got:]
        return got

    def read(self, n: int = -1) -> bytes:
        """Without room for all that might come: most bodies are much smaller than what is asked for."""
        got = bytes(self._rest if n < 0 else self._rest[:n])
        self._rest = self._rest[len(got) :]
        return got


class _Unzipped(_Reading):
    """gzip undone on the way, in bounded steps: a bomb is only as large as what the consumer takes."""

    def __init__(self, inner: BodyReader) -> None:
        self._inner = inner
        self._window = bytearray(1 << 16)
        self._unzip = zlib.decompressobj(wbits=31)
        self._pending = b""

    def read_into(self, window: memoryview) -> int:
        while True:
            if self._unzip.eof:
                return self._after_member(window)
            if not self._pending:
                got = self._inner.read_into(memoryview(self._window))
                if not got:
                    raise BodyTruncated(len(self._window), None)
                self._pending = bytes(self._window[:got])
            try:
                out = self._unzip.decompress(self._pending, len(window))
            except zlib.error as exc:
                raise BadEncoding("gzip") from exc
            self._pending = self._unzip.unconsumed_tail
            if out:
                window[: len(out)] = out
                return len(out)

    def _after_member(self, window: memoryview) -> int:
        """A gzip stream may be several members one after another; anything else after the end is refused."""
        rest = self._unzip.unused_data
        if not rest:
            got = self._inner.read_into(memoryview(self._window))
            if not got:
                return 0
            rest = bytes(self._window[:got])
        self._unzip = zlib.decompressobj(wbits=31)
        self._pending = rest
        return self.read_into(window)


class _Bounded(_Reading):
    """Refuses the byte after ``limit_bytes``."""

    def __init__(self, inner: BodyReader, limit_bytes: int) -> None:
        self.size_bytes = inner.size_bytes
        self._inner = inner
        self._limit = limit_bytes
        self._taken = 0

    def read_into(self, window: memoryview) -> int:
        got = self._inner.read_into(window)
        self._take(got)
        return got

    def read(self, n: int = -1) -> bytes:
        most = self._limit - self._taken + 1
        got = self._inner.read(most if n < 0 else min(n, most))
        self._take(len(got))
        return got

    def _take(self, n_bytes: int) -> None:
        self._taken += n_bytes
        if self._taken > self._limit:
            raise BodyTooLarge(self._limit)


def announced_size(request: Request) -> int | None:
    """Content-Length, or None for a chunked body; a request without either has no body."""
    text: bytes | None = None
    for name, value in request.scope["headers"]:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length" and text is None:
            text = value
    if text is None:
        return 0
    if not text.isdigit():
        raise BadAddress("its Content-Length is not a number")
    return int(text)


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """A small body, whole.

    Raises:
        BodyTooLarge: it is announced, or turns out, longer than ``limit_bytes``.
        BodyTooSlow, BodyTruncated: it did not come whole.
    """
    kept: bytes | None = getattr(request.state, "form_body", None)
    if kept is not None:  # a signed-in browser's form, read when its origin was checked
        return kept
    size = announced_size(request)
    if size is not None and size > limit_bytes:
        raise BodyTooLarge(limit_bytes)
    parts, total, pace = [], 0, _Pace()
    while True:
        try:
            async with asyncio.timeout(IDLE_S):  # no task of its own, as ``wait_for`` makes
                event = await request.receive()
        except TimeoutError:
            raise BodyTooSlow(total) from None
        if event["type"] == "http.disconnect":
            raise BodyTruncated(total, size)
        body = event.get("body", b"")
        total += len(body)
        if total > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        parts.append(body)
        if not event.get("more_body", False):
            return b"".join(parts)
        pace.check(total)
        if body:
            pace.moved()


async def receive_body(
    request: Request, consume: Callable[[BodyReader], T], *, limit_bytes: int | None = None, decode: bool = False
) -> T:
    """Run ``consume(reader)`` in a thread of its own and return what it returns.

    What ``consume`` leaves unread is thrown away, and the connection closed if that would be much.

    Args:
        limit_bytes: of what the consumer sees, after decoding.
        decode: undo ``Content-Encoding: gzip``; without it such a body is refused.

    Raises:
        BodyTruncated, BodyTooSlow, BodyTooLarge, BadEncoding: the body did not come as it should.
    """
    size = announced_size(request)
    encoding = request.headers.get("content-encoding", "identity").lower()
    is_zipped = encoding in ("gzip", "x-gzip")
    if encoding != "identity" and not (is_zipped and decode):
        raise BadEncoding(encoding)
    if limit_bytes is not None and size is not None and size > limit_bytes and not is_zipped:
        raise BodyTooLarge(limit_bytes)

    def run(reader: BodyReader) -> T:
        if is_zipped:
            reader = _Unzipped(reader)
        return consume(reader if limit_bytes is None else _Bounded(reader, limit_bytes))

    if size is not None and size <= SMALL_BYTES:
        return await run_in("body", run, _Whole(await read_body(request, SMALL_BYTES)))
    exchange: Any = request.scope.get("headwater.exchange")
    taken: SocketReader | None = None if exchange is None or size is None else exchange.take_body(size)
    if taken is None:
        events = EventReader(request.receive, asyncio.get_running_loop(), size)
        try:
            return await run_in("body", run, events)
        except asyncio.CancelledError:
            events.stop()
            raise

    def run_and_close(reader: SocketReader) -> T:
        try:
            return run(reader)
        finally:
            reader.close()

    try:
        result = await run_in("body", run_and_close, taken)
    except asyncio.CancelledError:
        taken.stop()
        exchange.abort()
        raise
    except BaseException:
        exchange.give_back()
        raise
    exchange.give_back()
    return result
