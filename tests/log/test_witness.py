"""Witnesses: a log that others confirm, and a site whose database is older than what they have seen."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import orjson
import pytest

from headwater import ledger
from headwater.accounts.models import Role
from headwater.cli.open import open_site
from headwater.db.moving import MAKE_TABLE, SiteBehind, find_move
from headwater.hub.log.cli_witness import Witness, serve
from headwater.hub.log.sequencing import bring_up_to_date
from headwater.hub.log.witnesses import ask_witnesses, begin_anew, hold_if_behind
from headwater.hub.verifying.remote import Remote
from headwater.hub.verifying.service import Asked, verify
from headwater.kernel import SYSTEM, utcnow
from headwater.ledger import keys, sequencer
from headwater.ledger.notes import COSIGNS, SignerKey, VerifierKey, parse_key, parse_note
from headwater.ledger.sequencer import SignedCheckpoint
from headwater.ledger.tree import Tree
from headwater.ledger.witnessing import write_request
from headwater.web.site import Site
from tests import growth
from tests.conftest import LiveApp, clean_env, wait_for
from tests.log.test_notes import LOG, signed
from tests.log.test_tree import GROWN
from tests.log.test_verify import codes, look, signed_size, wait_until_signed

pytestmark = pytest.mark.skipif(growth.ON_GROWTH, reason="puts an older database file in the place of another")


class Standing:
    """A witness that follows whichever logs it is told of, behind a real socket."""

    def __init__(self, folder: Path) -> None:
        self.witness = Witness(folder, [])
        self.server = serve(self.witness, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def setting(self) -> dict[str, str]:
        return {"HEADWATER_LOG_WITNESSES": f"{self.witness.key} {self.url}"}

    def follow(self, url: str) -> None:
        key = parse_key(httpx.get(f"{url}/log/key").text)
        self.witness.known[key.name] = [key]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Standing]:
    made = Standing(tmp_path / "witness")
    yield made
    made.close()


def is_confirmed(url: str, key: object) -> bool:
    whole = httpx.get(f"{url}/log/checkpoint").text
    return parse_note(whole).is_signed_by(key)  # type: ignore[arg-type]


def keep_database(app: LiveApp, target: Path) -> None:
    with closing(sqlite3.connect(app.data / "headwater.db")) as raw:
        raw.execute("VACUUM INTO ?", (str(target),))


def put_back(data: Path, kept: Path) -> None:
    for left in ("headwater.db-wal", "headwater.db-shm"):
        (data / left).unlink(missing_ok=True)
    shutil.copy(kept, data / "headwater.db")


def test_a_witness_keeps_what_it_saw_and_refuses_less(tmp_path: Path) -> None:
    def ask(witness: Witness, old: int, size: int) -> int:
        proof = Tree(size, GROWN.read).consistency_proof(old) if old <= size else []
        return witness.answer(write_request(old, proof, signed(size))).status

    first = Witness(tmp_path, [LOG.verifier()], "witness.example/w")
    assert [ask(first, 0, 5), ask(first, 5, 700), ask(first, 0, 5), ask(first, 700, 600)] == [200, 200, 409, 400]
    again = Witness(tmp_path, [LOG.verifier()])
    assert str(again.key) == str(first.key)
    assert again.answer(write_request(0, [], signed(5))).body == "700\n"
    assert ask(again, 700, 701) == 200
    assert again.answer(b"what").status == 400
    assert again.answer(write_request(0, [], signed(5, SignerKey("x", bytes(32)), "x"))).status == 404
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_checkpoint_is_confirmed_and_who_asks_for_that_is_told(
    new_app: Callable[..., LiveApp], witness: Standing, tmp_path: Path
) -> None:
    app = new_app(workers=1, env=witness.setting)
    witness.follow(app.url)
    app.hf("ada").create_repo("ada/one")
    wait_until_signed(app)
    wait_for(lambda: is_confirmed(app.url, witness.witness.key), what="the witness' signature")
    assert codes(look(app.url, tmp_path / "state.json", witnesses=[witness.witness.key])) == []
    page = httpx.get(f"{app.url}/log").text
    assert witness.witness.key.name in page
    assert app.cli("log", "status")["witnesses"][0]["name"] == witness.witness.key.name


def test_who_asks_for_a_witness_waits_until_it_has_answered(
    new_app: Callable[..., LiveApp], witness: Standing, tmp_path: Path
) -> None:
    """The newest checkpoint has not been confirmed when the verifier reads it first; it is while that waits."""
    app = new_app(workers=1)  # which asks nobody: the answer is brought by hand
    wait_until_signed(app)
    witness.follow(app.url)

    def confirm() -> None:
        with app.opened() as site:
            signed = site.db.read(sequencer.find_checkpoint)
            assert signed is not None
            said = witness.witness.answer(write_request(0, [], signed.note))
            name = witness.witness.key.name
            site.db.write(sequencer.keep_cosignature, signed.generation, signed.size, name, said.body, utcnow())

    asked = threading.Event()

    class Late(Remote):
        def read(self, path: str) -> bytes:
            found = super().read(path)
            if path == "log/checkpoint" and not asked.is_set():
                asked.set()
                confirm()
            return found

    remote = Late(app.url)
    try:
        done = verify(remote, tmp_path / "state.json", Asked(witnesses=[witness.witness.key]))
    finally:
        remote.close()
    assert codes(done) == []


def test_a_database_older_than_what_was_signed_takes_no_changes(tmp_path: Path, witness: Standing) -> None:
    """Told by the copy of the last checkpoint in the data folder, and without that by the witness."""
    data, kept = tmp_path / "data", tmp_path / "yesterday.db"
    app = LiveApp(data, env=witness.setting, options={"workers": 1})
    app.add_people()
    witness.follow(app.url)
    hf = app.hf("ada")
    hf.create_repo("ada/before")
    wait_until_signed(app)
    keep_database(app, kept)
    hf.create_repo("ada/after")
    wait_until_signed(app)
    wait_for(lambda: is_confirmed(app.url, witness.witness.key), what="the witness' signature")
    seen = signed_size(app.url)
    token = app.token("ada")
    app.stop()
    latest = tmp_path / "latest.db"
    shutil.copy(data / "headwater.db", latest)

    put_back(data, kept)
    for told_by in (str(data.name), witness.witness.key.name):
        app = LiveApp(data, env=witness.setting, options={"workers": 1})
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.post(f"{app.url}/api/repos/create", json={"name": "ada/new"}, headers=headers, timeout=60)
        assert answer.status_code == 503, answer.text
        assert "takes no changes" in answer.text
        assert str(seen) in answer.text
        assert told_by in answer.text or "data folder" in answer.text
        assert httpx.get(f"{app.url}/ada/before").status_code == 200
        assert "takes no changes" in httpx.get(f"{app.url}/log").text
        assert app.cli("log", "status")["refused_because"]
        app.stop()
        (data / "log_checkpoint").unlink(missing_ok=True)  # the second time only the witness knows

    put_back(data, latest)
    app = LiveApp(data, env=witness.setting, options={"workers": 1})
    app.hf("ada").create_repo("ada/again")
    wait_until_signed(app)
    app.stop()
    app.check_clean()


def test_who_goes_on_with_less_says_so(tmp_path: Path) -> None:
    data, kept, state = tmp_path / "data", tmp_path / "yesterday.db", tmp_path / "state.json"
    app = LiveApp(data, options={"workers": 1})
    app.add_people()
    wait_until_signed(app)
    keep_database(app, kept)
    app.hf("ada").create_repo("ada/lost")
    wait_until_signed(app)
    url = app.url
    assert codes(look(url, state)) == []
    app.stop()
    put_back(data, kept)
    app = LiveApp(data, options={"workers": 1})
    facts = app.cli("log", "begin-anew", "--reason", "the disk died")
    assert "/2+" in facts["key"]
    app.add_member("lab", "bob", Role.WRITE)
    wait_until_signed(app)
    moved = tmp_path / "moved.json"
    moved.write_bytes(orjson.dumps({**orjson.loads(state.read_bytes()), "url": app.url}))
    found = look(app.url, moved)
    assert codes(found) == ["log.another_log"]
    assert "begun its log anew" in found.findings[0].what
    assert codes(look(app.url, tmp_path / "fresh.json", is_all=True)) == []
    assert "the disk died" in httpx.get(f"{app.url}/log").text
    app.stop()
    app.check_clean()


# ---- what a witness' answers mean


def grow(site: Site, *subjects: str) -> SignedCheckpoint:
    """Entries, numbered and signed."""
    for subject in subjects:
        site.db.write(ledger.record, SYSTEM, "ref.kept", subject, {}, now=utcnow())
    bring_up_to_date(site)
    signed = site.db.read(sequencer.find_checkpoint)
    assert signed is not None
    return signed


@pytest.fixture
def asking(tmp_path: Path, witness: Standing, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site whose witness follows it."""
    monkeypatch.setenv("HEADWATER_LOG_WITNESSES", witness.setting["HEADWATER_LOG_WITNESSES"])
    site = open_site(tmp_path / "data")
    witness.witness.known = followed_by(site)
    yield site
    site.close()


def followed_by(site: Site) -> dict[str, list[VerifierKey]]:
    identity = site.db.read(keys.find_log)
    assert identity is not None
    return {identity.origin: [identity.key]}


def test_an_answer_that_was_lost_is_asked_for_again(asking: Site, witness: Standing) -> None:
    signed = grow(asking, "a", "b", "c")
    lost = witness.witness.answer(write_request(0, [], signed.note))
    assert lost.status == 200
    ask_witnesses(asking, {})
    assert asking.db.read(find_move) is None
    kept = asking.db.read(sequencer.find_checkpoint)
    assert kept is not None
    assert witness.witness.key.name in "".join(kept.cosignatures)
    assert hold_if_behind(asking) is None


@pytest.mark.parametrize("n_more", [0, 5])
def test_a_witness_that_saw_other_entries_stops_writes(
    asking: Site, witness: Standing, tmp_path: Path, n_more: int
) -> None:
    """A fork that is as long as what the witness has seen, and one that has overtaken it."""
    grow(asking, "a")
    fork = tmp_path / "fork"
    fork.mkdir()
    with closing(sqlite3.connect(asking.data_dir / "headwater.db")) as raw:
        raw.execute("VACUUM INTO ?", (str(fork / "headwater.db"),))
    for name in ("secret", "log_key"):
        shutil.copy(asking.data_dir / name, fork / name)
    grow(asking, "b", "c")
    ask_witnesses(asking, {})
    assert asking.db.read(find_move) is None
    other = open_site(fork)
    try:
        grow(other, "x", "y", *("z" for _ in range(n_more)))
        ask_witnesses(other, {})
        move = other.db.read(find_move)
        assert move is not None
        assert "has seen other entries" in move.target
        assert hold_if_behind(other) is not None  # after a start it stays so
        with pytest.raises(SiteBehind):
            grow(other, "w")
    finally:
        other.close()


def test_a_log_begun_anew_ends_no_move_of_the_site(asking: Site) -> None:
    with closing(sqlite3.connect(asking.data_dir / "headwater.db")) as raw, raw:
        raw.execute(MAKE_TABLE)
        raw.execute("INSERT INTO site_move (one, state, target, site) VALUES (1, 'copying', 'elsewhere', '')")
    begin_anew(asking, SYSTEM, "site", "the disk died")
    move = asking.db.read(find_move)
    assert move is not None
    assert move.state == "copying"


def test_a_site_is_a_witness_of_others(new_app: Callable[..., LiveApp]) -> None:
    watcher = new_app(people=False, workers=1, env={"HEADWATER_LOG_FOLLOWS": str(LOG.verifier())})
    url, key = f"{watcher.url}/log/witness/add-checkpoint", parse_key(httpx.get(f"{watcher.url}/log/witness/key").text)
    assert key.kind == COSIGNS
    answer = httpx.post(url, content=write_request(0, [], signed(5)))
    assert answer.status_code == 200
    assert parse_note(signed(5) + answer.text).is_signed_by(key)
    answer = httpx.post(url, content=write_request(0, [], signed(3)))
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (409, "5\n", "text/x.tlog.size")
    stranger = SignerKey("headwater/else", bytes(32))
    assert httpx.post(url, content=write_request(0, [], signed(3, stranger, "headwater/else"))).status_code == 404
    assert httpx.post(url, content=b"what").status_code == 400
    assert httpx.post(url, content=b"x" * 100_000).status_code == 413


def test_the_small_witness_is_one_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "headwater", "witness", "--folder", str(tmp_path), "--log", str(LOG.verifier())]
    process = subprocess.Popen(
        [*command, "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_env() | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        lines = ""
        while not lines.rstrip().endswith("}"):
            lines += process.stdout.readline()
        told = orjson.loads(lines)
        assert httpx.get(f"{told['url']}/key").text.strip() == told["key"]
        answer = httpx.post(f"{told['url']}/add-checkpoint", content=write_request(0, [], signed(5)))
        assert parse_note(signed(5) + answer.text).is_signed_by(parse_key(told["key"]))
        assert httpx.post(f"{told['url']}/elsewhere", content=b"").status_code == 404
    finally:
        process.terminate()  # an interrupt is ignored in what was started in the background
        process.wait(30)


def test_settings_that_name_no_witness_are_told(tmp_path: Path) -> None:
    from headwater.config import BadConfiguration, read_settings

    for name, value in (
        ("HEADWATER_LOG_WITNESSES", "what"),
        ("HEADWATER_LOG_WITNESSES", f"{LOG.verifier()} http://x"),
        ("HEADWATER_LOG_WITNESSES", f"{LOG.verifier(COSIGNS)}"),
        ("HEADWATER_LOG_FOLLOWS", f"{LOG.verifier(COSIGNS)}"),
        ("HEADWATER_LOG_FOLLOWS", "a+b+c"),
    ):
        with pytest.raises(BadConfiguration, match=name):
            read_settings(tmp_path, {name: value})
