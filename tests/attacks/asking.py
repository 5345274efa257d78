"""What the attacks share: a private repository with a secret in it, and requests by hand."""

from __future__ import annotations

import contextlib
import hashlib
import io
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
from huggingface_hub import CommitOperationAdd

from tests.conftest import LiveApp
from tests.web.raw import Connection

SECRET = b"the quicksilver recipe\n"
LARGE = b"\x00quicksilver\xff" * 3000


def bearer(app: LiveApp, user: str | None, scope: str = "write") -> dict[str, str]:
    return {} if user is None else {"Authorization": f"Bearer {app.token(user, scope)}"}


def ask(app: LiveApp, user: str | None, method: str, path: str, **more: object) -> httpx.Response:
    """One request with a write token of ``user``."""
    return httpx.request(method, app.url + path, headers=bearer(app, user), timeout=60, **more)  # type: ignore[arg-type]


@contextlib.contextmanager
def connected(app: LiveApp) -> Iterator[Connection]:
    """A connection for what no client would send."""
    parts = urlsplit(app.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as sock:
        yield Connection(sock)


@dataclass(frozen=True)
class Hidden:
    """A private repository of bob: ``name`` in full, the digest of its large file, its commit."""

    name: str
    oid: str
    commit: str


def hide(app: LiveApp, name: str) -> Hidden:
    """Make it; every text in it is telling."""
    bob, large = app.hf("bob"), LARGE + name.encode()
    bob.create_repo(name, private=True)
    done = bob.create_commit(
        name,
        [
            CommitOperationAdd("README.md", b"---\nlicense: mit\ntags: [quicksilver]\n---\n" + SECRET),
            CommitOperationAdd("large.bin", io.BytesIO(large)),
            CommitOperationAdd("rows.csv", b"metal,boils\nquicksilver,357\n"),
            CommitOperationAdd("page.html", b"<script>alert(1)</script>"),
        ],
        commit_message="quicksilver",
    )
    return Hidden(name, hashlib.sha256(large).hexdigest(), done.oid)


def batch(app: LiveApp, user: str, repo: str, operation: str, oid: str, size: int) -> httpx.Response:
    """One object of Git LFS."""
    body = {"operation": operation, "transfers": ["basic"], "objects": [{"oid": oid, "size": size}]}
    return ask(app, user, "POST", f"/{repo}.git/info/lfs/objects/batch", json=body)
