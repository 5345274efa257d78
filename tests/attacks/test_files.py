"""Large files that are somebody else's, and files that are not what they claim: H01, H02, H03, H14."""

from __future__ import annotations

import hashlib
import time

import httpx
import orjson
import pytest

from tests.attacks.asking import LARGE, Hidden, ask, batch, bearer, hide
from tests.clients import being_received
from tests.conftest import LiveApp

SIZE = len(LARGE) + len("bob/h01")


@pytest.fixture(scope="module")
def hidden(live_app: LiveApp) -> Hidden:
    live_app.hf("eve").create_repo("eve/h01")
    return hide(live_app, "bob/h01")


def test_h01_an_oid_of_a_private_file_is_as_unknown_as_any_other(live_app: LiveApp, hidden: Hidden):
    def told(oid: str) -> object:
        answer = batch(live_app, "eve", "eve/h01", "download", oid, SIZE)
        return answer.status_code, answer.text.replace(oid, "OID"), set(answer.headers)

    unknown = hashlib.sha256(b"nobody has this").hexdigest()
    assert told(hidden.oid) == told(unknown)
    found = orjson.loads(batch(live_app, "eve", "eve/h01", "download", hidden.oid, SIZE).content)["objects"][0]
    assert found["error"]["code"] == 404
    assert "actions" not in found


def test_h01_nor_does_the_time_tell(live_app: LiveApp, hidden: Hidden):
    unknown = hashlib.sha256(b"nor this").hexdigest()
    took: dict[str, list[float]] = {hidden.oid: [], unknown: []}
    for _ in range(15):
        for oid, times in took.items():
            begun = time.perf_counter()
            batch(live_app, "eve", "eve/h01", "download", oid, SIZE)
            times.append(time.perf_counter() - begun)
    fastest = [min(times) for times in took.values()]
    assert max(fastest) < 3 * min(fastest)


def test_h02_known_bytes_of_others_are_asked_for_and_never_linked(live_app: LiveApp, hidden: Hidden):
    found = orjson.loads(batch(live_app, "eve", "eve/h01", "upload", hidden.oid, SIZE).content)["objects"][0]
    assert "upload" in found["actions"]  # "already there" would tell, and give
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{hidden.oid}\nsize {SIZE}\n"
    for value in (
        {"key": "lfsFile", "value": {"path": "stolen.bin", "algo": "sha256", "oid": hidden.oid, "size": SIZE}},
        {"key": "file", "value": {"path": "stolen.bin", "content": pointer, "encoding": "utf-8"}},
    ):
        lines = [{"key": "header", "value": {"summary": "s"}}, value]
        answer = ask(
            live_app, "eve", "POST", "/api/models/eve/h01/commit/main", content=b"\n".join(map(orjson.dumps, lines))
        )
        got = ask(live_app, "eve", "GET", "/eve/h01/resolve/main/stolen.bin", follow_redirects=True)
        assert b"quicksilver" not in got.content, value
        assert answer.status_code >= 400 or got.content == pointer.encode(), (answer.text, got.content)
    share = {"files": [{"sha256": hidden.oid, "filename": "x"}], "target": {"type": "model", "name": "eve/h01"}}
    assert ask(live_app, "eve", "POST", "/api/models/bob/h01/lfs-files/duplicate", json=share).status_code == 404


@pytest.mark.parametrize("sent", [b"other bytes", b"short", LARGE + b"more than was said"])
def test_h03_bytes_that_are_not_what_was_announced_are_refused_and_gone(live_app: LiveApp, hidden: Hidden, sent: bytes):
    announced = b"exactly this"
    oid = hashlib.sha256(announced).hexdigest()
    found = orjson.loads(batch(live_app, "eve", "eve/h01", "upload", oid, len(announced)).content)["objects"][0]
    link = found["actions"]["upload"]
    before = being_received(live_app)
    answer = httpx.put(link["href"], content=sent, headers=link.get("header") or {}, timeout=60)
    assert answer.status_code in (400, 413, 422), answer.text
    assert being_received(live_app) == before
    again = orjson.loads(batch(live_app, "eve", "eve/h01", "upload", oid, len(announced)).content)["objects"][0]
    assert "upload" in again["actions"]


@pytest.mark.parametrize("path", ["README.md", "large.bin"])
@pytest.mark.parametrize(
    ("asked", "statuses"),
    [
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(10_000)), (200, 400, 416, 431)),
        ("bytes=" + ",".join(["0-20"] * 400), (200, 206, 416)),
        ("bytes=999999999-", (416,)),
        ("bytes=5-2", (200, 416)),
        ("bytes=-0", (200, 416)),
        ("bytes=0-" + "9" * 200, (200, 206, 400, 416)),
        ("bytes=0-0, -1, 3-", (200, 206, 416)),
    ],
)
def test_h14_ranges_cost_no_more_than_the_file(
    live_app: LiveApp, hidden: Hidden, path: str, asked: str, statuses: tuple[int, ...]
):
    headers = bearer(live_app, "bob") | {"Range": asked}
    answer = httpx.get(f"{live_app.url}/bob/h01/resolve/main/{path}", headers=headers, follow_redirects=True)
    assert answer.status_code in statuses
    assert len(answer.content) < 2 * SIZE + 2000
