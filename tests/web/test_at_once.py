"""Answers that need no task of their own: the same bytes, in the same order, on the same connections."""

from __future__ import annotations

import orjson
import pytest

from tests.conftest import wait_for
from tests.web.raw import Connection


@pytest.fixture
def connection(served):
    found = Connection(served.connect())
    yield found
    found.sock.close()


def test_an_answer_at_hand_is_like_any_other(connection):
    told = connection.ask("GET", "/at-once/told", b"", "Authorization: ada")
    assert (told.status, orjson.loads(told.body)) == (200, {"actor": "ada"})
    assert told.headers["x-way"] == "at once"
    assert told.headers["x-content-type-options"] == "nosniff"
    assert {"date", "x-request-id"} <= told.headers.keys()
    head = connection.ask("HEAD", "/at-once/told", b"", "Authorization: ada")
    assert (head.status, head.headers["content-length"]) == (200, str(len(told.body)))
    later = connection.ask("GET", "/at-once/other", b"", "Authorization: ada")
    assert orjson.loads(later.body) == {"actor": "ada", "later": True}


def test_bytes_in_memory_by_ranges_and_conditions(connection):
    assert connection.ask("GET", "/at-once/memory").body == b"0123456789"
    part = connection.ask("GET", "/at-once/memory", b"", "Range: bytes=2-4")
    assert (part.status, part.body, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    parts = connection.ask("GET", "/at-once/memory", b"", "Range: bytes=0-1,5-6")
    assert (parts.status, len(parts.body)) == (206, int(parts.headers["content-length"]))
    assert b"01" in parts.body
    assert b"56" in parts.body
    beyond = connection.ask("GET", "/at-once/memory", b"", "Range: bytes=90-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, "bytes */10")
    same = connection.ask("GET", "/at-once/memory", b"", 'If-None-Match: "m"')
    assert (same.status, same.body) == (304, b"")
    assert connection.ask("GET", "/at-once/file").body == b"<script>alert(1)</script>"
    assert connection.ask("HEAD", "/at-once/file").headers["content-length"] == "25"


def test_refusals_and_bugs_are_told_by_the_usual_way(served, connection):
    wrong = connection.ask("GET", "/at-once/told", b"", "Authorization: wrong")
    assert wrong.status >= 400
    for way in ("broken", "bad-header"):
        answer = connection.ask("GET", f"/at-once/{way}", b"", f"X-Request-Id: {way}-of-{served.port}")
        assert answer.status == 500
        lines = wait_for(
            lambda way=way: [
                line
                for line in map(orjson.loads, served.log().splitlines())
                if line.get("request_id") == f"{way}-of-{served.port}" and line["event"] == "request.answered"
            ]
        )
        assert [line["status"] for line in lines] == [500]
    assert connection.ask("GET", "/at-once/told").status == 200


def test_one_line_of_the_log_each(served, connection):
    for number in range(3):
        connection.ask(
            "GET", "/at-once/told", b"", "Authorization: ada", f"X-Request-Id: number-{number}-{served.port}"
        )
    text = wait_for(lambda: served.log() if f"number-2-{served.port}" in served.log() else None)
    lines = [line for line in map(orjson.loads, text.splitlines()) if line.get("request_id", "").startswith("number-")]
    assert [(line["route"], line["status"], line["size_bytes"]) for line in lines] == [("/at-once/{how}", 200, 15)] * 3


def test_many_requests_in_one_write_are_answered_in_order(connection):
    ways = ["told", "other", "memory", "file", "broken", "told"] * 200  # more than calls may be nested
    connection.send(b"".join(f"GET /at-once/{way} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for way in ways))
    found = [connection.answer() for _ in ways]
    assert [answer.status for answer in found] == [500 if way == "broken" else 200 for way in ways]
    by_way = {way: answer.body for way, answer in zip(ways, found, strict=True) if way != "broken"}
    assert [a.body for way, a in zip(ways, found, strict=True) if way != "broken"] == [
        by_way[way] for way in ways if way != "broken"
    ]
    assert len(set(by_way.values())) == 4


def test_a_body_that_nobody_asked_for_is_no_second_request(connection):
    body = b"GET /at-once/broken HTTP/1.1\r\n\r\n"
    assert connection.ask("GET", "/at-once/told", body).status == 200
    chunked = b"GET /at-once/told HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    connection.send(chunked)
    assert connection.answer().status == 200
    assert connection.ask("GET", "/at-once/memory").body == b"0123456789"


@pytest.mark.parametrize(
    "request_", [b"GET /at-once/told HTTP/1.0\r\n\r\n", b"GET /at-once/told HTTP/1.1\r\nConnection: close\r\n\r\n"]
)
def test_a_connection_that_shall_end_ends(connection, request_):
    connection.send(request_)
    answer = connection.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert connection.is_at_end()
