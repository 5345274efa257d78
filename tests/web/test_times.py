"""How long a connection may wait: for the rest of a request's head, for its body, and for the next request."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.web.raw import Connection
from tests.web.serving import Served

HEAD_S, KEEP_ALIVE_S, BODY_S = 0.4, 1.2, 0.7


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def hasty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The small site, with little patience."""
    folder = tmp_path_factory.mktemp("hasty")
    (folder / "small").write_bytes(b"few")
    site = Served(folder, loop=request.param, env={"TEST_TIMES": f"{HEAD_S} {KEEP_ALIVE_S} {BODY_S}"})
    yield site
    site.stop()


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET /at-once/told HTTP/1.1\r\nHost:"])
def test_a_head_that_does_not_come_is_not_waited_for(hasty: Served, sent: bytes) -> None:
    started = time.monotonic()
    connection = Connection(hasty.connect())
    connection.send(sent)
    assert connection.is_at_end()
    assert time.monotonic() - started >= HEAD_S * 0.9


@pytest.mark.parametrize("path", ["/at-once/told", "/at-once/other", "/file-at-hand/small", "/file/small"])
@pytest.mark.parametrize("sent", [b"", b"\r\n"])
def test_a_next_request_that_does_not_come_is_not_waited_for(hasty: Served, path: str, sent: bytes) -> None:
    connection = Connection(hasty.connect())
    assert connection.ask("GET", path).status == 200
    answered = time.monotonic()
    connection.send(sent)  # an empty line begins no request
    assert connection.is_at_end()
    assert time.monotonic() - answered >= KEEP_ALIVE_S * 0.9


def test_a_head_that_begins_late_has_its_own_time(hasty: Served) -> None:
    connection = Connection(hasty.connect())
    for _ in range(3):
        assert connection.ask("GET", "/at-once/told").status == 200
    begun = time.monotonic()
    connection.send(b"GET /at-once/told HTTP/1.1\r\nHost:")
    assert connection.is_at_end()
    assert time.monotonic() - begun >= HEAD_S * 0.9


@pytest.mark.parametrize(("method", "path"), [("PUT", "/digest"), ("POST", "/json"), ("PUT", "/small")])
@pytest.mark.parametrize("head", ["Content-Length: 9000000", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_is_not_waited_for(hasty: Served, method: str, path: str, head: str) -> None:
    """H15 of the attacks: whether a thread takes the body or the loop."""
    begun = time.monotonic()
    connection = Connection(hasty.connect())
    connection.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: ok\r\n{head}\r\n\r\n1\r\n".encode())
    answer = connection.answer(method)
    assert answer.status in (408, 413)  # too large for where it goes, where that is told before
    assert answer.status == 413 or time.monotonic() - begun >= BODY_S * 0.9
    assert answer.headers["connection"] == "close"
