"""A drill of a site in PostgreSQL leaves nothing in the database that is lent for it; and a site that was restored without keys signs."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import orjson
import pytest
from sqlalchemy import text

from headwater import ledger
from headwater.cli.open import open_site
from headwater.db import open_database, scratch
from headwater.hub.log.sequencing import bring_up_to_date
from headwater.kernel import SYSTEM, utcnow
from headwater.ledger.notes import parse_key, parse_note
from tests.conftest import LiveApp, wait_for
from tests.growth import only_on_one_machine
from tests.operation.test_backup import command
from tests.servers.postgres import cluster

pytestmark = only_on_one_machine  # these take what they need in either mode


def lent() -> str:
    name = f"lent_{os.urandom(4).hex()}"
    cluster().sql(f"create database {name}")
    return cluster().tcp_url_of(name)


def is_empty(url: str) -> bool:
    db = open_database(Path(), url)
    try:
        return not scratch.holds_anything(db)
    finally:
        db.close()


def test_what_a_drill_was_lent_is_empty_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {"HEADWATER_DATABASE_URL": lent()}
    monkeypatch.setenv("HEADWATER_DATABASE_URL", env["HEADWATER_DATABASE_URL"])
    data, backups, room = f"--data={tmp_path / 'data'}", str(tmp_path / "backups"), lent()
    open_site(tmp_path / "data").close()
    assert command("backup", backups, data, env=env).returncode == 0
    drill = ("restore", f"--from={backups}", "--drill", data, f"--scratch-database={room}", "--json")
    said = command(*drill, env=env)
    assert said.returncode == 0, said.stderr
    assert is_empty(room)
    # One that fails: an object that the database names is not in the backup any more.
    for path in (tmp_path / "backups").rglob("*"):
        if path.is_file() and path.stat().st_size > 1000:
            path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert command(*drill, env=env).returncode != 0
    assert is_empty(room)
    # And one that holds something is not touched.
    db = open_database(Path(), room)
    db.write(lambda tx: tx.execute(text("create table theirs (n int)")))
    said = command(*drill, env=env)
    assert orjson.loads(said.stderr)["code"] == "site_not_empty"
    assert db.read(lambda tx: tx.execute(text("select count(*) from theirs")).scalar()) == 0
    db.close()


def signed_by(site_url: str, key: str) -> bool:
    answer = httpx.get(f"{site_url}/log/checkpoint")
    return answer.status_code == 200 and parse_note(answer.text).is_signed_by(parse_key(key))


def test_a_site_restored_with_new_keys_signs_its_log(tmp_path: Path) -> None:
    site = open_site(tmp_path / "data")
    site.db.write(ledger.record, SYSTEM, "site.looked_at", "site", {}, now=utcnow())
    bring_up_to_date(site)
    site.close()
    data, backups, new = f"--data={tmp_path / 'data'}", str(tmp_path / "backups"), tmp_path / "new"
    keys = f"--keys-to={tmp_path / 'keys'}"
    assert command("backup", backups, data, keys).returncode == 0
    said = command("restore", f"--from={backups}", f"--data={new}", "--new-keys", "--json")
    assert said.returncode == 0, said.stderr
    key = orjson.loads(said.stdout)["log_key"]
    assert "/2+" in key
    app = LiveApp(new, options={"workers": 1})
    try:
        assert httpx.get(f"{app.url}/log/key").text.strip() == key
        wait_for(lambda: signed_by(app.url, key), what="a checkpoint by the new key")
        assert "without the key" in httpx.get(f"{app.url}/log").text
    finally:
        app.stop()
