"""How each real client is told that there is no room, and what people see of it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError

from headwater.accounts.service import lookup, sessions
from headwater.kernel import utcnow
from tests.conftest import LiveApp

MB = 1_000_000


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    made = LiveApp(tmp_path_factory.mktemp("quota") / "data", options={"workers": 1})
    try:
        made.add_people()
        yield made
    finally:
        made.stop()
    made.check_clean()


def browser(app: LiveApp, name: str) -> httpx.Client:
    with app.opened() as site:
        account = site.db.read(lookup.get_account, name)
        secret = site.db.write(sessions.start_session, account, user_agent="tests", now=utcnow())
    return httpx.Client(base_url=app.url, cookies={"hw_session": secret, "hw_lang": "en"}, timeout=60)


def post(client: httpx.Client, page: str, **values: str) -> httpx.Response:
    word = re.search(r'name="csrf" value="([^"]+)"', client.get(page).text)
    assert word
    return client.post(page, data={"csrf": word[1], **values})


def test_a_full_account_is_told_by_huggingface_hub_and_frees_itself(app: LiveApp) -> None:
    hf = app.hf("bob")
    hf.create_repo("bob/large")
    app.cli("quota", "set", "bob", "--bytes", "3MB")
    hf.upload_file(path_or_fileobj=os.urandom(2 * MB), path_in_repo="a.bin", repo_id="bob/large")
    with pytest.raises(HfHubHTTPError, match="bob may use 3 MB of storage") as refused:
        hf.upload_file(path_or_fileobj=os.urandom(2 * MB + 1), path_in_repo="b.bin", repo_id="bob/large")
    assert refused.value.response.status_code == 413
    hf.upload_file(path_or_fileobj=b"small", path_in_repo="note.txt", repo_id="bob/large")
    shown = app.cli("quota", "show", "bob")
    assert shown["limits"]["max_bytes"] == 3 * MB
    assert 2 * MB < shown["used"]["used_bytes"] <= 3 * MB
    files = list(hf.list_lfs_files("bob/large"))
    hf.permanently_delete_lfs_files("bob/large", files)
    assert app.cli("quota", "show", "bob")["used"]["public_bytes"] < MB
    assert app.cli("quota", "check")["differences"] == []


def test_git_and_git_lfs_say_it_at_the_push(app: LiveApp, tmp_path: Path) -> None:
    hf = app.hf("eve")
    hf.create_repo("eve/pushed")
    app.cli("quota", "set", "eve", "--bytes", "100kB")
    url = app.url.replace("://", f"://eve:{app.token('eve')}@") + "/eve/pushed"
    work = tmp_path / "work"
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*arguments: str, check: bool = True) -> str:
        done = subprocess.run(["git", *arguments], cwd=work, env=env, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stderr
        return done.stderr

    work.mkdir()
    git("clone", url, ".")
    git("config", "user.name", "Eve")
    git("config", "user.email", "eve@example.org")
    (work / "notes.txt").write_bytes(os.urandom(300_000))
    git("add", ".")
    git("commit", "-m", "large")
    said = git("push", check=False)
    assert "eve may use 100 kB of storage" in said
    assert "remote rejected" in said
    oid = "a" * 64
    body = {"operation": "upload", "objects": [{"oid": oid, "size": 200_000}, {"oid": "b" * 64, "size": 1000}]}
    answer = httpx.post(
        f"{app.url}/eve/pushed.git/info/lfs/objects/batch",
        json=body,
        headers={"Authorization": f"Bearer {app.token('eve')}"},
    ).json()
    over, fits = answer["objects"]
    assert over["error"]["code"] == 507
    assert "has room for" in over["error"]["message"]
    assert "upload" in fits["actions"]


def test_repositories_can_be_limited(app: LiveApp) -> None:
    app.hf("ada").create_repo("lab/one")
    app.cli("quota", "set", "lab", "--repositories", "1")
    with pytest.raises(HfHubHTTPError, match="may have 1 repositories"):
        app.hf("ada").create_repo("lab/two")
    app.cli("quota", "set", "lab", "--repositories", "default")
    app.hf("ada").create_repo("lab/two")


def test_pages_show_and_set(app: LiveApp) -> None:
    app.hf("ada").create_repo("ada/seen", exist_ok=True)
    app.hf("ada").create_repo("lab/one", exist_ok=True)
    with browser(app, "ada") as ada, browser(app, "eve") as eve:
        for page in ("/admin/quotas", "/admin/storage/use"):
            assert eve.get(page).status_code == 403
        assert eve.get("/settings/storage?of=ada").status_code in (403, 404)
        assert "What frees space" in eve.get("/settings/storage").text
        assert "ada/seen" in ada.get("/settings/storage").text
        assert "lab/one" in ada.get("/settings/storage?of=lab").text
        use = ada.get("/admin/storage/use").text
        assert "<b>ada</b>" in use
        assert "<b>bob</b>" in ada.get("/admin/storage/use?q=bo").text
        assert "ada/seen" in ada.get("/admin/storage/use?by=repositories&order=smallest").text
        wrong = post(ada, "/admin/quotas", act="default", max_bytes="lots")
        assert wrong.status_code == 400
        assert "is no limit" in wrong.text
        assert post(ada, "/admin/quotas", act="default", max_bytes="2 TB", max_repositories="50").status_code == 303
        assert app.cli("quota", "show")["default"]["max_bytes"] == 2 * 10**12
        assert post(ada, "/admin/quotas", act="one", name="lab", max_bytes="none").status_code == 303
        assert app.cli("quota", "show", "lab")["limits"]["max_bytes"] is None
        assert "of 2 TB" in ada.get("/settings/storage").text
        app.cli("quota", "set", "--default", "--bytes", "default", "--repositories", "default")


def test_the_configuration_is_the_default_until_somebody_chooses(new_app: Callable[..., LiveApp]) -> None:
    app = new_app(env={"HEADWATER_QUOTA_BYTES": "5000000"}, workers=1)
    assert app.cli("quota", "show", "bob")["limits"]["max_bytes"] == 5 * MB
    app.cli("quota", "set", "--default", "--bytes", "none")
    assert app.cli("quota", "show", "bob")["limits"]["max_bytes"] is None
