"""A receiver of webhooks: a small real server that keeps what it gets and answers as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Answers with ``statuses`` in turn, then 200. ``location`` makes it redirect, ``drip`` answer without ever ending."""

    received: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    location: str | None = None
    drip: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def start(self) -> Receiver:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.received.append(Received(self.path, dict(self.headers), body))
                if receiver.drip:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    while not receiver.stopping.wait(0.05):
                        self.wfile.write(b"x")
                    return
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                self.send_response(302 if receiver.location else status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.end_headers()
                self.wfile.write(b"thank you" * 1000)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def wait_for(
        self, count: int, *, timeout_s: float = 20, wanted: Callable[[Received], bool] | None = None
    ) -> list[Received]:
        """Those received that are ``wanted``, once there are ``count`` of them."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = [one for one in list(self.received) if wanted is None or wanted(one)]
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"waited for {count}, got {[one.json for one in self.received]}")
            self.stopping.wait(0.05)
