"""The Xet door over HTTP, where no real client would tread: cut connections, forged links, a server that is killed."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from tests.clients import being_received, keys_of, run_client, stored_bytes
from tests.conftest import LiveApp, wait_for
from tests.xet.making import MadeXorb, make_shard

MIB = 1 << 20


def token(app: LiveApp, user: str, repo: str, scope: str = "write") -> tuple[str, dict[str, str]]:
    """The address of the store, and the headers for it."""
    answer = httpx.get(
        f"{app.url}/api/models/{repo}/xet-{scope}-token/main", headers={"Authorization": f"Bearer {app.token(user)}"}
    )
    found = answer.json()
    assert answer.headers["X-Xet-Access-Token"] == found["accessToken"]
    assert answer.headers["X-Xet-Cas-Url"] == found["casUrl"]
    assert int(answer.headers["X-Xet-Token-Expiration"]) == found["exp"]
    return found["casUrl"], {"Authorization": f"Bearer {found['accessToken']}"}


def some_xorb(n_bytes: int = 500_000) -> MadeXorb:
    return MadeXorb([os.urandom(min(65_536, n_bytes - at)) for at in range(0, n_bytes, 65_536)])


def begin_xorb(app: LiveApp, user: str, repo: str, xorb: MadeXorb, count: int) -> socket.socket:
    """Announce a xorb and send only its first ``count`` bytes."""
    cas, headers = token(app, user, repo)
    parts = urlsplit(f"{cas}/v1/xorbs/default/{xorb.name}")
    sock = socket.create_connection((parts.hostname or "", parts.port or 80))
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: x\r\nAuthorization: {headers['Authorization']}\r\n"
        f"Content-Length: {len(xorb.body)}\r\n\r\n"
    )
    sock.sendall(head.encode() + xorb.body[:count])
    return sock


def test_a_shard_is_answered_in_lines_that_end_in_the_result(live_app: LiveApp) -> None:
    live_app.hf("ada").create_repo("ada/door-lines")
    cas, headers = token(live_app, "ada", "ada/door-lines")
    xorb = some_xorb()
    answer = httpx.post(f"{cas}/v1/xorbs/default/{xorb.name}", content=xorb.body, headers=headers)
    assert answer.json() == {"was_inserted": True}
    digest = hashlib.sha256(b"".join(xorb.chunks)).hexdigest()
    shard = make_shard([([(xorb, 0, len(xorb.chunks))], digest)])
    lines = [
        orjson.loads(line)
        for line in httpx.post(f"{cas}/v2/shards", content=shard, headers=headers).text.strip().split("\n")
    ]
    assert lines[0] == {"type": "validating", "verified": 0, "total": 500_000}
    assert lines[-1] == {"type": "result", "result": 1}
    assert httpx.post(f"{cas}/v1/shards", content=shard, headers=headers).json() == {"result": 0}
    wrong = make_shard([([(xorb, 0, 2)], "0" * 64)])
    last = httpx.post(f"{cas}/v2/shards", content=wrong, headers=headers).text.strip().split("\n")[-1]
    assert orjson.loads(last)["type"] == "error"
    assert httpx.post(f"{cas}/v1/shards", content=wrong, headers=headers).status_code == 400


@pytest.mark.parametrize("size", [0, 47, 48, 100, 239])
def test_a_truncated_shard_is_a_400(live_app: LiveApp, size: int) -> None:
    live_app.hf("ada").create_repo("ada/door-cut", exist_ok=True)
    cas, headers = token(live_app, "ada", "ada/door-cut")
    shard = make_shard([([(some_xorb(), 0, 1)], None)])[:size]
    for version in ("v1", "v2"):
        answer = httpx.post(f"{cas}/{version}/shards", content=shard, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_shard")


def test_a_xorb_whose_sender_hangs_up_leaves_nothing(new_app) -> None:
    app = new_app(workers=1)
    app.hf("ada").create_repo("ada/m")
    xorb = some_xorb(3 * MIB)
    before = stored_bytes(app)
    sock = begin_xorb(app, "ada", "ada/m", xorb, MIB)
    wait_for(lambda: being_received(app), what="the upload's beginning")
    sock.close()
    wait_for(lambda: not being_received(app), what="the upload's end")
    assert stored_bytes(app) == before


def test_a_server_that_is_killed_names_nothing_and_goes_on(new_app) -> None:
    app = new_app(workers=1)
    app.hf("ada").create_repo("ada/m")
    xorb = some_xorb(3 * MIB)
    with begin_xorb(app, "ada", "ada/m", xorb, 2 * MIB):
        wait_for(lambda: being_received(app), what="the upload's beginning")
        for pid in app.processes():
            os.kill(pid, signal.SIGKILL)
        app.process.wait()
    assert not keys_of(app, "xet/")
    again = LiveApp(app.data, options={"workers": 1})
    try:
        again._tokens = app._tokens
        cas, headers = token(again, "ada", "ada/m")
        answer = httpx.post(f"{cas}/v1/xorbs/default/{xorb.name}", content=xorb.body, headers=headers)
        assert answer.json() == {"was_inserted": True}
        assert len(keys_of(app, "xet/")) == 2
    finally:
        again.stop()
    again.check_clean()


def test_links_open_their_range_and_nothing_else(live_app: LiveApp, tmp_path: Path) -> None:
    live_app.hf("ada").create_repo("ada/door-links")
    (tmp_path / "w").write_bytes(os.urandom(2 * MIB))
    run_client(
        live_app,
        "ada",
        "api.upload_file(path_or_fileobj=args[0], path_in_repo='w.bin', repo_id='ada/door-links')",
        str(tmp_path / "w"),
        home=tmp_path,
    )
    head = httpx.head(f"{live_app.url}/ada/door-links/resolve/main/w.bin")
    cas, headers = token(live_app, "bob", "ada/door-links", "read")
    url = f"{cas}/v1/reconstructions/{head.headers['X-Xet-Hash']}"
    found = httpx.get(url, headers={**headers, "Range": "bytes=1000000-1000100"}).json()
    ((fetch,),) = found["fetch_info"].values()
    low, high = fetch["url_range"]["start"], fetch["url_range"]["end"]
    assert httpx.get(fetch["url"], headers={"Range": f"bytes={low}-{high}"}).status_code == 206
    for asked in (
        None,
        f"bytes={low - 1}-{high}",
        f"bytes={low}-{high + 1}",
        "bytes=0-10",
        f"bytes={low}-",
        "bytes=-5",
    ):
        answer = httpx.get(fetch["url"], headers={"Range": asked} if asked else {})
        assert answer.status_code == 403, asked
    assert httpx.get(fetch["url"][:-2] + "xx", headers={"Range": f"bytes={low}-{high}"}).status_code == 403
    assert httpx.get(url, headers={**headers, "Range": f"bytes={2 * MIB}-"}).status_code == 416
    assert httpx.get(f"{cas}/v1/reconstructions/{'0' * 64}", headers=headers).status_code == 404
    assert httpx.get(f"{cas}/v1/reconstructions/nothing", headers=headers).status_code == 404


def test_tokens_are_asked_for_and_bound_to_what_they_are_for(live_app: LiveApp) -> None:
    live_app.hf("ada").create_repo("ada/door-tokens")
    cas, reading = token(live_app, "ada", "ada/door-tokens", "read")
    xorb = some_xorb(1000)
    for headers in ({}, reading, {"Authorization": "Bearer x.y"}, {"Authorization": f"Bearer {live_app.token('ada')}"}):
        answer = httpx.post(f"{cas}/v1/xorbs/default/{xorb.name}", content=xorb.body, headers=headers)
        assert answer.status_code == 401
    bob = {"Authorization": f"Bearer {live_app.token('bob')}"}
    answer = httpx.get(f"{live_app.url}/api/models/ada/door-tokens/xet-write-token/main", headers=bob)
    assert answer.status_code == 403
    answer = httpx.get(f"{live_app.url}/api/models/ada/door-tokens/xet-write-token/main")
    assert answer.status_code == 401
    answer = httpx.get(f"{live_app.url}/api/models/ada/door-tokens/xet-write-token/None?create_pr=1", headers=bob)
    assert answer.status_code == 200


def test_a_commit_of_an_lfs_file_without_its_bytes_is_refused(live_app: LiveApp) -> None:
    live_app.hf("ada").create_repo("ada/door-commit")
    lines = [
        {"key": "header", "value": {"summary": "x"}},
        {"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": "1" * 64, "size": 5}},
    ]
    answer = httpx.post(
        f"{live_app.url}/api/models/ada/door-commit/commit/main",
        content=b"\n".join(orjson.dumps(line) for line in lines),
        headers={"Authorization": f"Bearer {live_app.token('ada')}", "Content-Type": "application/x-ndjson"},
    )
    assert answer.status_code == 400
