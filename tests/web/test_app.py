"""Addresses, dialects, the log line and the headers that every answer has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.web.app import _checked_path
from headwater.web.refusals import BadAddress
from tests.conftest import wait_for
from tests.web.raw import Connection
from tests.web.serving import Served


@pytest.fixture(scope="module")
def site(big: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("app")
    (folder / "small").write_bytes(b"x")
    served = Served(folder, env={"TEST_PROXIES": "127.0.0.1, 10.0.0.0/8".replace(" ", "")})
    yield served
    served.stop()


def raw(site: Served, path: str, method: str = "GET", *headers: str):
    return Connection(site.connect()).ask(method, path, b"", *headers)


@pytest.mark.parametrize(
    "path",
    [
        "/public/a/%2e%2e/b",
        "/public/../etc/passwd",
        "/public/a%2f..%2fb",
        "/public/.",
        "/public/a//b",
        "/public/%00",
        "/public/a%0ab",
        "/public/a\\b",
        "/public/a%5cb",
        "/public/%ff%fe",
        "/public/%c0%ae",
    ],
)
def test_addresses_with_two_readings_are_refused_not_tidied(site, path):
    answer = raw(site, path)
    assert answer.status == 400
    assert orjson.loads(answer.body)["code"] == "bad_address"


def test_plain_addresses_reach_their_route_unquoted_once(site):
    def values(path: str) -> dict[str, str]:
        return orjson.loads(raw(site, path).body)["values"]

    assert values("/echo/a%20b/x/y%2Fz") == {"ns": "a b", "rest": "x/y/z"}
    assert values("/echo/a%252e/x..y...z") == {"ns": "a%2e", "rest": "x..y...z"}
    assert values("/echo/%E6%A8%A1/") == {"ns": "模", "rest": ""}


def test_nothing_here_and_wrong_methods(site):
    assert raw(site, "/nowhere").status == 404
    answer = raw(site, "/digest")
    assert (answer.status, answer.headers["allow"]) == (405, "PUT")
    assert raw(site, "/memory", "HEAD").status == 200


def test_a_slash_too_many_leads_to_the_page(site):
    answer = raw(site, "/page/?a=1")
    assert (answer.status, answer.headers["location"]) == (308, "/page?a=1")
    assert raw(site, "/memory/").status == 404


def test_a_bug_is_a_500_in_the_dialect_of_its_route_and_logged_once(site):
    plain = raw(site, "/broken", "GET", "X-Request-Id: my-own-number-1")
    assert plain.status == 500
    assert plain.headers["x-request-id"] == "my-own-number-1"
    assert b"my-own-number-1" in plain.body
    assert b"bug" not in plain.body
    assert raw(site, "/shout/broken").body.startswith(b"SOMETHING BROKE")
    entries = [orjson.loads(line) for line in site.log().splitlines()]
    own = [entry for entry in entries if entry.get("request_id") == "my-own-number-1"]
    assert [entry["event"] for entry in own] == ["request.failed", "request.answered"]
    assert "RuntimeError: a bug" in own[0]["exception"]


def test_credentials(site):
    def get(path: str, credential: str):
        return raw(site, path, "GET", f"Authorization: {credential}")

    assert orjson.loads(get("/echo/a/b", "ada").body)["actor"] == "ada"
    assert get("/echo/a/b", "wrong").status == 401
    assert get("/public/b", "wrong").status == 200
    assert orjson.loads(get("/signed/b", "ada").body)["actor"] == ""


def test_proxies_are_believed_only_as_far_as_they_are_known(site):
    def client(forwarded: str) -> tuple[str, str]:
        headers = [f"X-Forwarded-For: {forwarded}", "X-Forwarded-Proto: https"]
        found = orjson.loads(raw(site, "/public/x", "GET", *headers).body)
        return found["client"], found["scheme"]

    assert client("203.0.113.9") == ("203.0.113.9", "https")
    assert client("1.1.1.1, 203.0.113.9, 10.1.2.3") == ("203.0.113.9", "https")
    assert client("nonsense") == ("nonsense", "https")
    assert client("203.0.113.9, ::ffff:10.1.2.3") == ("203.0.113.9", "https")
    assert client("::FFFF:203.0.113.9") == ("203.0.113.9", "https")
    assert client("2001:db8::1") == ("2001:db8::1", "https")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("proxies", ["127.0.0.0/8", "::ffff:127.0.0.1", "::ffff:127.0.0.0/104"])
def test_ipv4_clients_of_an_ipv6_socket_have_their_own_addresses(big, tmp_path, loop, proxies):
    (tmp_path / "small").hardlink_to(big / "small")
    site = Served(tmp_path, loop=loop, ipv6=True, env={"TEST_PROXIES": proxies})
    try:
        plain = orjson.loads(raw(site, "/public/x").body)
        proxied = orjson.loads(raw(site, "/public/x", "GET", "X-Forwarded-For: 203.0.113.9").body)
    finally:
        site.stop()
    assert (plain["client"], proxied["client"]) == ("127.0.0.1", "203.0.113.9")


def test_one_line_a_request_without_addresses_or_tokens(site):
    raw(site, "/echo/lab/secret-path?token=hw_secret", "GET", "Authorization: ada", "X-Request-Id: line-number-2")
    # The line is written once the answer is sent.
    lines = wait_for(lambda: [line for line in site.log().splitlines() if "line-number-2" in line])
    assert len(lines) == 1
    assert "secret" not in lines[0]
    entry = orjson.loads(lines[0])
    assert (entry["route"], entry["status"], entry["method"]) == ("/echo/{ns}/{rest*}", 200, "GET")


def test_pages_have_a_policy(site):
    headers = raw(site, "/page").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_heads_without_end_are_cut_off(site):
    endless = Connection(site.connect())
    endless.send(b"GET /memory HTTP/1.1\r\nX-Long: ")
    try:
        for _ in range(40):
            endless.send(b"a" * 65536)
        assert endless.answer().status == 400
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was closed while we were still sending
    many = Connection(site.connect())
    many.send(b"GET /memory HTTP/1.1\r\n" + b"X-A: b\r\n" * 9000 + b"\r\n")
    assert many.answer().status == 400


def test_no_http_at_all_is_400(site):
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http:// HTTP/1.1\r\n\r\n",
        b"\0" * 100,
    ):
        connection = Connection(site.connect())
        connection.send(garbage)
        assert connection.answer().status in (400, 404)


def test_the_small_site_still_stands(site):
    assert httpx.get(f"{site.url}/memory").status_code == 200


@given(st.binary(max_size=60))
def test_any_path_is_taken_as_it_is_or_refused(tail):
    path = b"/" + tail
    try:
        found = _checked_path({"raw_path": path, "path": ""})
    except BadAddress:
        return
    assert found.encode() == path


def test_without_our_server_files_go_out_in_blocks(tmp_path):
    """The fallback for TLS and other servers: the same application, driven as plain ASGI."""
    from starlette.requests import Request

    from headwater.blobs import Extent
    from headwater.web import SourceResponse

    (tmp_path / "file").write_bytes(bytes(range(256)) * 20_000)

    class Two:
        size_bytes = 5_120_004

        is_local = True

        def pieces(self, start, end):
            yield b"head"
            yield Extent(tmp_path / "file", 0, 5_120_000)

    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "headers": [], "path": "/", "query_string": b"", "state": {}}
    # On a thread of its own: a browser test before this one may have left a loop running on this.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, SourceResponse(Request(scope), Two())(scope, receive, send)).result()
    body = b"".join(message.get("body", b"") for message in sent)
    assert body == b"head" + (tmp_path / "file").read_bytes()
    assert max(len(message.get("body", b"")) for message in sent) <= 1 << 20
