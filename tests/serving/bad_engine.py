"""An engine that does what none should: what it is asked in its first words, or by its model file.

It takes llama-server's options, as it stands in its place. A model file that holds ``dies`` ends it at once, ``waits`` keeps it
from ever being ready, ``stubborn`` lets it ignore being told to end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- its shape
        pass

    def _send(self, status: int, body: bytes, kind: str = "application/json", length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def do_GET(self) -> None:
        self._send(200, b'{"status": "ok"}')

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        does = str(asked["prompt"]).split()[0]
        event = b'data: {"choices": [{"text": "a", "index": 0}]}\n\n'
        answer = {"choices": [{"text": "a", "index": 0}], "usage": USAGE, "object": "text_completion"}
        if does == "answers":
            self._send(200, json.dumps(answer).encode())
        elif does == "silent":
            time.sleep(60)
        elif does == "noise":
            self.connection.sendall(b"\x16\x03\x01 what is this?\r\n\r\n")
            self.close_connection = True
        elif does == "breaks":
            self._send(500, b'{"error": {"code": 500, "message": "CUDA error"}}')
        elif does == "html":
            self._send(200, b"<html>It works!</html>", "text/html")
        elif does == "half":
            self._send(200, b'{"choices": [', length=500)
            self.close_connection = True
        elif does == "uncounted":
            self._send(200, b'{"choices": []}')
        elif does == "stalls":
            self._send(200, event, "text/event-stream", length=5000)
            time.sleep(60)
        elif does == "tears":
            self._send(200, event, "text/event-stream", length=5000)
            self.close_connection = True
        elif does == "refuses":
            told = b'data: {"error": {"code": 500, "message": "decode failed", "type": "server_error"}}\n\n'
            self._send(200, told, "text/event-stream")
        elif does == "empty":
            self._send(200, b"", "text/event-stream")
        else:
            os._exit(9)


def main() -> None:
    given = dict(zip(sys.argv[1:], sys.argv[2:], strict=False))
    with open(given["--model"], "rb") as file:
        words = file.read(400).decode(errors="replace").split()
    print("a bad engine begins", flush=True)
    if "dies" in words:
        sys.exit("no such tensor: blk.0")
    if "stubborn" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "waits" in words:
        threading.Event().wait()
    ThreadingHTTPServer((given["--host"], int(given["--port"])), Handler).serve_forever()


if __name__ == "__main__":
    main()
