"""Bytes of files to clients: whole, ranges, many at once, and clients that go away."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from email.parser import BytesParser

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.web import BadRange
from headwater.web.responses import MAX_RANGES, parse_ranges
from tests.conftest import wait_for
from tests.web.raw import Connection

both_ways = pytest.mark.parametrize("way", ["", "-at-hand"])  # by a task of its own, and out of the parser's callback


@both_ways
def test_a_file_arrives_whole_and_the_connection_serves_on(served, big, way):
    with httpx.Client(base_url=served.url) as client:
        for _ in range(3):
            answer = client.get(f"/file{way}/big")
            assert answer.status_code == 200
            assert answer.content == (big / "big").read_bytes()
            assert answer.headers["accept-ranges"] == "bytes"
            assert answer.headers["etag"] == '"v1"'


def test_runs_between_literals_arrive_in_order(served, big):
    data = (big / "big").read_bytes()
    expected = b"".join(n.to_bytes(8, "big") + data[at : at + 65536] for n, at in enumerate(range(0, len(data), 65536)))
    assert httpx.get(f"{served.url}/striped/big").content == expected
    part = httpx.get(f"{served.url}/striped/big", headers={"Range": "bytes=65541-200001"})
    assert part.content == expected[65541:200002]


def test_curl_gets_ranges(served, big):
    data = (big / "big").read_bytes()
    for spec, expected in (("0-0", data[:1]), ("1000000-", data[1000000:]), ("-17", data[-17:]), ("5-9", data[5:10])):
        done = subprocess.run(["curl", "-sSf", "-r", spec, f"{served.url}/file/big"], capture_output=True, check=True)
        assert done.stdout == expected, spec


@both_ways
def test_several_ranges_come_as_multipart(served, big, way):
    data = (big / "big").read_bytes()
    answer = httpx.get(f"{served.url}/file{way}/big", headers={"Range": "bytes=0-9, 100-199, 150-299, -5"})
    assert answer.status_code == 206
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message: Message = BytesParser().parsebytes(head + answer.content)
    parts = [(part["content-range"], part.get_payload(decode=True)) for part in message.get_payload()]
    size = len(data)
    assert parts == [
        (f"bytes 0-9/{size}", data[:10]),
        (f"bytes 100-299/{size}", data[100:300]),
        (f"bytes {size - 5}-{size - 1}/{size}", data[-5:]),
    ]
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_a_range_outside_the_file_is_416_with_its_size(served):
    answer = httpx.get(f"{served.url}/memory", headers={"Range": "bytes=10-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */10"


def test_ten_thousand_ranges_are_refused(served):
    many = ",".join(f"{n * 3}-{n * 3}" for n in range(10_000))
    with httpx.Client() as client:
        answer = client.get(f"{served.url}/file/big", headers={"Range": f"bytes={many}"})
    assert answer.status_code in (400, 416)
    small = ",".join(f"{n * 3}-{n * 3}" for n in range(MAX_RANGES + 1))
    assert httpx.get(f"{served.url}/file/big", headers={"Range": f"bytes={small}"}).status_code == 416


def test_unchanged_files_are_304_and_changed_ones_come_whole(served):
    def get(**headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.get(f"{served.url}/memory", headers=named)

    same = get(if_none_match='W/"x", "m"')
    assert same.status_code == 304
    assert same.content == b""
    assert get(if_none_match='"other"').status_code == 200
    assert get(range="bytes=0-0", if_range='"m"').status_code == 206
    assert get(range="bytes=0-0", if_range='"old"').content == b"0123456789"
    assert get(range="bytes=0-0", if_range="Sat, 01 Jan 2000 00:00:00 GMT").status_code == 200
    assert get(range="lines=1-2").status_code == 200


@both_ways
def test_head_has_the_headers_and_no_body(served, big, way):
    connection = Connection(served.connect())
    for _ in range(2):
        answer = connection.ask("HEAD", f"/file{way}/big")
        assert answer.headers["content-length"] == str((big / "big").stat().st_size)
    assert connection.ask("HEAD", f"/file{way}/big", b"", "Range: bytes=0-9").status == 206
    assert connection.ask("GET", "/memory").body == b"0123456789"


@both_ways
def test_pipelined_requests_are_answered_in_order(served, big, way):
    connection = Connection(served.connect())
    one = f"GET /file{way}/small HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    connection.send(one + f"GET /file{way}/big HTTP/1.1\r\nHost: x\r\nRange: bytes=7-900000\r\n\r\n".encode() + one * 3)
    assert connection.answer().body == (big / "small").read_bytes()
    assert connection.answer().body == (big / "big").read_bytes()[7:900001]
    for _ in range(3):
        assert connection.answer().body == (big / "small").read_bytes()


def test_eight_clients_at_once_and_memory_stays_flat(served, big):
    digest = hashlib.sha256((big / "big").read_bytes()).hexdigest()

    def fetch(_: int) -> str:
        hasher = hashlib.sha256()
        with httpx.stream("GET", f"{served.url}/file/big") as answer:
            for block in answer.iter_raw():
                hasher.update(block)
        return hasher.hexdigest()

    fetch(0)
    before = served.pss_kib()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fetch, range(16))) == {digest}
    assert served.pss_kib() - before < 8 * 1024


@both_ways
def test_clients_that_go_away_leave_nothing_open(served, way):
    before = served.n_open_files()
    for _ in range(20):
        connection = Connection(served.connect())
        connection.send(f"GET /file{way}/big HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.take(1000)
        connection.close()
    # The threads that wait for slow readers may have begun with these: three descriptors each, which stay.
    wait_for(lambda: served.n_open_files() <= before + 6, what="closing every file")
    assert httpx.get(f"{served.url}/memory").status_code == 200


@both_ways
def test_a_client_that_only_stops_sending_still_gets_its_file(served, big, way):
    import socket

    connection = Connection(served.connect())
    connection.send(f"GET /file{way}/big HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    connection.take(10)
    connection.sock.shutdown(socket.SHUT_WR)
    assert len(connection.take(1_000_000)) == 1_000_000


@both_ways
def test_a_file_shorter_than_its_record_is_never_passed_off_as_whole(served, way):
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{served.url}/short{way}/small")
    assert httpx.get(f"{served.url}/memory").status_code == 200


def test_starlettes_own_file_answers_use_the_same_way(served, big):
    assert httpx.get(f"{served.url}/starlette/big").content == (big / "big").read_bytes()


@both_ways
def test_an_empty_file(served, way):
    answer = httpx.get(f"{served.url}/file{way}/empty")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
    assert httpx.get(f"{served.url}/file{way}/empty", headers={"Range": "bytes=0-"}).status_code == 416


def test_what_strangers_wrote_cannot_run(served):
    answer = httpx.get(f"{served.url}/file/small")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "filename*=UTF-8''%E9%A1%B5%201.html" in answer.headers["content-disposition"]


@both_ways
def test_a_reader_who_takes_nothing_does_not_hold_up_others(served, way):
    idle = [Connection(served.connect()) for _ in range(6)]
    for connection in idle:
        connection.send(f"GET /file{way}/big HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    done = threading.Event()

    def others() -> None:
        for _ in range(20):
            assert httpx.get(f"{served.url}/file{way}/small").status_code == 200
        done.set()

    thread = threading.Thread(target=others)
    thread.start()
    thread.join(20)
    assert done.is_set()
    for connection in idle:
        connection.close()


@given(st.text(alphabet="bytes=0123456789-, ", max_size=60), st.integers(min_value=0, max_value=500))
def test_any_range_header_gives_sound_ranges_or_a_refusal(text, size):
    try:
        found = parse_ranges(text, size)
    except BadRange:
        return
    if found is not None:
        assert 0 < len(found) <= MAX_RANGES
        assert all(0 <= start < end <= size for start, end in found)
        assert all(a_end < b_start for (_, a_end), (b_start, _) in itertools.pairwise(found))


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 20)), min_size=1, max_size=10))
def test_joined_ranges_cover_exactly_what_was_asked(spans):
    text = "bytes=" + ",".join(f"{start}-{start + count - 1}" for start, count in spans)
    found = parse_ranges(text, 100)
    assert found is not None
    covered = {n for start, end in found for n in range(start, end)}
    assert covered == {n for start, count in spans for n in range(start, min(start + count, 100))}
