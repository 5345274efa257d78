"""Addresses with two readings, bodies without an end, and strangers' pages on our origin: H13, H15, H20."""

from __future__ import annotations

import time

import httpx
import pytest
from huggingface_hub import CommitOperationAdd

from tests.attacks.asking import ask, bearer, connected
from tests.clients import being_received
from tests.conftest import LiveApp

TWISTED = (
    "/bob/h13/resolve/main/../../../../etc/passwd",
    "/bob/h13/resolve/main/%2e%2e/%2e%2e/etc/passwd",
    "/bob/h13/resolve/main/%252e%252e%252f%252e%252e%252fetc/passwd",
    "/bob/h13/resolve/main/..%2f..%2f..%2fetc%2fpasswd",
    "/bob/h13/resolve/main/..;/..;/etc/passwd",
    "/bob/h13/resolve/main/....//....//etc/passwd",
    "/bob/h13/resolve/main/..%5c..%5cetc%5cpasswd",
    "/bob/h13/resolve/main/..\\..\\etc\\passwd",
    "/bob/h13/resolve/main/%c0%ae%c0%ae/etc/passwd",
    "/bob/h13/resolve/main/a.txt%00.png",
    "/bob/h13/resolve/main/%00",
    "/bob/h13/resolve/main//etc/passwd",
    "/bob/h13/resolve/%2e%2e/a.txt",
    "/bob/h13/resolve/..%2f..%2fHEAD/a.txt",
    "/bob/h13/resolve/main/.git/config",
    "/bob/%2e%2e/resolve/main/a.txt",
    "/bob/h13/blob/main/%2e%2e%2f%2e%2e%2fsecret",
    "/api/models/bob/h13/tree/main/%2e%2e",
    "/api/models/bob/..%2fh13",
    "/-/static/../../../secret",
    "/-/static/%2e%2e%2f%2e%2e%2fapp.py",
    "/-/static/..%252f..%252fapp.py",
    "/avatars/..%2f..%2fsecret",
    "/uploads/..%2f..%2f..%2fsecret",
    "/xet/range/..%2f..%2fsecret",
    "/lfs/objects/..%2f..%2fsecret",
    "/bob/h13.git/../../headwater.db",
    "/bob/h13.git/objects/info/packs",
    "/bob/h13.git/config",
    "/./bob/h13/resolve/main/a.txt",
)


@pytest.fixture(scope="module")
def repository(live_app: LiveApp) -> str:
    live_app.hf("bob").create_repo("bob/h13")
    pages = {
        "a.txt": b"h13",
        "page.html": b"<script>alert(document.cookie)</script>",
        "page.htm": b"<script>alert(1)</script>",
        "page.xhtml": b"<html xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></html>",
        "picture.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(1)</script></svg>",
        "feed.xml": b"<?xml version='1.0'?><x:script xmlns:x='http://www.w3.org/1999/xhtml'>alert(1)</x:script>",
        "unsaid": b"<!doctype html><script>alert(1)</script>",
        "lies.png": b"<!doctype html><script>alert(1)</script>",
        "lies.txt": b"<!doctype html><script>alert(1)</script>",
        "code.js": b"alert(1)",
        "worker.mjs": b"importScripts('x')",
        "style.css": b"body{background:url(//evil.example)}",
        "doc.pdf": b"%PDF-1.4 <script>",
        "app.wasm": b"\0asm",
        "site.webmanifest": b"{}",
        "x.mht": b"From: x\n\n<script>",
    }
    live_app.hf("bob").create_commit(
        "bob/h13", [CommitOperationAdd(name, data) for name, data in pages.items()], commit_message="pages"
    )
    return "bob/h13"


@pytest.mark.parametrize("path", TWISTED)
def test_h13_an_address_is_read_once_and_never_tidied(live_app: LiveApp, repository: str, path: str):
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        with connected(live_app) as connection:
            token = f"Authorization: Bearer {live_app.token('bob')}"
            answer = connection.ask(method, path, b"", token, "Content-Length: 0", "Connection: close")
            # Other methods may be refused for what they are; what is read is not there, or no address.
            assert answer.status in ((400, 404) if method in ("GET", "HEAD") else (400, 401, 403, 404, 405)), (
                method,
                answer.status,
            )
            assert b"root:" not in answer.body
            assert b"SQLite format" not in answer.body


def test_h13_values_of_queries_and_bodies_are_no_paths_either(live_app: LiveApp, repository: str):
    for value in ("../../secret", "/etc/passwd", "..\\secret", "a\x00b"):
        for method, path, body in (
            ("POST", "/api/models/bob/h13/paths-info/main", {"paths": [value]}),
            ("POST", "/api/models/bob/h13/branch/ok", {"startingPoint": value}),
            ("POST", "/api/models/bob/h13/tag/main", {"tag": value}),
            ("POST", "/api/repos/create", {"name": value}),
            ("POST", "/bob/h13/upload-session", {"files": [{"path": value, "size": 3, "stamp": 0}]}),
            ("POST", "/api/repos/move", {"fromRepo": "bob/h13", "toRepo": f"bob/{value}"}),
        ):
            answer = ask(live_app, "bob", method, path, json=body)
            is_list = path.endswith("paths-info/main")  # names nothing that is there, and says so by leaving it out
            assert answer.status_code in ((200, 400) if is_list else (400, 403, 404, 422)), (path, value, answer.text)
            assert not is_list or answer.status_code == 400 or answer.json() == []


def test_h15_a_body_that_is_announced_too_large_is_refused_before_it_comes(live_app: LiveApp):
    token = f"Authorization: Bearer {live_app.token('bob')}"
    for path in ("/api/repos/create", "/login", "/api/models/bob/h13/discussions", "/api/validate-yaml"):
        with connected(live_app) as connection:
            begun = time.monotonic()
            connection.send(
                f"POST {path} HTTP/1.1\r\nHost: x\r\n{token}\r\nContent-Length: {10 << 30}\r\n\r\n".encode()
            )
            assert connection.answer("POST").status == 413, path
            assert time.monotonic() - begun < 15


def test_h15_a_body_without_an_end_is_refused_while_it_comes(live_app: LiveApp):
    token = f"Authorization: Bearer {live_app.token('bob')}"
    before = being_received(live_app)
    with connected(live_app) as connection:
        connection.send(
            f"POST /api/repos/create HTTP/1.1\r\nHost: x\r\n{token}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(40):
            connection.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
        answer = connection.answer("POST")
        assert answer.status == 413
        assert answer.headers["connection"] == "close"  # what is still sent is thrown away for a while, then cut off
    assert being_received(live_app) == before


@pytest.mark.parametrize(
    "head",
    [
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"a" * (1 << 20) + b"\r\n\r\n",
        b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["two lengths", "length and chunks", "negative", "huge", "unknown coding", "long header", "long line"],
)
def test_h15_heads_that_mean_two_things_or_never_end_are_refused(live_app: LiveApp, head: bytes):
    with connected(live_app) as connection:
        try:
            connection.send(head)
            status = connection.answer("POST").status
        except (EOFError, OSError):
            return  # cut off: as good
        assert status in (400, 411, 413, 414, 431, 501), status
        assert connection.is_at_end()  # what follows could be somebody else's request


FILES = (
    "page.html", "page.htm", "page.xhtml", "picture.svg", "feed.xml", "unsaid", "lies.png", "lies.txt", "code.js",
    "worker.mjs", "style.css", "doc.pdf", "app.wasm", "site.webmanifest", "x.mht",
)  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("view", ["resolve", "raw"])
def test_h20_what_strangers_wrote_never_runs_on_our_origin(live_app: LiveApp, repository: str, name: str, view: str):
    for query in ("", "?download=true", "?download=false"):
        answer = httpx.get(f"{live_app.url}/{repository}/{view}/main/{name}{query}", headers=bearer(live_app, "bob"))
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"
        media = answer.headers["content-type"].partition(";")[0]
        attached = answer.headers.get("content-disposition", "").startswith("attachment")
        policy = answer.headers.get("content-security-policy", "")
        harmless = media in ("text/plain", "application/octet-stream", "application/json") or media.startswith(
            "image/p"
        )
        # Scripts and styles of other pages load by their type: neither may have one that a browser would take.
        assert media not in ("text/javascript", "application/javascript", "text/css", "application/wasm"), media
        assert harmless or attached or "sandbox" in policy, (media, policy)
        assert answer.headers.get("service-worker-allowed") is None


def test_h20_pages_have_a_policy_and_show_no_strangers_markup(live_app: LiveApp, repository: str):
    for name in FILES:
        page = httpx.get(f"{live_app.url}/{repository}/blob/main/{name}")
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe-inline" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "<script>alert" not in page.text
        assert "onload='alert" not in page.text
