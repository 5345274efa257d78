"""Sender threads: pieces of files to sockets by ``sendfile``, many connections to a thread, none of the bytes in Python."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import select
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from headwater.blobs import Extent, Piece

N_THREADS = 2
CALL_BYTES = 1 << 20  # at most so much in one system call
TURN_BYTES = 8 << 20  # and so much for one connection before the next has its turn
IDLE_S = 60.0  # a peer that takes nothing for so long is given up


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
        pieces: Iterable[Piece | OpenFile],
        count: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.sock = sock
        sock.setblocking(False)
        self.left = count
        self.last = time.monotonic()
        self.loop = loop
        self.done: asyncio.Future[None] = loop.create_future()
        self.cancelled = False
        self._pieces: Iterator[Piece | OpenFile] = iter(pieces)
        self._literal = memoryview(b"")
        self._fd = -1
        self._offset = 0
        self._run_left = 0
        self._own_path: Path | None = None
        self._own_fd = -1

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
                sent, wanted = self._send_literal() if self._literal else self._send_run()
            except BlockingIOError:
                return False
            self.left -= sent
            turn -= sent
            self.last = time.monotonic()
            if sent < wanted:
                return False  # the socket is full: epoll says when it is not
        return not self.left

    def _send_literal(self) -> tuple[int, int]:
        wanted = len(self._literal)
        flags = socket.MSG_MORE if self.left > wanted else 0
        sent = self.sock.send(self._literal, flags)
        self._literal = self._literal[sent:]
        return sent, wanted

    def _send_run(self) -> tuple[int, int]:
        wanted = min(self._run_left, self.left, CALL_BYTES)
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

    def close(self) -> None:
        self._close_file()
        self.sock.close()


class _Sender(threading.Thread):
    """One epoll and the jobs that wait in it."""

    def __init__(self) -> None:
        super().__init__(name="sender", daemon=True)
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
        """Send some; True when the job is over, one way or the other."""
        try:
            if not job.cancelled and not job.push():
                return False
        except Exception as exc:  # noqa: BLE001 -- told to the request that waits for it
            self._finish(job, exc)
        else:
            self._finish(job, None)
        return True

    def _finish(self, job: _Job, exc: Exception | None) -> None:
        fd = job.sock.fileno()
        if self._jobs.pop(fd, None) is not None:
            self._epoll.unregister(fd)
        job.close()

        def tell() -> None:
            if not job.done.done():
                if exc is None:
                    job.done.set_result(None)
                else:
                    job.done.set_exception(exc)

        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits
            job.loop.call_soon_threadsafe(tell)


class Senders:
    """The process's sender threads, used in turn."""

    def __init__(self, n_threads: int = N_THREADS) -> None:
        self._threads = [_Sender() for _ in range(n_threads)]
        self._turn = itertools.cycle(self._threads)

    async def send(self, socket_fd: int, pieces: Iterable[Piece | OpenFile], count: int) -> None:
        """Send ``count`` bytes made up by ``pieces`` on a duplicate of a non-blocking socket.

        Raises:
            OSError: the peer has gone or takes nothing, or the pieces are not what was announced.
        """
        job = _Job(socket.socket(fileno=os.dup(socket_fd)), pieces, count, asyncio.get_running_loop())
        thread = next(self._turn)
        thread.add(job)
        try:
            await job.done
        except asyncio.CancelledError:
            job.cancelled = True
            thread.wake()
            raise


_senders: Senders | None = None


def senders() -> Senders:
    """Made on first use: threads do not survive a fork."""
    global _senders  # noqa: PLW0603
    if _senders is None:
        _senders = Senders()
    return _senders
