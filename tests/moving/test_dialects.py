"""While a site's writes wait for its move, each dialect says so in its own words, with Retry-After; reading goes on."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
from pathlib import Path

import httpx
import pytest

from headwater.db.copying import SqliteSide
from tests.conftest import LiveApp
from tests.git.live import address, git
from tests.growth import only_on_one_machine
from tests.moving.test_migrate import csrf_of
from tests.review.browser import sign_in

pytestmark = only_on_one_machine


def push(work: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "push", "-q", "origin", "HEAD:main"], cwd=work, capture_output=True, text=True, check=False
    )


def test_every_dialect_says_that_the_site_is_moving(live_app: LiveApp, tmp_path: Path) -> None:
    app = live_app
    api = app.hf("ada")
    api.create_repo("ada/moves")
    api.upload_file(repo_id="ada/moves", path_or_fileobj=b"one", path_in_repo="one.txt")
    git("clone", "-q", address(app, "ada/moves", "ada"), str(tmp_path / "work"))
    (tmp_path / "work" / "two.txt").write_text("two")
    git("add", ".", cwd=tmp_path / "work")
    git("commit", "-q", "-m", "two", cwd=tmp_path / "work")
    headers = {"authorization": f"Bearer {app.token('ada')}"}
    data = b"by lfs"
    wanted = {"operation": "upload", "objects": [{"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}]}
    batch = f"{app.url}/ada/moves.git/info/lfs/objects/batch"
    href = httpx.post(batch, headers=headers, json=wanted).json()["objects"][0]["actions"]["upload"]["href"]
    side = SqliteSide(app.data / "headwater.db")
    with contextlib.closing(sign_in(app, "ada")) as browser:
        csrf = csrf_of(browser.get("/new/model").text)
        side.note_move({"one": 1, "state": "copying", "target": "t", "site": "s"})
        try:
            side.freeze()
            commit = '{"key":"header","value":{"summary":"x"}}\n{"key":"file","value":{"path":"x","content":"x"}}'
            told = {
                "json": httpx.post(f"{app.url}/api/models/ada/moves/commit/main", headers=headers, content=commit),
                "lfs": httpx.put(href, content=data),
                "page": browser.post("/new/model", data={"csrf": csrf, "owner": "ada", "name": "other", "licence": ""}),
            }
            for dialect, answer in told.items():
                assert answer.status_code == 503, (dialect, answer.text)
                assert int(answer.headers["retry-after"]) > 0, dialect
                assert "being moved" in answer.text + answer.headers.get("x-error-message", ""), dialect
            assert told["page"].headers["content-type"].startswith("text/html")
            said = push(tmp_path / "work")
            assert said.returncode != 0
            assert "being moved" in said.stderr or "503" in said.stderr, said.stderr
            assert httpx.get(f"{app.url}/ada/moves/resolve/main/one.txt").content == b"one"
            assert browser.get("/ada/moves").status_code == 200
        finally:
            side.thaw()
            side.give_up()
            side.close()
    assert push(tmp_path / "work").returncode == 0
    assert httpx.put(href, content=data).status_code == 200
    assert "two.txt" in api.list_repo_files("ada/moves")
    with pytest.raises(Exception, match="404"):
        api.model_info("ada/other")
