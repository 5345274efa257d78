"""A proxy between the hub and a real object store that fails on demand: nothing, slowness, 503, broken or altered answers."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Fault:
    """What happens to a request that ``matches(method, path)``, ``times`` times (None: always).

    ``kind``: "503", "500", "cut" (the connection ends in the middle of the body), "short" (a body that lacks its last byte,
    and says so), "altered" (one byte is another), "slow" (``delay_s`` before the answer), "late_cut" (the store did it, and
    the answer never comes).
    """

    kind: str
    matches: Callable[[str, str], bool] = field(default=lambda method, path: True)
    times: int | None = None
    delay_s: float = 5.0
    met: int = 0


class FaultyStore:
    """``url`` stands for the store at ``target``. Requests go on with the Host that they were signed for."""

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target).netloc
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None: ...

            def _pass_on(self) -> None:
                outer.answer(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fail(self, kind: str, **options: Any) -> Fault:
        fault = Fault(kind, **options)
        self.faults.append(fault)
        return fault

    def heal(self) -> None:
        self.faults.clear()

    def _fault_of(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append((method, path))
            for fault in self.faults:
                if (fault.times is None or fault.met < fault.times) and fault.matches(method, path):
                    fault.met += 1
                    return fault
        return None

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("content-length") or 0))
        fault = self._fault_of(request.command, request.path)
        kind = None if fault is None else fault.kind
        if kind in ("500", "503"):
            self._send(request, int(kind), {"Content-Type": "application/xml"}, b"<Error><Code>SlowDown</Code></Error>")
            return
        if fault is not None and kind == "slow":
            time.sleep(fault.delay_s)
        through = http.client.HTTPConnection(self.target, timeout=60)
        try:
            through.request(request.command, request.path, body=body, headers=dict(request.headers.items()))
            found = through.getresponse()
            data = found.read()
            headers = {k: v for k, v in found.getheaders() if k.lower() not in ("connection", "transfer-encoding")}
        finally:
            through.close()
        if kind == "late_cut":
            request.close_connection = True
            return
        if kind == "altered" and data:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if kind == "short" and data:
            data = data[:-1]
        if request.command != "HEAD":
            headers = {k: v for k, v in headers.items() if k.lower() != "content-length"}
            headers["Content-Length"] = str(len(data))
        if kind == "cut":
            data = data[: len(data) // 2]
            request.close_connection = True
        self._send(request, found.status, headers, data)

    @staticmethod
    def _send(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], data: bytes) -> None:
        request.send_response_only(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if not any(name.lower() == "content-length" for name in headers):
            request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(data)
