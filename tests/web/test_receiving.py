"""Request bodies: large ones past the event loop, whatever the client does with them."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import random
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import wait_for
from tests.web.raw import Connection

LARGE = random.Random(3).randbytes(5_000_003)
SHA = hashlib.sha256(LARGE).hexdigest()


def put(served: Any, body: Any, path: str = "/digest", **kwargs: Any) -> httpx.Response:
    return httpx.put(f"{served.url}{path}", content=body, timeout=30, **kwargs)


def test_a_large_body_goes_past_the_loop_and_arrives_whole(served):
    found = put(served, LARGE).json()
    assert found == {"sha256": SHA, "size": len(LARGE), "announced": len(LARGE), "took_socket": True}


def test_small_chunked_and_empty_bodies_arrive_too(served):
    def blocks():
        for at in range(0, len(LARGE), 70_001):
            yield LARGE[at : at + 70_001]

    chunked = put(served, blocks()).json()
    assert (chunked["sha256"], chunked["announced"], chunked["took_socket"]) == (SHA, None, False)
    assert put(served, b"abc").json()["size"] == 3
    assert put(served, b"").json()["size"] == 0


def test_the_connection_serves_on_after_each_body(served):
    connection = Connection(served.connect())
    for n in range(4):
        body = LARGE[n : 1_000_000 + n * 300_000]
        answer = connection.ask("PUT", "/digest", body)
        assert json.loads(answer.body)["sha256"] == hashlib.sha256(body).hexdigest()
        assert connection.ask("GET", "/memory").body == b"0123456789"


def test_a_request_sent_right_behind_a_large_body_is_answered_next(served):
    connection = Connection(served.connect())
    body = LARGE[:2_000_000]
    head = f"PUT /digest HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    connection.send(head + body + b"GET /memory HTTP/1.1\r\nHost: x\r\n\r\n" + head + body)
    assert json.loads(connection.answer().body)["sha256"] == hashlib.sha256(body).hexdigest()
    assert connection.answer().body == b"0123456789"
    assert json.loads(connection.answer().body)["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("first_bytes", [0, 1, 70_000])
def test_bytes_that_came_with_the_head_are_not_lost(served, first_bytes):
    connection = Connection(served.connect())
    body = LARGE[:900_000]
    head = f"PUT /digest HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    connection.send(head + body[:first_bytes])
    connection.send(body[first_bytes:])
    assert json.loads(connection.answer().body)["sha256"] == hashlib.sha256(body).hexdigest()


def test_expect_100_continue(served, tmp_path):
    connection = Connection(served.connect())
    body = LARGE[:600_000]
    head = f"PUT /digest HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.send(head.encode())
    assert connection.answer().status == 100
    connection.send(body)
    assert json.loads(connection.answer().body)["sha256"] == hashlib.sha256(body).hexdigest()
    assert connection.ask("GET", "/memory").status == 200

    file = tmp_path / "large"
    file.write_bytes(LARGE)
    command = ["curl", "-sSf", "-H", "Expect: 100-continue", "-T", str(file), f"{served.url}/digest"]
    assert json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["sha256"] == SHA


def test_a_refusal_before_the_100_ends_the_connection_so_that_nobody_waits(served):
    connection = Connection(served.connect())
    connection.send(b"PUT /unread HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9000000\r\n\r\n")
    answer = connection.answer()
    assert (answer.status, answer.headers["connection"]) == (409, "close")
    assert connection.is_at_end()


@pytest.mark.parametrize("path", ["/refused", "/unread"])
def test_a_refusal_reaches_a_client_that_is_still_sending(served, path):
    for _ in range(5):
        answer = put(served, LARGE * 4, path)
        assert answer.status_code == 409
        assert answer.json()["code"] == "refused"
    file = served.folder / "big"
    done = subprocess.run(["curl", "-sS", "-T", str(file), f"{served.url}{path}"], capture_output=True, check=True)
    assert json.loads(done.stdout)["code"] == "refused"


def test_a_small_unread_body_does_not_cost_the_connection(served):
    connection = Connection(served.connect())
    assert connection.ask("PUT", "/unread", b"x" * 1000).status == 409
    assert connection.ask("GET", "/memory").status == 200


def test_a_client_that_goes_away_mid_body_frees_what_it_held(served):
    before = served.n_open_files()
    for sent in (0, 100, 300_000):
        connection = Connection(served.connect())
        connection.send(b"PUT /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000\r\n\r\n" + LARGE[:sent])
        connection.close()
    wait_for(lambda: '"body_truncated"' in served.log(), what="the refusal of the truncated body")
    wait_for(lambda: served.n_open_files() <= before, what="closing every socket")


def test_a_body_that_ends_early_is_refused_while_the_client_listens(served):
    import socket

    for framing in ("Content-Length: 900000", "Transfer-Encoding: chunked"):
        connection = Connection(served.connect())
        connection.send(f"PUT /digest HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        connection.send(b"400\r\n" + b"x" * 1000)
        connection.sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(EOFError):  # the loop may see the end first: then there is nobody left to answer
            assert connection.answer().status == 400


def test_more_than_was_announced_is_no_part_of_the_body(served):
    connection = Connection(served.connect())
    body = LARGE[:500_000]
    connection.send(
        f"PUT /digest HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body + b"surplus"
    )
    assert json.loads(connection.answer().body)["size"] == len(body)
    assert connection.answer().status == 400
    assert connection.is_at_end()


def test_bodies_over_the_limit_are_refused(served):
    assert put(served, LARGE, "/digest?limit=1000000").status_code == 413
    assert put(served, iter([LARGE[:600_000], LARGE[:600_000]]), "/digest?limit=1000000").status_code == 413
    assert put(served, b"x" * 1001, "/small").status_code == 413
    assert put(served, iter([b"x" * 600, b"x" * 600]), "/small").status_code == 413


def test_gzip_is_undone_only_where_asked_for(served):
    zipped = gzip.compress(LARGE, 1)
    headers = {"Content-Encoding": "gzip"}
    assert put(served, zipped, "/digest?decode=1", headers=headers).json()["sha256"] == SHA
    two = gzip.compress(b"one ", 1) + gzip.compress(b"two", 1)
    assert (
        put(served, two, "/digest?decode=1", headers=headers).json()["sha256"] == hashlib.sha256(b"one two").hexdigest()
    )
    assert put(served, zipped, headers=headers).json()["code"] == "bad_encoding"
    assert put(served, zipped[:-9], "/digest?decode=1", headers=headers).json()["code"] == "body_truncated"
    assert put(served, zipped + b"junk", "/digest?decode=1", headers=headers).json()["code"] == "bad_encoding"
    bomb = gzip.compress(bytes(200_000_000), 9)
    assert put(served, bomb, "/digest?decode=1&limit=1000000", headers=headers).status_code == 413


def test_eight_at_once_and_memory_stays_flat(served):
    assert put(served, LARGE).status_code == 200
    before = served.pss_kib()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: put(served, LARGE * 4).json()["size"], range(16)))
    assert answers == [len(LARGE) * 4] * 16
    assert served.pss_kib() - before < 40 * 1024  # a window of 1 MiB each, and what allocators keep


def test_a_slow_sender_gets_through_and_is_not_waited_for_by_others(served):
    slow = Connection(served.connect())
    body = LARGE[:300_000]
    slow.send(f"PUT /digest HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    for at in range(0, len(body), 100_000):
        assert put(served, LARGE).status_code == 200
        slow.send(body[at : at + 100_000])
    assert json.loads(slow.answer().body)["sha256"] == hashlib.sha256(body).hexdigest()


def test_bad_json_is_refused_clearly(served):
    def post(body: bytes) -> httpx.Response:
        return httpx.post(f"{served.url}/json", content=body)

    assert post(b'{"a": 1}').json() == {"a": 1}
    assert post(b"").json() == {}
    for body in (b"{", b"[1]", b"\xff", b'{"a": NaN}'):
        assert post(body).json()["code"] == "bad_json", body


def test_an_idle_body_is_given_up(served, monkeypatch):
    from headwater.web import bodies
    from headwater.web.refusals import BodyTooSlow

    pace = bodies._Pace()
    pace.check(0)
    pace.started -= bodies.GRACE_S + 1
    pace.moved()
    pace.check(bodies.LEAST_RATE * 100)
    with pytest.raises(BodyTooSlow):
        pace.check(1000)
    idle = bodies._Pace()
    idle.check(10**9)
    idle.last -= bodies.IDLE_S + 1
    with pytest.raises(BodyTooSlow):
        idle.check(10**9)


def test_a_stop_in_the_middle_of_transfers_takes_less_than_ten_seconds(big: Path, tmp_path: Path):
    from tests.web.serving import Served

    (tmp_path / "big").hardlink_to(big / "big")
    site = Served(tmp_path)
    sending = Connection(site.connect())
    sending.send(b"PUT /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 900000000\r\n\r\n" + LARGE)
    taking = Connection(site.connect())
    taking.send(b"GET /file/big HTTP/1.1\r\nHost: x\r\n\r\n")
    taking.take(1000)
    idle = Connection(site.connect())
    assert idle.ask("GET", "/memory").status == 200
    started = time.monotonic()
    assert site.stop() < 10
    assert time.monotonic() - started < 10
