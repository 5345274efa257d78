"""What strangers read of the log: tiles and proofs as they are specified, pages in both languages, and no private name anywhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest

from headwater.ledger.tree import check_consistency, check_inclusion, leaf_hash, unpack_entries
from tests.conftest import PASSWORD, LiveApp
from tests.log.test_verify import codes, look, wait_until_signed


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    app = LiveApp(tmp_path_factory.mktemp("log-pages") / "data", options={"workers": 1})
    try:
        app.add_people()
        hf = app.hf("ada")
        hf.create_repo("ada/river")
        hf.create_repo("ada/wellkeptsecret", private=True)
        hf.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="ada/wellkeptsecret")
        wait_until_signed(app)
        yield app
    finally:
        app.stop()
    app.check_clean()


def read(site: LiveApp, path: str, **kwargs: Any) -> httpx.Response:
    return httpx.get(f"{site.url}{path}", timeout=30, **kwargs)


def all_entries(site: LiveApp) -> list[dict[str, Any]]:
    size = int(read(site, "/log/checkpoint").text.split("\n")[1])
    assert size < 256
    return [orjson.loads(one) for one in unpack_entries(read(site, f"/log/tile/entries/000.p/{size}").content)]


def test_tiles_are_kept_by_caches_only_while_they_are_the_same(site: LiveApp) -> None:
    checkpoint = read(site, "/log/checkpoint")
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"
    assert "no-cache" in checkpoint.headers["cache-control"]
    size = int(checkpoint.text.split("\n")[1])
    tile = read(site, f"/log/tile/0/000.p/{size}")
    assert tile.headers["cache-control"] == "public, no-cache"
    for kind in ("0", "entries"):
        path = f"/log/tile/{kind}/000.p/{size}"
        whole = read(site, path)
        again = read(site, path, headers={"If-None-Match": whole.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert read(site, path, headers={"If-None-Match": '"of another log"'}).content == whole.content
        assert read(site, f"/log/tile/{kind}/000.p/{size - 1}").headers["etag"] != whole.headers["etag"]
    assert tile.headers["content-type"] == "application/octet-stream"
    entries = list(unpack_entries(read(site, f"/log/tile/entries/000.p/{size}").content))
    assert tile.content == b"".join(leaf_hash(one) for one in entries)
    for path in (
        f"0/000.p/{size + 1}",
        "0/000",
        "0/001.p/1",
        "1/000.p/1",
        "entries/000",
        "what",
        "0/000.p/0",
        "63/000",
    ):
        assert read(site, f"/log/tile/{path}").status_code == 404, path


def test_proofs_are_given_as_json(site: LiveApp) -> None:
    one = read(site, "/api/v1/log/entries/3").json()
    proof, root = [bytes.fromhex(step) for step in one["proof"]], bytes.fromhex(one["root"])
    assert check_inclusion(leaf_hash(one["leaf"].encode()), 3, one["size"], proof, root)
    import base64

    grown = read(site, f"/api/v1/log/consistency?from=2&to={one['size']}").json()
    steps = [base64.b64decode(step) for step in grown["proof"]]
    old, new = (bytes.fromhex(grown["roots"][name]) for name in ("from", "to"))
    assert new == root
    assert check_consistency(2, old, one["size"], new, steps)
    for path in ("from=3&to=2", "from=0&to=99999", "from=x&to=1", "", "from=-1&to=2"):
        assert read(site, f"/api/v1/log/consistency?{path}").json()["code"] == "bad_log_range"
    for index in ("999", "x", "-1", "1e3", "9" * 30):
        assert read(site, f"/api/v1/log/entries/{index}").status_code == 404


@pytest.mark.parametrize("path", ["/log", "/log/entries/3", "/log/tombstones", "/log/about/ada/river", "/log?before=2"])
def test_pages_in_both_languages(site: LiveApp, path: str) -> None:
    for language, word in (("en", "log"), ("zh-CN", "日志")):
        page = read(site, path, headers={"Accept-Language": language})
        assert page.status_code == 200
        assert word in page.text.lower()
        assert page.text.count("<h1") == 1
        assert not re.search(r"ledger\.\w+|record\.kind", page.text)


def test_a_private_name_is_nowhere(site: LiveApp) -> None:
    for path in ("/log", "/log/tombstones", *(f"/log/entries/{n}" for n in range(len(all_entries(site))))):
        assert "wellkeptsecret" not in read(site, path).text
    assert not any("wellkeptsecret" in str(one) for one in all_entries(site))
    for name in ("ada/wellkeptsecret", "ada/neverwas", "nobody", "", "datasets/x", "../x"):
        assert read(site, f"/log/about/{name}").status_code == 404
    headers = {"Authorization": f"Bearer {site.token('ada')}"}
    assert read(site, "/log/about/ada/wellkeptsecret", headers=headers).status_code == 200


def test_what_was_deleted_leaves_a_tombstone_with_its_reason(site: LiveApp) -> None:
    site.hf("ada").create_repo("ada/mistake")
    with httpx.Client(base_url=site.url, timeout=60) as browser:
        browser.post("/login", data={"name": "ada", "password": PASSWORD, "csrf": ""})
        form = browser.get("/ada/mistake/settings").text
        csrf = re.search(r'name="csrf" value="([^"]+)"', form)
        assert csrf is not None
        assert 'name="reason"' in form
        sent = {"csrf": csrf[1], "act": "delete", "confirm": "ada/mistake", "reason": "uploaded <b>twice</b>"}
        answer = browser.post("/ada/mistake/settings", data=sent, headers={"Origin": site.url})
        assert answer.status_code == 303, answer.text
    wait_until_signed(site)
    assert read(site, "/ada/mistake").status_code == 404
    for path in ("/log/tombstones", "/log/about/ada/mistake", "/log"):
        assert "uploaded &lt;b&gt;twice&lt;/b&gt;" in read(site, path).text
    assert "This repository is gone" in read(site, "/log/about/ada/mistake", headers={"Accept-Language": "en"}).text


def test_what_is_made_private_is_told_and_what_is_shown_again(site: LiveApp, tmp_path: Any) -> None:
    hf, state = site.hf("ada"), tmp_path / "state.json"
    hf.create_repo("ada/turning")
    wait_until_signed(site)
    assert codes(look(site.url, state, is_all=True)) == []
    hf.update_repo_settings("ada/turning", private=True)
    hf.upload_file(path_or_fileobj=os.urandom(8), path_in_repo="a", repo_id="ada/turning")
    wait_until_signed(site)
    done = look(site.url, state, is_all=True)
    assert codes(done) == []
    assert [one.tombstone["kind"] for one in done.buried if one.path == "ada/turning" and one.tombstone] == [
        "repository.hidden"
    ]
    hf.update_repo_settings("ada/turning", private=False)
    wait_until_signed(site)
    done = look(site.url, state, "ada/turning")
    assert codes(done) == []
    assert done.n_repositories == 1
    assert codes(look(site.url, tmp_path / "fresh.json", is_all=True)) == []


def test_a_name_that_changes_is_followed(site: LiveApp, tmp_path: Any) -> None:
    hf = site.hf("ada")
    hf.create_repo("ada/former")
    hf.move_repo("ada/former", "ada/present")
    hf.create_repo("ada/twice")
    hf.delete_repo("ada/twice")
    hf.create_repo("ada/twice", repo_type="model")
    wait_until_signed(site)
    done = look(site.url, tmp_path / "state.json", is_all=True)
    assert codes(done) == []
    assert codes(look(site.url, tmp_path / "state.json", "ada/present", "ada/twice")) == []
