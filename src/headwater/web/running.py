"""One web process, from its first connection to its last: uvicorn's server with our protocol, told to stop by us alone."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable

from starlette.types import ASGIApp
from uvicorn import Config, Server

from headwater.web.protocol import Protocol

KEEP_ALIVE_S = 65
LONGEST_LEAVE_S = 600  # a process that leaves may finish long answers for so long


class _Server(Server):
    """uvicorn's server, told to stop by us alone: the parent's signals and the parent's end."""

    def __init__(self, config: Config, lifeline: int, drain_s: float, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._drain_s = int(drain_s)
        self._lifeline = lifeline
        self._on_ready = on_ready
        self._ended = asyncio.Event()
        self._leaves = False

    async def main_loop(self) -> None:
        """As uvicorn's own, at a tenth of its wake-ups: the date in the answers' heads is all that ticks."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), 1.0)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end)
        loop.add_signal_handler(signal.SIGUSR1, self._leave)
        loop.add_reader(self._lifeline, self._end)
        self._on_ready()

    def _end(self) -> None:
        if self.should_exit and not self._leaves:
            self.force_exit = True  # asked twice
        self.config.timeout_graceful_shutdown = self._drain_s
        self.should_exit, self._leaves = True, False
        self._ended.set()
        asyncio.get_running_loop().remove_reader(self._lifeline)

    def _leave(self) -> None:
        """There is a successor: take nothing new, and let all that is under way come to its end."""
        if not self.should_exit:
            self.should_exit = self._leaves = True
            self._ended.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._leaves:
            for server in self.servers:
                server.close()
            for connection in list(self.server_state.connections):
                connection.leave()  # type: ignore[union-attr]
            deadline = time.monotonic() + LONGEST_LEAVE_S
            # An end that is asked for meanwhile takes over, with its own bound.
            while self.server_state.connections and self._leaves and time.monotonic() < deadline:  # noqa: ASYNC110 -- uvicorn tells nobody when a connection ends
                await asyncio.sleep(0.05)
        await super().shutdown(sockets)


def run_web(
    app: ASGIApp,
    listener: socket.socket,
    *,
    lifeline: int,
    drain_s: float,
    on_ready: Callable[[], object],
    loop: str = "uvloop",
) -> None:
    """Serve ``app`` on a listening socket until SIGTERM comes or ``lifeline`` ends; requests may then finish for ``drain_s``.

    SIGUSR1: as if it had ended, but with much more time, and without cutting off who sends on an open connection just then.
    """
    config = Config(
        app,
        http=Protocol,
        loop=loop,
        lifespan="off",
        interface="asgi3",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(drain_s),
        backlog=1024,
    )
    server = _Server(config, lifeline, drain_s, on_ready)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server._serve([listener]))  # noqa: SLF001 -- `serve` would put signal handlers of its own
