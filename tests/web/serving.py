"""A small site of the tests' own on the real transport: our application and our protocol, in a process of its own."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from headwater.blobs import BlobFolder, Extent, FileSource, MemorySource, Piece
from headwater.db import Tx, open_database
from headwater.kernel import ANONYMOUS, Actor, HeadwaterError, Kind
from headwater.web import (
    Access,
    BodyReader,
    JsonResponse,
    ReadyResponse,
    Route,
    Site,
    SourceResponse,
    bodies,
    build_app,
    protocol,
    read_body,
    read_json_object,
    receive_body,
    running,
)
from headwater.web.logs import configure_logging
from headwater.web.running import run_web


class Refused(HeadwaterError):
    code = "refused"
    kind = Kind.CONFLICT


@dataclass(frozen=True)
class Striped:
    """Literals between runs of a file, as Xet's framing has them: every block of ``step`` bytes after 8 bytes of head."""

    path: Path
    file_bytes: int
    step: int = 1 << 16

    @property
    def size_bytes(self) -> int:
        return self.file_bytes + 8 * -(-self.file_bytes // self.step)

    is_local = True

    def pieces(self, start: int, end: int) -> Iterator[Piece]:
        at = 0
        for number, offset in enumerate(range(0, self.file_bytes, self.step)):
            count = min(self.step, self.file_bytes - offset)
            for piece, size in ((number.to_bytes(8, "big"), 8), (Extent(self.path, offset, count), count)):
                low, high = max(start, at), min(end, at + size)
                if low < high:
                    if isinstance(piece, bytes):
                        yield piece[low - at : high - at]
                    else:
                        yield Extent(piece.path, piece.offset + low - at, high - low)
                at += size


def _folder(request: Request) -> Path:
    site: Site = request.state.site
    return site.data_dir


def find_file(request: Request, _tx: Tx | None = None) -> Response:
    path = _folder(request) / request.path_params["name"]
    source = FileSource(path, path.stat().st_size)
    return SourceResponse(request, source, etag='"v1"', media_type="text/html", filename="页 1.html")


async def get_file(request: Request) -> Response:
    return find_file(request)


async def get_striped(request: Request) -> Response:
    path = _folder(request) / request.path_params["name"]
    return SourceResponse(request, Striped(path, path.stat().st_size))


def find_short(request: Request, _tx: Tx | None = None) -> Response:
    """A file that is shorter than its record says."""
    path = _folder(request) / request.path_params["name"]
    return SourceResponse(request, FileSource(path, path.stat().st_size + 1000))


async def get_short(request: Request) -> Response:
    return find_short(request)


async def get_memory(request: Request) -> Response:
    return SourceResponse(request, MemorySource(b"0123456789"), etag='"m"')


async def get_starlette_file(request: Request) -> Response:
    return FileResponse(_folder(request) / request.path_params["name"])


def _digest(reader: BodyReader) -> dict[str, object]:
    window, hasher, total = memoryview(bytearray(1 << 20)), hashlib.sha256(), 0
    while got := reader.read_into(window):
        hasher.update(window[:got])
        total += got
    return {"sha256": hasher.hexdigest(), "size": total, "announced": reader.size_bytes}


async def put_digest(request: Request) -> Response:
    decode = request.query_params.get("decode") == "1"
    limit = request.query_params.get("limit")
    found = await receive_body(request, _digest, limit_bytes=int(limit) if limit else None, decode=decode)
    return JsonResponse({**found, "took_socket": request.scope["headwater.exchange"].taken is not None})


async def put_refused(request: Request) -> Response:
    """Reads a little, then refuses."""

    def consume(reader: BodyReader) -> None:
        reader.read(1000)
        raise Refused("enough")

    await receive_body(request, consume)
    return Response()


async def put_unread(request: Request) -> Response:
    raise Refused("not even looked at")


async def put_small(request: Request) -> Response:
    return JsonResponse({"size": len(await read_body(request, 1000))})


async def post_json(request: Request) -> Response:
    return JsonResponse(await read_json_object(request))


async def get_broken(request: Request) -> Response:
    raise RuntimeError("a bug")


async def get_echo(request: Request) -> Response:
    client = request.client
    return JsonResponse(
        {
            "values": request.path_params,
            "scheme": request.url.scheme,
            "client": client.host if client else None,
            "actor": request.state.actor.name,
        }
    )


async def get_page(request: Request) -> Response:
    return Response("<p>hello", media_type="text/html")


async def authenticate(request: Request) -> Actor:
    name = request.headers.get("authorization", "")
    if name == "wrong":
        error = HeadwaterError("that credential is wrong")
        error.kind = Kind.NOT_AUTHENTICATED  # type: ignore[misc]
        raise error
    return Actor(name=name) if name else ANONYMOUS


def identify(request: Request, _tx: Tx) -> Actor:
    """As ``authenticate``, for what is answered at once."""
    name = request.headers.get("authorization", "")
    if name == "wrong":
        raise Refused("that credential is wrong")
    return Actor(name=name) if name else ANONYMOUS


def tell_at_once(request: Request, _tx: Tx) -> Response | None:
    """What the path asks for: an answer that is at hand, or one that is not."""
    match request.path_params["how"]:
        case "told":
            return ReadyResponse(b'{"actor":"%s"}' % request.state.actor.name.encode(), headers={"X-Way": "at once"})
        case "memory":
            return SourceResponse(request, MemorySource(b"0123456789"), etag='"m"')
        case "file":
            return SourceResponse(request, FileSource(_folder(request) / "small", 25))
        case "bad-header":
            return ReadyResponse(b"", headers={"X-Way": "a\nb"})
        case "broken":
            raise RuntimeError("a bug")
    return None


async def tell_later(request: Request) -> Response:
    await asyncio.sleep(0)
    return JsonResponse({"actor": request.state.actor.name, "later": True})


def refuse_upper(request: Request, error: HeadwaterError) -> Response:
    """A dialect of its own, to see which one was chosen."""
    return Response(error.message.upper(), {Kind.NOT_FOUND: 404, Kind.BROKEN: 500}.get(error.kind, 400), error.headers)


ROUTES = [
    Route("GET", "/file/{name}", get_file, Access.PUBLIC, "hf"),
    Route("GET", "/striped/{name}", get_striped, Access.PUBLIC, "hf"),
    Route("GET", "/short/{name}", get_short, Access.PUBLIC, "hf"),
    Route("GET", "/file-at-hand/{name}", get_file, Access.PUBLIC, "hf", at_once=find_file),
    Route("GET", "/short-at-hand/{name}", get_short, Access.PUBLIC, "hf", at_once=find_short),
    Route("GET", "/memory", get_memory, Access.PUBLIC, "hf"),
    Route("GET", "/starlette/{name}", get_starlette_file, Access.PUBLIC, "hf"),
    Route("PUT", "/digest", put_digest, Access.WRITE, "hf"),
    Route("PUT", "/refused", put_refused, Access.WRITE, "hf"),
    Route("PUT", "/unread", put_unread, Access.WRITE, "hf"),
    Route("PUT", "/small", put_small, Access.WRITE, "hf"),
    Route("POST", "/json", post_json, Access.WRITE, "hf"),
    Route("GET", "/broken", get_broken, Access.PUBLIC, "hf"),
    Route("GET", "/shout/broken", get_broken, Access.PUBLIC, "loud"),
    Route("GET", "/echo/{ns}/{rest*}", get_echo, Access.READ, "hf"),
    Route("GET", "/public/{rest*}", get_echo, Access.PUBLIC, "hf"),
    Route("GET", "/signed/{rest*}", get_echo, Access.SIGNED_LINK, "hf"),
    Route("GET", "/page", get_page, Access.PUBLIC, "page"),
    Route("GET", "/at-once/{how}", tell_later, Access.READ, "hf", at_once=tell_at_once),
]


class Served:
    """The small site in a process of its own; ``loop`` is uvloop or asyncio."""

    def __init__(
        self, folder: Path, *, loop: str = "uvloop", env: dict[str, str] | None = None, ipv6: bool = False
    ) -> None:
        self.folder = folder
        if ipv6:  # which IPv4 reaches as well
            listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=256)
        else:
            listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = folder / "log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.web.serving", str(folder), str(listener.fileno()), loop],
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(env or {})},
            )
        listener.close()
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n", self.log()

    def log(self) -> str:
        return self.log_path.read_text()

    def connect(self, timeout_s: float = 20) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def pss_kib(self) -> int:
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(text.split("\nPss:")[1].split()[0])

    def n_open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self) -> float:
        """Ends it by SIGTERM; returns how long that took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=15)
        return time.monotonic() - started


def serve(folder: Path, listener_fd: int, loop: str) -> None:
    configure_logging()
    site = Site(
        data_dir=folder,
        db=open_database(folder),
        blobs=BlobFolder(folder / "blobs"),
        base_url="http://site.example",
        secret=bytes(32),
    )
    if os.environ.get("TEST_PROXIES"):
        from headwater.kernel import Settings
        from headwater.web import WebSettings

        site.settings = Settings([WebSettings(trusted_proxies=tuple(os.environ["TEST_PROXIES"].split(",")))])
    if os.environ.get("TEST_TIMES"):
        protocol.HEAD_S, running.KEEP_ALIVE_S, bodies.IDLE_S = map(float, os.environ["TEST_TIMES"].split())  # type: ignore[assignment]
    app = build_app(site, ROUTES, authenticate, {"loud": refuse_upper}, identify)
    listener = socket.socket(fileno=listener_fd)
    listener.setblocking(False)
    reading, _writing = os.pipe()
    run_web(app, listener, lifeline=reading, drain_s=6, on_ready=lambda: os.write(1, b"ready\n"), loop=loop)
    os._exit(0)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
