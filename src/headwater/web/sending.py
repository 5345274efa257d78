"""Pieces of files to sockets by ``sendfile``, none of the bytes in Python.

A large answer has a thread of its own, where one blocking call moves many megabytes and the kernel does all the waiting,
for as long as its reader is fast. All others share two threads that wait for many connections by ``epoll``: a thousand slow
readers cost two threads. One that proves fast there moves over.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import itertools
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from headwater.blobs import Extent, Piece
from headwater.web.watch import SENT_BY_KERNEL

N_THREADS = 2
CALL_BYTES = 1 << 20  # at most so much in one system call
TURN_BYTES = 8 << 20  # and so much for one connection before the next has its turn
IDLE_S = 60.0  # a peer that takes nothing for so long is given up

MAX_FAST = 16  # answers with a thread of their own, in one process
PROOF_BYTES = 4 << 20  # sent before a reader can be called fast
FAST_RATE = 16 << 20  # bytes a second
WORTH_BYTES = 8 << 20  # left to send: less is over before a thread has started
FAST_CALL_BYTES = 64 << 20
STALL_S = 1  # a blocking call that moves nothing for so long ends
FAST_BUFFER_BYTES = (
    4 << 20
)  # asked of the kernel, which doubles it; no memory is filled by it, files' pages are only named


@dataclass(frozen=True)
class OpenFile:
    """Bytes of a file that the caller has open and keeps so."""

    fd: int
    offset: int
    count: int


class _Job:
    """One answer on its way out. Belongs to one sender thread once handed over."""

    def __init__(
        self,
        sock: socket.socket,
        head: bytes,
        pieces: Iterable[Piece | OpenFile],
        count: int,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[Exception | None], None],
    ) -> None:
        self.sock = sock
        self.count = self.left = count + len(head)
        self._body_bytes = count
        self.started = self.last = time.monotonic()
        self.loop = loop
        self._ended = ended
        self.cancelled = False
        self._pieces: Iterator[Piece | OpenFile] = iter(pieces)
        self._literal = memoryview(head)
        self._fd = -1
        self._offset = 0
        self._run_left = 0
        self._own_path: Path | None = None
        self._own_fd = -1
        self._closing = threading.Lock()

    def push(self) -> bool:
        """Send until the socket is full or the turn is over; True when everything has left.

        Raises:
            OSError: the peer has gone, or a file is not what its record says.
        """
        turn = TURN_BYTES
        while self.left and turn > 0:
            if not self._literal and not self._run_left:
                self._next_piece()
                continue
            try:
                sent, wanted = self._send_literal() if self._literal else self._send_run(CALL_BYTES)
            except BlockingIOError:
                return False
            self.left -= sent
            turn -= sent
            self.last = time.monotonic()
            if sent < wanted:
                return False  # the socket is full: epoll says when it is not
        return not self.left

    @property
    def is_worth_a_thread(self) -> bool:
        sent = self.count - self.left
        return self.left >= WORTH_BYTES and sent >= PROOF_BYTES and sent >= FAST_RATE * (self.last - self.started)

    def push_blocking(self) -> bool:
        """Send, waiting in the kernel; True when everything has left, False when the peer is no longer fast.

        Raises:
            OSError: the peer has gone, or a file is not what its record says.
        """
        fd = self.sock.fileno()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", STALL_S, 0))
        if 2 * min(FAST_BUFFER_BYTES, _most_buffer()) > self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, FAST_BUFFER_BYTES)
        os.set_blocking(fd, True)
        try:
            since, left_then = time.monotonic(), self.left
            while self.left:
                if not self._literal and not self._run_left:
                    self._next_piece()
                    continue
                try:
                    sent, wanted = self._send_literal() if self._literal else self._send_run(FAST_CALL_BYTES)
                except BlockingIOError:
                    return False
                self.left -= sent
                self.last = time.monotonic()
                if sent < wanted:
                    return not self.left
                if self.last - since > 1:
                    if left_then - self.left < FAST_RATE * (self.last - since):
                        return not self.left
                    since, left_then = self.last, self.left
            return True
        finally:
            os.set_blocking(fd, False)

    def _send_literal(self) -> tuple[int, int]:
        wanted = len(self._literal)
        flags = socket.MSG_MORE if self.left > wanted else 0
        sent = self.sock.send(self._literal, flags)
        self._literal = self._literal[sent:]
        return sent, wanted

    def _send_run(self, most: int) -> tuple[int, int]:
        wanted = min(self._run_left, self.left, most)
        sent = os.sendfile(self.sock.fileno(), self._fd, self._offset, wanted)
        if sent == 0:
            raise OSError(errno.EIO, "a file is shorter than its record says")
        self._offset += sent
        self._run_left -= sent
        return sent, wanted

    def _next_piece(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise OSError(errno.EIO, "the pieces are fewer than was announced")
        if isinstance(piece, bytes):
            self._literal = memoryview(piece)
            return
        if isinstance(piece, Extent):
            if piece.path != self._own_path:
                self._close_file()
                self._own_fd = os.open(piece.path, os.O_RDONLY | os.O_CLOEXEC)
                self._own_path = piece.path
            self._fd = self._own_fd
        else:
            self._fd = piece.fd
        self._offset, self._run_left = piece.offset, piece.count

    def _close_file(self) -> None:
        if self._own_fd >= 0:
            os.close(self._own_fd)
            self._own_fd, self._own_path = -1, None

    def cancel(self) -> None:
        """From any thread: whatever it waits in ends soon."""
        self.cancelled = True
        with self._closing, contextlib.suppress(OSError):  # closed already
            self.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._close_file()
        with self._closing:
            self.sock.close()

    def finish(self, exc: Exception | None) -> None:
        """Close, and tell the request that waits."""
        self.close()
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits
            self.loop.call_soon_threadsafe(self._tell, exc)

    def _tell(self, exc: Exception | None) -> None:
        SENT_BY_KERNEL.add_alone(max(0, self._body_bytes - self.left))
        self._ended(exc)


@functools.cache
def _most_buffer() -> int:
    """What the kernel grants at most."""
    try:
        return int(Path("/proc/sys/net/core/wmem_max").read_text())
    except (OSError, ValueError):
        return 0


class _FastThreads:
    """Threads for one job each, as many as there are slots."""

    def __init__(self) -> None:
        self._slots = threading.BoundedSemaphore(MAX_FAST)
        self._pool = ThreadPoolExecutor(MAX_FAST, thread_name_prefix="fast-sender")

    def may_take(self) -> bool:
        """Whether a slot was free; it is now the caller's, for ``take``."""
        return self._slots.acquire(blocking=False)

    def take(self, job: _Job, give_back: Callable[[_Job], None]) -> None:
        """Send in a thread; ``give_back`` gets a job whose reader has become slow."""
        self._pool.submit(self._run, job, give_back)

    def _run(self, job: _Job, give_back: Callable[[_Job], None]) -> None:
        try:
            if job.push_blocking():
                job.finish(None)
            else:
                job.count, job.started = job.left, time.monotonic()  # to be proved fast anew
                give_back(job)
        except Exception as exc:  # noqa: BLE001 -- told to the request that waits for it
            job.finish(exc)
        finally:
            self._slots.release()


class _Sender(threading.Thread):
    """One epoll and the jobs that wait in it."""

    def __init__(self, fast: _FastThreads) -> None:
        super().__init__(name="sender", daemon=True)
        self._fast = fast
        self._epoll = select.epoll()
        self._wake_out, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._epoll.register(self._wake_out, select.EPOLLIN)
        self._lock = threading.Lock()
        self._new: list[_Job] = []
        self._jobs: dict[int, _Job] = {}
        self.start()

    def add(self, job: _Job) -> None:
        with self._lock:
            self._new.append(job)
        self.wake()

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_in, b"+")

    def run(self) -> None:
        while True:
            events = self._epoll.poll(5.0 if self._jobs else None)
            for fd, _ in events:
                if fd == self._wake_out:
                    os.read(fd, 4096)
                    self._take_new()
                elif fd in self._jobs:
                    self._push(self._jobs[fd])
            now = time.monotonic()
            for job in [job for job in self._jobs.values() if job.cancelled or now - job.last > IDLE_S]:
                self._finish(job, TimeoutError("the client took nothing for too long"))

    def _take_new(self) -> None:
        with self._lock:
            new, self._new = self._new, []
        for job in new:
            if not self._push(job):
                fd = job.sock.fileno()
                self._jobs[fd] = job
                self._epoll.register(fd, select.EPOLLOUT)

    def _push(self, job: _Job) -> bool:
        """Send some; True when the job is no longer here: over, one way or the other, or in a thread of its own."""
        try:
            if not job.cancelled and not job.push():
                if not job.is_worth_a_thread or not self._fast.may_take():
                    return False
                self._forget(job)
                self._fast.take(job, self.add)
                return True
        except Exception as exc:  # noqa: BLE001 -- told to the request that waits for it
            self._finish(job, exc)
        else:
            self._finish(job, None)
        return True

    def _forget(self, job: _Job) -> None:
        fd = job.sock.fileno()
        if self._jobs.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def _finish(self, job: _Job, exc: Exception | None) -> None:
        self._forget(job)
        job.finish(exc)


class Senders:
    """The process's sender threads, used in turn."""

    def __init__(self, n_threads: int = N_THREADS) -> None:
        self._fast = _FastThreads()
        self._threads = [_Sender(self._fast) for _ in range(n_threads)]
        self._turn = itertools.cycle(self._threads)

    async def send(self, socket_fd: int, pieces: Iterable[Piece | OpenFile], count: int, head: bytes = b"") -> None:
        """As ``start``, and waits for the end.

        Raises:
            OSError: the peer has gone or takes nothing, or the pieces are not what was announced.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell(exc: Exception | None) -> None:
            if not done.done():
                if exc is None:
                    done.set_result(None)
                else:
                    done.set_exception(exc)

        cancel = self.start(socket_fd, pieces, count, head, tell)
        try:
            await done
        except asyncio.CancelledError:
            cancel()
            raise

    def start(
        self,
        socket_fd: int,
        pieces: Iterable[Piece | OpenFile],
        count: int,
        head: bytes,
        ended: Callable[[Exception | None], None],
    ) -> Callable[[], None]:
        """Begin to send ``head``, and ``count`` bytes made up by ``pieces``, on a duplicate of a non-blocking socket.

        Nobody else may read or write the socket meanwhile: it is made to block for a time, which a duplicate shares.
        The running event loop calls ``ended`` with what went wrong, if anything did. Returns what breaks it off.
        """
        # With all of its kind said, nothing is asked of the kernel; the family matters to addresses only.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, os.dup(socket_fd))
        job = _Job(sock, head, pieces, count, asyncio.get_running_loop(), ended)
        thread = next(self._turn)
        if count >= WORTH_BYTES and self._fast.may_take():
            self._fast.take(job, thread.add)
        else:
            thread.add(job)

        def cancel() -> None:
            job.cancel()
            thread.wake()

        return cancel


_senders: Senders | None = None


def senders() -> Senders:
    """Made on first use: threads do not survive a fork."""
    global _senders  # noqa: PLW0603
    if _senders is None:
        _senders = Senders()
    return _senders
