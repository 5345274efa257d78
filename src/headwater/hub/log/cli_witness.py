"""``headwater witness``: a witness of others' logs in one small process, with a folder and no site."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click

from headwater.kernel import HeadwaterError, Kind
from headwater.ledger.notes import COSIGNS, SIGNS, BadNote, SignerKey, VerifierKey, new_seed, parse_key
from headwater.ledger.witnessing import LARGEST_REQUEST_BYTES, Answer, Seen, judge, parse_request
from headwater.web.terminal import Output, json_option

READ_TIMEOUT_S = 15.0


class NotALogKey(HeadwaterError):
    code = "not_a_log_key"
    kind = Kind.BAD_INPUT

    def __init__(self, text: str) -> None:
        super().__init__(f"{text[:80]!r} is a witness' key and not a log's. Ask the site for it at /log/key.")


class Witness:
    """Its key, and of each log the last checkpoint that it confirmed, in a folder."""

    def __init__(self, folder: Path, logs: list[VerifierKey], name: str | None = None) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.known: dict[str, list[VerifierKey]] = {}
        for key in logs:
            self.known.setdefault(key.name, []).append(key)
        self._turn = threading.Lock()
        self.signer = self._ensure_key(name)

    @property
    def key(self) -> VerifierKey:
        return self.signer.verifier(COSIGNS)

    def answer(self, body: bytes) -> Answer:
        try:
            request = parse_request(body)
        except BadNote as exc:
            return Answer(400, f"{exc.message}\n")
        origin = request.checkpoint.origin
        path = self.folder / f"{origin.encode().hex()[:200]}.json"
        # One thread of one process at a time, from the look at what was seen until what is seen now is on disk.
        with self._turn, (self.folder / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            kept = json.loads(path.read_text()) if path.exists() else None
            seen = Seen() if kept is None else Seen(kept["size"], bytes.fromhex(kept["root"]))
            said = judge(request, self.known, seen, self.signer, int(time.time()))
            if said.keep is not None:
                facts = {
                    "origin": origin,
                    "size": said.keep.size,
                    "root": said.keep.root.hex(),
                    "note": request.note.text,
                }
                _write(path, json.dumps(facts))
        return said

    def _ensure_key(self, name: str | None) -> SignerKey:
        path = self.folder / "key"
        if not path.exists():
            _write(path, f"{name or 'headwater-witness/' + secrets.token_hex(8)} {new_seed().hex()}\n")
        told, _, seed = path.read_text().strip().partition(" ")
        return SignerKey(told, bytes.fromhex(seed))


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, text.encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def serve(witness: Witness, host: str, port: int) -> ThreadingHTTPServer:
    """A server that answers for ``witness``; it listens already, and begins to answer by ``serve_forever``."""

    class Door(BaseHTTPRequestHandler):
        timeout = READ_TIMEOUT_S
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            told = self.headers.get("Content-Length", "")
            if not self.path.endswith("/add-checkpoint"):
                self._say(Answer(404, "There is nothing here but add-checkpoint.\n"))
            elif not told.isdigit() or len(told) > 9 or int(told) > LARGEST_REQUEST_BYTES:
                self.close_connection = True
                self._say(Answer(413, "The request names no length, or is too long.\n"))
            else:
                self._say(witness.answer(self.rfile.read(int(told))))

        def do_GET(self) -> None:
            if self.path == "/key":
                self._say(Answer(200, f"{witness.key}\n"))
            else:
                self._say(Answer(404, "There is nothing here but key.\n"))

        def _say(self, answer: Answer) -> None:
            body = answer.body.encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    return ThreadingHTTPServer((host, port), Door)


@click.command("witness")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Where its key and what it has confirmed are kept.",
)
@click.option(
    "--log",
    "logs",
    multiple=True,
    required=True,
    help="The key of a log to follow, from its /log/key; may be repeated.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=7870, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option(
    "--name", default=None, help="Its name in its signatures, such as hub.example.edu/witness. Only at the first start."
)
@json_option
def witness(folder: Path, logs: tuple[str, ...], host: str, port: int, name: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Confirm the checkpoints of other sites' logs, until it is stopped.

    It confirms only what has grown out of what it confirmed before, so that a site cannot take anything back unseen.
    """
    keys = [parse_key(text) for text in logs]
    for key in keys:
        if key.kind != SIGNS:
            raise NotALogKey(str(key))
    made = Witness(folder, keys, name)
    server = serve(made, host, port)
    url = f"http://{host}:{server.server_address[1]}"
    text = f"Listening on {url}. Give the site this setting:\nHEADWATER_LOG_WITNESSES='{made.key} {url}'"
    Output(as_json=as_json).result({"url": url, "key": str(made.key)}, text)
    try:
        server.serve_forever()
    finally:
        server.server_close()
