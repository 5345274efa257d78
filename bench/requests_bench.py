"""What one small request costs, against an ASGI application that answers a constant. ``python -m bench.requests_bench [--quick]``.

The peer is stock uvicorn with the same parser, event loop, settings and number of processes as ours, and answers what ours
answered: the same headers and body. Eight connections are kept alive; each has one request under way.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from bench import harness as h

CONNECTIONS = 8
PER_ROUND = 4000
GOAL = 3.0

_PEER = """
import json, os, sys, uvicorn
said = json.load(open(sys.argv[2]))
body = said["body"].encode()
headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in said["headers"]]
for _ in range(int(sys.argv[3]) - 1):
    if os.fork() == 0:
        break
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
config = uvicorn.Config(
    app, http="httptools", loop="uvloop", lifespan="off", interface="asgi3", ws="none", access_log=False, log_config=None,
    server_header=False, proxy_headers=False, timeout_keep_alive=65, backlog=1024, fd=int(sys.argv[1]))
uvicorn.Server(config).run()
"""


@contextmanager
def constant(answer: httpx.Response) -> Iterator[tuple[str, int]]:
    """An application that answers the same again and again; yields its address and process id."""
    # The date is the server's own.
    headers = [(name, value) for name, value in answer.headers.multi_items() if name != "date"]
    with tempfile.NamedTemporaryFile() as file, socket.socket() as listener:
        file.write(json.dumps({"headers": headers, "body": answer.text}).encode())
        file.flush()
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        n_processes = min(2, os.cpu_count() or 1)  # as many as our web workers by default
        command = [sys.executable, "-c", _PEER, str(listener.fileno()), file.name, str(n_processes)]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()])
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            httpx.request(answer.request.method, url, timeout=20).raise_for_status()
            yield url, process.pid
        finally:
            for pid in reversed(h.tree(process.pid)):
                os.kill(pid, signal.SIGTERM)
            process.wait(10)


def send_many(url: str, method: str, path: str, token: str, count: int) -> None:
    """``count`` requests over eight connections, each sent once the answer before it is there.

    Raises:
        RuntimeError: one was not answered with 200.
    """
    where = urlsplit(url)
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {where.netloc}\r\nUser-Agent: bench\r\nAccept: */*\r\n"
        f"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()
    waiting = selectors.EpollSelector()
    sockets = [socket.create_connection((where.hostname, where.port)) for _ in range(CONNECTIONS)]
    for sock in sockets:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(head)
        waiting.register(sock, selectors.EVENT_READ)
    sent, done = CONNECTIONS, 0
    while done < count:
        for key, _ in waiting.select(30):
            answered = key.fileobj
            assert isinstance(answered, socket.socket)
            _read_answer(answered, method)
            done += 1
            if sent < count:
                answered.sendall(head)
                sent += 1
    for sock in sockets:
        sock.close()
    waiting.close()


def _read_answer(sock: socket.socket, method: str) -> None:
    got = sock.recv(1 << 18)
    while b"\r\n\r\n" not in got:
        got += _more(sock)
    head, _, body = got.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(head.decode())
    if method != "HEAD":
        at = head.lower().index(b"content-length:") + 15
        left = int(head[at:].split(b"\r\n", 1)[0]) - len(body)
        while left > 0:
            left -= len(_more(sock))


def _more(sock: socket.socket) -> bytes:
    found = sock.recv(1 << 18)
    if not found:
        raise RuntimeError("the connection ended before its answer")
    return found


def prepare(site: h.Headwater) -> None:
    """A model of ten small files, with a card, and one large file."""
    client = httpx.Client(base_url=site.url, headers={"Authorization": f"Bearer {site.token}"}, timeout=60)
    client.post("/api/repos/create", json={"name": "requests", "type": "model"}).raise_for_status()
    card = "---\nlicense: apache-2.0\nlanguage: [zh, en]\ntags: [text-generation]\nlibrary_name: transformers\n---\n# A model\n"
    files = {"README.md": card} | {f"part/{n}.txt": f"small file {n}\n" for n in range(9)}
    lines = [{"key": "header", "value": {"summary": "Files to ask for"}}]
    lines += [{"key": "file", "value": {"path": path, "content": text}} for path, text in files.items()]
    body = "\n".join(map(json.dumps, lines))
    client.post(
        "/api/models/ada/requests/commit/main", content=body, headers={"Content-Type": "application/x-ndjson"}
    ).raise_for_status()
    with tempfile.TemporaryDirectory() as folder:
        path = h.random_file(Path(folder) / "w.bin", 1 << 20)
        code = (
            "from huggingface_hub import HfApi\n"
            f"HfApi().upload_file(path_or_fileobj={str(path)!r}, path_in_repo='w.bin', repo_id='ada/requests')"
        )
        subprocess.run([sys.executable, "-c", code], env=site.env, check=True, stdout=subprocess.DEVNULL)
    time.sleep(2)  # for the jobs that follow


CASES = (
    ("whoami", "GET", "/api/whoami-v2"),
    ("info of a model", "GET", "/api/models/ada/requests"),
    ("HEAD resolve, large file", "HEAD", "/ada/requests/resolve/main/w.bin"),
    ("HEAD resolve, small file", "HEAD", "/ada/requests/resolve/main/part/1.txt"),
)


def measure(
    site: h.Headwater, cases: Sequence[tuple[str, str, str]], rounds: int, count: int
) -> Iterator[tuple[str, float, float, float]]:
    """Each case with its ratio, our CPU milliseconds a request and the peer's."""
    for what, method, path in cases:
        answer = httpx.request(method, site.url + path, headers={"Authorization": f"Bearer {site.token}"})
        answer.raise_for_status()
        with constant(answer) as (peer, pid):
            sides = [
                h.Side("ours", partial(send_many, site.url, method, path, site.token, count), site.pid),
                h.Side("peer", partial(send_many, peer, method, path, site.token, count), pid),
            ]
            got = h.alternate(sides, rounds)
        each = [statistics.median(got[side].cpu_s) / count * 1000 for side in ("ours", "peer")]
        yield what, h.ratio(got["ours"].cpu_s, got["peer"].cpu_s), each[0], each[1]


def run(report: h.Report, *, rounds: int, count: int = PER_ROUND) -> None:
    with h.workspace() as folder, h.headwater(folder) as site:
        prepare(site)
        for what, cpu, ours, theirs in measure(site, CASES, rounds, count):
            report.add(
                f"{what}, against raw ASGI that answers a constant",
                f"CPU {cpu:.2f}× ({ours:.3f} ms against {theirs:.3f} ms a request)",
                f"≤ {GOAL:.0f}×",
                met=cpu <= GOAL,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="3 rounds of 1,000 instead of 5 of 4,000")
    quick = parser.parse_args().quick
    run(h.Report(), rounds=3 if quick else 5, count=1000 if quick else PER_ROUND)
