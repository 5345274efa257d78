"""A running one-machine site moves to PostgreSQL and an object store, killed in every pass on the way, and back again.

Clients read and write all the while. What was acknowledged must be there afterwards; what was read must have been right.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import HfHubHTTPError
from sqlalchemy import text

from headwater import accounts
from headwater.accounts import totp
from headwater.accounts.browsers import Browser
from headwater.accounts.service import second
from headwater.db import open_database
from headwater.kernel import Actor, utcnow
from tests.clients import run_client
from tests.community.test_attachments import picture, post
from tests.conftest import LiveApp, clean_env, wait_for
from tests.git.live import address, git
from tests.growth import only_on_one_machine
from tests.review.browser import sign_in
from tests.servers.postgres import cluster
from tests.servers.seaweed import KEY_ID, SECRET_KEY, seaweed

# Six migrations beside clients are part of the first test's time.
pytestmark = [only_on_one_machine, pytest.mark.timeout(900)]

PASSES = ("Copying objects:", "Copying rows", "Comparing rows", "Copying objects that came", "Last pass")
PAUSE_S = 0.05  # between two acts of a client: without it they take both processors from the migration
# A writer waits for as long as a killed migration's lease holds, and for two busy processors: nothing is measured by it.
PATIENTLY: Any = {"timeout_s": 120, "what": "the clients' next acts"}
UPLOAD = "api.upload_folder(repo_id=args[0], folder_path=args[1], commit_message='x')"


def store_env() -> dict[str, str]:
    return {
        "HEADWATER_S3_ENDPOINT": seaweed().url,
        "HEADWATER_S3_KEY_ID": KEY_ID,
        "HEADWATER_S3_SECRET_KEY": SECRET_KEY,
    }


def new_database(name: str) -> str:
    cluster().sql(f"create database {name}")
    return cluster().url_of(name)


def migrate(*arguments: str, ok: bool = True) -> Any:
    """What the command says, as JSON; its refusal where ``ok`` is false."""
    done = subprocess.run(
        [sys.executable, "-m", "headwater", "migrate-site", *arguments, "--json"],
        capture_output=True,
        text=True,
        env=clean_env(store_env()),
        timeout=300,
        check=False,
    )
    assert (done.returncode == 0) is ok, done.stdout + done.stderr
    return orjson.loads(done.stdout if ok else done.stderr)


def killed_in(step: str, *arguments: str) -> None:
    """Run the command until it says that it begins this pass, and kill it there."""
    command = [sys.executable, "-u", "-m", "headwater", "migrate-site", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean_env(store_env())) as running:
        assert running.stderr is not None
        said = ""
        for line in running.stderr:
            said += line
            if step in line:
                running.kill()
                break
        running.wait()
    assert running.returncode == -9, said


def up_refused(data: Path, env: dict[str, str]) -> str:
    """The code by which a server does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "headwater", "up", f"--data={data}", "--port=0", "--json"],
        capture_output=True,
        text=True,
        env=clean_env(env),
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    code: str = orjson.loads(done.stderr.splitlines()[-1])["code"]
    return code


class Clients:
    """One writes, one reads, until they are told to stop."""

    def __init__(self, app: LiveApp, known: bytes, home: Path) -> None:
        self.acknowledged: list[int] = []
        self.refused: list[int] = []  # statuses
        self.n_reads = 0
        self.wrong: list[str] = []
        self._app, self._known, self._home = app, known, home
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=act) for act in (self._write, self._read)]
        app.hf("ada").create_repo("ada/busy", exist_ok=True)
        for thread in self._threads:
            thread.start()

    def _write(self) -> None:
        hf, number = self._app.hf("ada"), 0
        while not self._stop.is_set():
            number += 1
            act = CommitOperationAdd(f"{number}.txt", f"number {number}".encode())
            try:
                hf.create_commit("ada/busy", [act], commit_message=f"n {number}")
                self.acknowledged.append(number)
            except HfHubHTTPError as exc:
                self.refused.append(exc.response.status_code)
                if "Retry-After" not in exc.response.headers:
                    self.wrong.append("no Retry-After")
            except Exception as exc:  # told by who waits for the next write: a thread that ends tells nobody
                self.wrong.append(repr(exc))
            self._stop.wait(PAUSE_S)

    def _read(self) -> None:
        hf = self._app.hf("ada")
        while not self._stop.is_set():
            try:
                cache = self._home / f"reads{self.n_reads}"
                got = hf.hf_hub_download("ada/kept", "weights.bin", cache_dir=cache)
                if Path(got).read_bytes() != self._known:
                    self.wrong.append("other bytes were read")
                hf.list_repo_files("ada/busy")
                self.n_reads += 1
            except Exception as exc:
                self.wrong.append(repr(exc))
            self._stop.wait(PAUSE_S)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def csrf_of(html: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', html)
    assert found
    return found[1]


def send_whole(app: LiveApp, repo: str, data: bytes) -> dict[str, Any]:
    """A small file from a browser, which no commit takes yet."""
    with contextlib.closing(sign_in(app, "ada")) as browser:
        headers = {"X-CSRF-Token": csrf_of(browser.get(f"/{repo}/upload/main").text)}
        announced = {"files": [{"path": "sent.txt", "size": len(data), "stamp": 3}]}
        upload = browser.post(f"/{repo}/upload-session", json=announced, headers=headers).json()["files"][0]
        put = browser.put(f"/-/uploads/{upload['id']}?offset=0", content=data, headers=headers)
        assert put.json()["complete"]
    return {"id": upload["id"], "announced": announced, "data": data}


def send_again(app: LiveApp, repo: str, sent: dict[str, Any], url: str | None = None) -> None:
    """Its parts did not come along: it begins again under the name it had, is charged once, and can be committed."""
    with contextlib.closing(sign_in(app, "ada")) as browser:
        headers = {"X-CSRF-Token": csrf_of(browser.get(f"/{repo}/upload/main").text)}
        [upload] = browser.post(f"/{repo}/upload-session", json=sent["announced"], headers=headers).json()["files"]
        assert (upload["id"], upload["received"], upload["complete"]) == (sent["id"], 0, False)
        put = browser.put(f"/-/uploads/{upload['id']}?offset=0", content=sent["data"], headers=headers)
        assert put.json()["complete"], put.text
        made = browser.post(
            f"/{repo}/upload-commit/main/", json={"ids": [upload["id"]], "title": "Sent again"}, headers=headers
        )
        assert made.status_code == 200, made.text
    db = open_database(app.data, url)
    try:
        query = "select pending_bytes from account_usage join account on account.id = account_id where name = 'ada'"
        assert db.read(lambda tx: tx.execute(text(query)).scalar()) == 0
    finally:
        db.close()


def entries(url: str | None, data: Path) -> list[tuple[int, str]]:
    db = open_database(data, url)
    try:
        return [
            tuple(row) for row in db.read(lambda tx: tx.execute(text("select id, leaf from entry order by id")).all())
        ]
    finally:
        db.close()


def set_up_second_factor(app: LiveApp, name: str) -> tuple[bytes, str]:
    """The secret of an authenticator app, and one of the recovery codes."""
    now = utcnow()
    with app.opened() as site:
        found = site.db.read(accounts.get_account, name)
        actor = Actor(found.id, found.name)
        begun = second.begin_app(site, actor, now=now)
        code = totp.code_at(begun.secret, totp.step_of(now))
        browser = Browser("192.0.2.1")
        codes = second.finish_app(site, actor, sealed=begun.sealed, code=code, name="app", browser=browser, now=now)
    return begun.secret, codes[0]


@pytest.fixture(scope="module")
def moved(tmp_path_factory) -> Any:
    """The site in its former place, still running there, and all that is known of it; moved already."""
    tmp = tmp_path_factory.mktemp("moving")
    rng = random.Random(5)
    app = LiveApp(tmp / "data", options={"workers": 2})
    facts: dict[str, Any] = {"tmp": tmp, "app": app}
    try:
        app.add_people()
        ada, bob = app.hf("ada"), app.hf("bob")
        tree = tmp / "tree"
        tree.mkdir()
        known = rng.randbytes(2 << 20)
        (tree / "weights.bin").write_bytes(known)
        (tree / "notes.txt").write_bytes(rng.randbytes(150_000).hex().encode())  # a pack that is too large for its row
        (tree / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Heron\n\nA quiet wading model.\n")
        ada.create_repo("ada/kept", private=True)
        run_client(app, "ada", UPLOAD, "ada/kept", str(tree), home=tmp / "home")
        by_lfs = rng.randbytes(1 << 20)
        (tmp / "by_lfs.bin").write_bytes(by_lfs)
        ada.create_repo("ada/open")
        one_file = "api.upload_file(path_or_fileobj=args[0], path_in_repo='lfs.bin', repo_id='ada/open')"
        run_client(app, "ada", one_file, str(tmp / "by_lfs.bin"), home=tmp / "home2", HF_HUB_DISABLE_XET="1")
        ada.upload_file(
            path_or_fileobj=b"---\ntags: [heron]\n---\nA heron at the water.\n",
            path_in_repo="README.md",
            repo_id="ada/open",
        )
        bob.create_repo("bob/pushed")
        git("clone", address(app, "bob/pushed", "bob"), str(tmp / "work"))
        (tmp / "work" / "中文 name.txt").write_text("by git\n")
        git("add", ".", cwd=tmp / "work")
        git("commit", "-m", "pushed", cwd=tmp / "work")
        git("push", "origin", "HEAD:main", cwd=tmp / "work")
        bob.like("ada/open") if hasattr(bob, "like") else None
        talk = bob.create_discussion("ada/open", "Where do herons sleep?", description="Asking for a friend.")
        shown = httpx.URL(post(app, "ada", picture()).text).path
        ada.comment_discussion("ada/open", talk.num, f"On one leg. ![so]({shown})")
        facts["sent"] = send_whole(app, "ada/open", b"from a browser")
        hook = ada.create_webhook(
            url="https://example.org/hook", watched=[{"type": "user", "name": "ada"}], domains=["repo"]
        )
        facts["browser"] = sign_in(app, "ada")
        facts["second_factor"] = set_up_second_factor(app, "eve")
        facts |= {"known": known, "by_lfs": by_lfs, "tree": tree, "talk": talk.num, "shown": shown, "hook": hook.id}
        facts["url"], facts["bucket"] = new_database("moved_site"), seaweed().new_bucket()
        facts["blobs"] = f"s3://{facts['bucket']}/hub"
        flags = (f"--from={app.data}", f"--to-database={facts['url']}", f"--to-blobs={facts['blobs']}")
        facts["env"] = {**store_env(), "HEADWATER_DATABASE_URL": facts["url"], "HEADWATER_BLOBS": facts["blobs"]}
        facts["clients"] = clients = Clients(app, known, tmp)
        try:
            for number, step in enumerate(PASSES):
                killed_in(step, *flags)
                if number == 1:
                    facts["half"] = up_refused(tmp / "elsewhere", facts["env"])
                seen = len(clients.acknowledged)
                if step != PASSES[-1]:
                    wait_for(lambda seen=seen: clients.wrong or len(clients.acknowledged) > seen, **PATIENTLY)
                    assert not clients.wrong
            facts["made"] = migrate(*flags)
            wait_for(lambda: clients.wrong or (clients.refused and clients.n_reads), **PATIENTLY)
            seen = clients.n_reads
            wait_for(lambda: clients.wrong or clients.n_reads > seen, **PATIENTLY)
        finally:
            clients.stop()
        facts["before"] = entries(None, app.data)
        yield facts
    finally:
        app.stop()
    app.check_clean()


@pytest.fixture(scope="module")
def there(moved) -> Any:
    """The site at its new place."""
    moved["app"].stop()
    app = LiveApp(moved["tmp"] / "new", options={"workers": 1}, env=moved["env"])
    app._tokens = moved["app"]._tokens
    try:
        yield app
    finally:
        app.stop()
    app.check_clean()


def test_writes_waited_for_the_last_pass_alone_and_reads_never(moved):
    clients = moved["clients"]
    assert not clients.wrong
    assert clients.refused
    assert set(clients.refused) == {503}
    assert moved["made"]["paused_s"] > 0
    assert moved["made"]["read_back"] >= 4  # a xorb and its index, a pack and its index at the least
    print("writes waited", moved["made"])


def test_a_half_moved_site_does_not_start(moved):
    assert moved["half"] == "site_half_moved"


def test_the_former_place_does_not_start_again_and_is_not_moved_twice(moved, tmp_path):
    moved["app"].stop()
    assert up_refused(moved["app"].data, {}) == "site_moved"
    again = migrate(f"--from={moved['app'].data}", f"--to-database={new_database('moved_again')}", ok=False)
    assert again["code"] == "site_moved"
    assert migrate(f"--from={moved['app'].data}", "--abort", ok=False)["code"] == "site_moved"


def test_another_sites_database_is_left_alone(moved, there, tmp_path):
    other = LiveApp(tmp_path / "other", options={"workers": 1})
    other.stop()
    refused = migrate(f"--from={other.data}", f"--to-database={moved['url']}", ok=False)
    assert refused["code"] == "move_target_taken"
    refused = migrate(f"--from={other.data}", f"--to-blobs={moved['blobs']}", ok=False)
    assert refused["code"] == "object_store_of_another_site"
    assert migrate(f"--from={tmp_path}", f"--to-blobs={moved['blobs']}", ok=False)["code"] == "no_site_there"


def test_every_acknowledged_write_has_arrived(moved, there):
    found = {name for name in there.hf("ada").list_repo_files("ada/busy") if name.endswith(".txt")}
    assert {f"{number}.txt" for number in moved["clients"].acknowledged} <= found
    assert len(moved["clients"].acknowledged) >= len(PASSES) - 1


def test_files_of_every_kind_are_the_same_bytes(moved, there, tmp_path):
    hf = there.hf("ada")
    for path in moved["tree"].iterdir():
        got = hf.hf_hub_download("ada/kept", path.name, cache_dir=tmp_path)
        assert Path(got).read_bytes() == path.read_bytes()
    assert Path(hf.hf_hub_download("ada/open", "lfs.bin", cache_dir=tmp_path)).read_bytes() == moved["by_lfs"]
    read = (
        "print(__import__('hashlib').sha256(open(hf_hub_download('ada/kept', 'weights.bin'), 'rb').read()).hexdigest())"
    )
    assert (
        run_client(there, "ada", read, home=tmp_path / "xet").split()[-1] == hashlib.sha256(moved["known"]).hexdigest()
    )


def test_a_clone_has_the_same_history(moved, there, tmp_path):
    git("clone", address(there, "bob/pushed", "bob"), str(tmp_path / "again"))
    heads = [git("rev-parse", "HEAD", cwd=folder).stdout for folder in (moved["tmp"] / "work", tmp_path / "again")]
    assert heads[0] == heads[1]
    assert (tmp_path / "again" / "中文 name.txt").read_text() == "by git\n"


def test_people_tokens_sessions_talk_and_hooks_are_there(moved, there):
    ada, stranger = there.hf("ada"), there.hf(None)
    assert ada.whoami()["name"] == "ada"
    browser = moved["browser"]
    browser.base_url = there.url
    assert browser.get("/settings/tokens").status_code == 200  # signed in before the move
    assert sign_in(there, "bob").get("/settings/tokens").status_code == 200
    secret, recovery = moved["second_factor"]
    for code in (totp.code_at(secret, totp.step_of(utcnow())), recovery):
        with contextlib.closing(sign_in(there, "eve")) as eve:
            assert eve.get("/settings/tokens").status_code == 303
            assert eve.post("/login/second", data={"code": code}).status_code == 303
            assert eve.get("/settings/tokens").status_code == 200
    talk = ada.get_discussion_details("ada/open", moved["talk"])
    assert [event.content for event in talk.events if event.type == "comment"] == [
        "Asking for a friend.",
        f"On one leg. ![so]({moved['shown']})",
    ]
    assert httpx.get(f"{there.url}{moved['shown']}").content == picture()
    assert ada.get_webhook(moved["hook"]).url == "https://example.org/hook"
    assert not [one.id for one in stranger.list_models(author="ada") if one.id == "ada/kept"]
    assert [one.id for one in stranger.list_models(search="open")] == ["ada/open"]
    wait_for(lambda: [one.id for one in stranger.list_models(filter="heron")] == ["ada/open"], what="the tag")


def test_the_record_goes_on_where_it_was(moved, there):
    there.hf("ada").create_repo("ada/after")
    now = entries(moved["url"], there.data)
    assert now[: len(moved["before"])] == moved["before"]
    assert now[len(moved["before"])][0] > moved["before"][-1][0]


def test_new_files_arrive_there_and_numbers_are_not_given_twice(moved, there, tmp_path):
    hf, data = there.hf("ada"), os.urandom(300_000)
    hf.create_repo("ada/later")
    hf.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id="ada/later")
    got = hf.hf_hub_download("ada/later", "w.bin", cache_dir=tmp_path)
    assert Path(got).read_bytes() == data


def test_what_a_browser_had_sent_is_sent_again_where_its_parts_stayed_behind(moved, there):
    send_again(there, "ada/open", moved["sent"], moved["url"])


def test_and_back_to_one_machine(moved, there, tmp_path):
    flags = (
        f"--from={there.data}",
        f"--from-database={moved['url']}",
        f"--from-blobs={moved['blobs']}",
        f"--to={tmp_path / 'home'}",
    )
    assert migrate(*flags, ok=False)["code"] == "site_runs"
    there.hf("ada").upload_file(path_or_fileobj=b"last", path_in_repo="last.txt", repo_id="ada/busy")
    there.stop()
    killed_in("Comparing rows", *flags)
    assert up_refused(there.data, moved["env"]) == "site_moving"  # until the lease of what was killed is over
    assert migrate(*flags, "--verify-all")["n_objects"] >= 4
    assert up_refused(there.data, moved["env"]) == "site_moved"
    app = LiveApp(tmp_path / "home", options={"workers": 1})
    app._tokens = there._tokens
    try:
        hf = app.hf("ada")
        for repo, name, data in (
            ("ada/kept", "weights.bin", moved["known"]),
            ("ada/open", "lfs.bin", moved["by_lfs"]),
            ("ada/busy", "last.txt", b"last"),
        ):
            assert Path(hf.hf_hub_download(repo, name, cache_dir=tmp_path / "c")).read_bytes() == data
        hf.upload_file(path_or_fileobj=b"home", path_in_repo="home.txt", repo_id="ada/busy")
        assert [one.id for one in app.hf(None).list_models(search="open")] == ["ada/open"]
        assert "ada" in app.hf("ada").whoami()["name"]
    finally:
        app.stop()
    app.check_clean()


def test_only_the_objects_move_and_the_site_starts_with_them(tmp_path):
    app, data = LiveApp(tmp_path / "data", options={"workers": 1}), os.urandom(1 << 20)
    try:
        app.add_people()
        app.hf("ada").create_repo("ada/x")
        app.hf("ada").upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id="ada/x")
        sent = send_whole(app, "ada/x", b"from a browser")
        blobs = f"s3://{seaweed().new_bucket()}"
        migrate(f"--from={app.data}", f"--to-blobs={blobs}")
        with pytest.raises(HfHubHTTPError) as refused:
            app.hf("ada").create_repo("ada/y")
        assert refused.value.response.status_code == 503
    finally:
        app.stop()
    app.check_clean()
    assert up_refused(app.data, {}) == "site_moved"
    new = LiveApp(app.data, options={"workers": 1}, env={**store_env(), "HEADWATER_BLOBS": blobs})
    new._tokens = app._tokens
    try:
        got = new.hf("ada").hf_hub_download("ada/x", "w.bin", cache_dir=tmp_path / "c")
        assert Path(got).read_bytes() == data
        new.hf("ada").create_repo("ada/y")
        send_again(new, "ada/x", sent)
    finally:
        new.stop()
    new.check_clean()


def test_only_the_objects_of_a_site_in_postgresql_move(tmp_path):
    url, data = new_database("objects_only"), os.urandom(1 << 20)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "headwater.toml").write_text(f'[database]\nurl = "{url}"\n')
    app = LiveApp(tmp_path / "data", options={"workers": 1})
    try:
        app.add_people()
        app.hf("ada").create_repo("ada/x")
        app.hf("ada").upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id="ada/x")
    finally:
        app.stop()
    app.check_clean()
    blobs = f"s3://{seaweed().new_bucket()}"
    migrate(f"--from={app.data}", f"--to-blobs={blobs}")
    assert up_refused(app.data, {}) == "site_moved"
    new = LiveApp(app.data, options={"workers": 1}, env={**store_env(), "HEADWATER_BLOBS": blobs})
    new._tokens = app._tokens
    try:
        assert Path(new.hf("ada").hf_hub_download("ada/x", "w.bin", cache_dir=tmp_path / "c")).read_bytes() == data
        new.hf("ada").create_repo("ada/y")
    finally:
        new.stop()
    new.check_clean()


def test_what_an_earlier_run_left_elsewhere_is_not_opened(tmp_path):
    """Killed on its way to one place, and then moved to another: the first must not become a second site."""
    app = LiveApp(tmp_path / "data", options={"workers": 1})
    app.add_people()
    app.stop()
    one, other = new_database("gone_half"), new_database("gone_whole")
    killed_in("Last pass", f"--from={app.data}", f"--to-database={one}")
    migrate(f"--from={app.data}", f"--to-database={other}")
    assert migrate(f"--from={app.data}", f"--to-database={one}", ok=False)["code"] == "site_moved"
    assert up_refused(tmp_path / "elsewhere", {"HEADWATER_DATABASE_URL": one}) == "site_half_moved"
