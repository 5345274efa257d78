"""A stranger with nothing but an address: what holds is found to hold, and whatever was changed is named."""

from __future__ import annotations

import http.client
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from headwater.hub.verifying.models import BadVerifyState
from headwater.hub.verifying.remote import Remote
from headwater.hub.verifying.service import Asked, NotInTheLog, Outcome, verify
from headwater.ledger.notes import parse_checkpoint, parse_key, parse_note
from tests import growth
from tests.conftest import LiveApp, clean_env, wait_for

pytestmark = pytest.mark.skipif(growth.ON_GROWTH, reason="changes the database's file from beside the server")


def look(url: str, state: Path, *repos: str, **asked: Any) -> Outcome:
    remote = Remote(url)
    try:
        return verify(remote, state, Asked(repos, **asked))
    finally:
        remote.close()


def codes(done: Outcome) -> list[str]:
    return [one.code for one in done.findings]


def signed_size(url: str) -> int:
    answer = httpx.get(f"{url}/log/checkpoint")
    return parse_checkpoint(parse_note(answer.text).text).size if answer.status_code == 200 else 0


def wait_until_signed(app: LiveApp) -> None:
    def is_signed() -> bool:
        with app.opened() as site, site.db.reading() as tx:
            from headwater.ledger import sequencer

            last = sequencer.find_checkpoint(tx)
            return not sequencer.is_pending(tx) and last is not None and last.size == sequencer.size_of(tx)

    wait_for(is_signed, what="a checkpoint of all there is")


def change(app: LiveApp, *statements: str) -> None:
    with closing(sqlite3.connect(app.data / "headwater.db", timeout=30)) as raw, raw:
        for one in statements:
            raw.execute(one)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    """A server with public, private, gated and deleted repositories; tests leave it as they found it."""
    app = LiveApp(tmp_path_factory.mktemp("verified") / "data", options={"workers": 1})
    try:
        app.add_people()
        hf = app.hf("ada")
        hf.create_repo("ada/river")
        for text in ("one", "two", "three"):
            hf.upload_file(path_or_fileobj=text.encode(), path_in_repo="notes.txt", repo_id="ada/river")
        hf.upload_file(path_or_fileobj=os.urandom(2_000_000), path_in_repo="weights.bin", repo_id="ada/river")
        hf.create_tag("ada/river", tag="v1")
        hf.create_branch("ada/river", branch="side")
        hf.create_repo("ada/rows", repo_type="dataset")
        hf.create_repo("ada/hidden", private=True)
        hf.create_repo("ada/gone")
        hf.delete_repo("ada/gone")
        wait_until_signed(app)
        yield app
    finally:
        app.stop()


def test_a_stranger_finds_that_all_holds_and_keeps_what_was_seen(filled: LiveApp, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    first = look(filled.url, state, is_all=True)
    assert first.findings == []
    assert (first.n_repositories, first.n_files, first.is_first) == (2, 1, True)
    assert first.n_private > 0
    assert [(repo.path, repo.tombstone["reason"]) for repo in first.buried if repo.tombstone] == [
        ("ada/gone", "none given")
    ]
    assert b"hidden" not in state.read_bytes()
    filled.hf("ada").upload_file(path_or_fileobj=b"four", path_in_repo="notes.txt", repo_id="ada/river")
    again = look(filled.url, state, "ada/river")
    assert again.findings == []
    assert again.size > first.size
    assert not again.is_first


def test_the_command_says_so_too(filled: LiveApp, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "headwater",
        "verify",
        "--url",
        filled.url,
        "--state",
        str(tmp_path / "s"),
        "--json",
    ]
    done = subprocess.run([*command, "datasets/ada/rows"], capture_output=True, text=True, env=clean_env())
    assert done.returncode == 0, done.stderr
    assert orjson.loads(done.stdout)["holds"] is True
    done = subprocess.run([*command, "ada/nowhere"], capture_output=True, text=True, env=clean_env())
    assert done.returncode == 1
    assert orjson.loads(done.stderr)["code"] == "not_in_the_log"


def test_a_revision_left_behind_is_still_asked_for(filled: LiveApp, tmp_path: Path) -> None:
    """A branch is moved to elsewhere; what it led to stays promised until the log says that it was pruned."""
    hf = filled.hf("ada")
    hf.create_repo("ada/moving")
    hf.create_branch("ada/moving", branch="side")
    hf.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="ada/moving", revision="side")
    hf.delete_branch("ada/moving", branch="side")
    done = look(filled.url, tmp_path / "state.json", "ada/moving")
    assert done.findings == []
    assert done.n_revisions == 2


# ---- whatever is changed is named


RIVER = "(select id from repository where name = 'river')"
MOVED = "(select max(id) from entry where kind = 'ref.moved' and is_private = 0)"
SIDE = f"(select oid from ref where name = 'refs/heads/side' and repo_id = {RIVER})"
# what, in which table, how, and what is then said
TAMPERED = [
    ("entry", f"set leaf = replace(leaf, 'ada', 'eve') where id = {MOVED}", {"log.entry_differs"}),
    # Tiles that are not full yet are served from here; the leaves' own hashes are compared by the audit.
    ("log_head", "set edge = zeroblob(length(edge))", {"log.entry_differs", "log.tile_differs", "log.tile_missing"}),
    ("ref", f"set oid = {SIDE} where name = 'refs/heads/main' and repo_id = {RIVER}", {"ref.differs"}),
    ("ref", f"set name = 'refs/tags/v2' where name = 'refs/tags/v1' and repo_id = {RIVER}", {"ref.differs"}),
    ("repository", f"set is_private = 1 where id = {RIVER}", {"repository.lost"}),
    ("log_checkpoint", "set note = replace(note, 'headwater/', 'headwater/x')", {"log.another_log"}),
    (
        "log_checkpoint",
        "set note = replace(note, char(10, 10), char(10) || 'x' || char(10, 10))",
        {"log.bad_signature"},
    ),
    ("log_checkpoint", "set note = 'what'", {"log.bad_checkpoint"}),
]


def test_a_change_in_the_database_is_named(tmp_path: Path, filled: LiveApp) -> None:
    with copied(filled, tmp_path / "copy") as app:
        assert codes(look(app.url, tmp_path / "before.json", is_all=True)) == []
        for number, (table, how, expected) in enumerate(TAMPERED):
            with tampered(app, table, how):
                done = look(app.url, tmp_path / f"{number}.json", is_all=True, catch_up_s=1.0)
                assert set(codes(done)) & expected, (table, how, done.findings)
        assert codes(look(app.url, tmp_path / "after.json", is_all=True)) == []


@contextmanager
def tampered(app: LiveApp, table: str, how: str) -> Iterator[None]:
    """One change from beside the server, taken back at the end."""
    moved = f"update repository set version = version + 1 where id = {RIVER}"  # caches look again
    change(app, f"create table kept as select * from {table}", f"update {table} {how}", moved)
    yield
    back = [f"delete from {table}", f"insert into {table} select * from kept", "drop table kept"]
    change(app, *back, "update repository set version = version + 9 where name = 'river'")


@contextmanager
def copied(app: LiveApp, folder: Path) -> Iterator[LiveApp]:
    """A server on a copy of another's folder, whose log goes on by itself."""
    folder.mkdir()
    with closing(sqlite3.connect(app.data / "headwater.db")) as raw:
        raw.execute("VACUUM INTO ?", (str(folder / "headwater.db"),))
    for name in ("secret", "log_key"):
        shutil.copy(app.data / name, folder / name)
    shutil.copytree(app.data / "blobs", folder / "blobs")
    other = LiveApp(folder, options={"workers": 1})
    try:
        yield other
    finally:
        other.stop()


def test_bytes_that_changed_are_named(tmp_path: Path, filled: LiveApp) -> None:
    with copied(filled, tmp_path / "copy") as app:
        (blob,) = (
            path for path in (app.data / "blobs").rglob("*") if path.is_file() and path.stat().st_size > 1_000_000
        )
        data = bytearray(blob.read_bytes())
        data[12345] ^= 1
        blob.chmod(0o600)
        blob.write_bytes(data)
        assert codes(look(app.url, tmp_path / "a.json", "ada/river")) == ["file.differs"]
        assert codes(look(app.url, tmp_path / "b.json", "ada/river", reads_files=False)) == []
        blob.unlink()
        assert set(codes(look(app.url, tmp_path / "c.json", "ada/river"))) <= {"file.lost", "file.differs"}


def test_a_commit_that_is_lost_is_named(tmp_path: Path, filled: LiveApp) -> None:
    with copied(filled, tmp_path / "copy") as app:
        change(app, "delete from pack_bytes where pack_id = (select max(p.id) from pack p join repository r on r.id = p.repo_id where r.name = 'river')",
               "delete from pack where id = (select max(p.id) from pack p join repository r on r.id = p.repo_id where r.name = 'river')",
               "update repository set version = version + 1 where name = 'river'")  # fmt: skip
        found = set(codes(look(app.url, tmp_path / "state.json", "ada/river", catch_up_s=2.0)))
        assert found & {"revision.lost", "repository.lost", "ref.differs"}
        app.stop()


# ---- two logs


def test_a_log_that_was_forked_is_named(tmp_path: Path, filled: LiveApp) -> None:
    """Two servers with one key and one past go on by themselves: who has seen the one is not taken in by the other."""
    state = tmp_path / "state.json"
    with copied(filled, tmp_path / "copy") as other:
        for app, name in ((filled, "left"), (other, "right")):
            app.hf("ada").create_repo(f"ada/{name}")
            wait_until_signed(app)
        assert look(filled.url, state).findings == []
        kept = orjson.loads(state.read_bytes())
        moved = tmp_path / "moved.json"
        moved.write_bytes(orjson.dumps({**kept, "url": other.url}))
        while signed_size(other.url) < kept["size"]:
            other.hf("ada").upload_file(path_or_fileobj=os.urandom(9), path_in_repo="a", repo_id="ada/right")
            wait_until_signed(other)
        assert codes(look(other.url, moved)) == ["log.rewritten"]
        since = httpx.get(f"{filled.url}/log/checkpoint").text
        assert codes(look(other.url, tmp_path / "fresh.json", since=since)) == ["log.forked"]
        assert moved.read_bytes() == orjson.dumps({**kept, "url": other.url})  # what was kept is kept


def test_a_log_that_became_shorter_is_named(tmp_path: Path, filled: LiveApp) -> None:
    state = tmp_path / "state.json"
    with copied(filled, tmp_path / "copy") as other:
        filled.hf("ada").create_repo("ada/longer")
        wait_until_signed(filled)
        assert look(filled.url, state).findings == []
        assert codes(look(other.url, state)) == ["log.shortened"]
        since = httpx.get(f"{filled.url}/log/checkpoint").text
        assert codes(look(other.url, tmp_path / "fresh.json", since=since)) == ["log.shortened"]


def test_a_checkpoint_that_was_kept_is_part_of_the_log(tmp_path: Path, filled: LiveApp) -> None:
    since = httpx.get(f"{filled.url}/log/checkpoint").text
    filled.hf("ada").create_repo(f"ada/since-{os.getpid()}")
    wait_until_signed(filled)
    assert look(filled.url, tmp_path / "state.json", since=since).findings == []


def test_a_checkpoint_of_another_site_is_refused(
    tmp_path: Path, filled: LiveApp, new_app: Callable[..., LiveApp]
) -> None:
    other = new_app(workers=1)
    wait_until_signed(other)
    since = httpx.get(f"{other.url}/log/checkpoint").text
    assert codes(look(filled.url, tmp_path / "a.json", since=since)) == ["log.another_log"]
    key = parse_key(httpx.get(f"{other.url}/log/key").text)
    assert codes(look(filled.url, tmp_path / "b.json", key=key)) == ["log.another_log"]
    assert codes(look(filled.url, tmp_path / "c.json", witnesses=[key], catch_up_s=0.0)) == ["log.not_witnessed"]


# ---- what comes over the wire is not what was asked for


@contextmanager
def between(app: LiveApp, spoil: Callable[[str, bytes], bytes]) -> Iterator[str]:
    """A proxy that changes answers on their way."""
    where = urlsplit(app.url).netloc

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            connection = http.client.HTTPConnection(where, timeout=30)
            with closing(connection):
                connection.request("GET", self.path)
                answer = connection.getresponse()
                body = spoil(self.path, answer.read())
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("part", "spoil", "expected"),
    [
        ("/log/tile/0/", lambda body: body[:-1], "log.tile_truncated"),
        ("/log/tile/0/", lambda body: body[:-32], "log.tile_truncated"),
        ("/log/tile/0/", lambda body: b"", "log.tile_truncated"),
        ("/log/tile/0/", lambda body: bytes(len(body)), "log.entry_differs"),
        ("/log/tile/entries/", lambda body: body[:-1], "log.tile_truncated"),
        ("/log/tile/entries/", lambda body: body + b"\0\1x", "log.tile_truncated"),
        ("/log/tile/entries/", lambda body: body.replace(b"ada", b"eve"), "log.entry_differs"),
        ("/log/checkpoint", lambda body: b"what", "log.bad_checkpoint"),
        ("/log/checkpoint", lambda body: body.replace(b"headwater/", b"headwater/0", 1), "log.another_log"),
        ("/log/key", lambda body: b"what", "log.bad_key"),
    ],
)
def test_what_was_changed_on_the_way_is_named(
    filled: LiveApp, tmp_path: Path, part: str, spoil: Callable[[bytes], bytes], expected: str
) -> None:
    with between(filled, lambda path, body: spoil(body) if path.startswith(part) else body) as url:
        assert codes(look(url, tmp_path / "state.json")) == [expected]
        assert not (tmp_path / "state.json").exists()


@contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A store that is not the site, and the headers that it was sent."""
    heard: list[dict[str, str]] = []

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"bytes")

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_token_goes_to_the_site_alone() -> None:
    with listening() as (site, heard), listening() as (store, heard_there):
        remote = Remote(site, "secret-token")
        try:
            for url in (site, store):
                assert remote.digest(f"{url}/file", {"X-Given": "1"})[1] == 5
        finally:
            remote.close()
    assert heard[0]["authorization"] == "Bearer secret-token"
    assert "authorization" not in heard_there[0]
    assert heard_there[0]["x-given"] == "1"


def test_what_was_kept_and_is_damaged_is_refused(filled: LiveApp, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    for text in ("what", "{}", '{"v": 9}', '{"v":1,"size":3,"edge":[],"repos":{},"former":[],"key":"","note":""}'):
        state.write_text(text)
        with pytest.raises(BadVerifyState):
            look(filled.url, state)
    with pytest.raises(NotInTheLog):
        look(filled.url, tmp_path / "new.json", "ada/hidden")
