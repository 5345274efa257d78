"""HTTP by hand, for what no client would send."""

from __future__ import annotations

import socket
from dataclasses import dataclass


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One connection; answers are read one after another."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._rest = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def ask(self, method: str, path: str, body: bytes = b"", *headers: str) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode() + body)
        return self.answer(method)

    def line(self) -> bytes:
        while b"\r\n" not in self._rest:
            self._more()
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line

    def answer(self, method: str = "GET") -> Answer:
        version, code = self.line().split()[:2]
        assert version in (b"HTTP/1.1", b"HTTP/1.0"), version  # else bytes of an earlier answer stand before it
        status = int(code)
        headers = {}
        while line := self.line():
            name, _, value = line.partition(b":")
            headers[name.decode().lower()] = value.strip().decode("latin-1")
        has_body = method != "HEAD" and status >= 200 and status not in (204, 304)
        body = self.take(int(headers.get("content-length", 0))) if has_body else b""
        return Answer(status, headers, body)

    def take(self, count: int) -> bytes:
        parts, have = [self._rest[:count]], min(count, len(self._rest))
        self._rest = self._rest[count:]
        while have < count:
            data = self.sock.recv(min(1 << 20, count - have))
            if not data:
                raise EOFError(f"the connection ended after {have} of {count} bytes")
            parts.append(data)
            have += len(data)
        return b"".join(parts)

    def is_at_end(self) -> bool:
        """Whether the server has closed; waits for it."""
        try:
            return not self._rest and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("the connection ended inside a head")
        self._rest += data

    def close(self) -> None:
        self.sock.close()
