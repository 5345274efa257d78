"""The log goes along when a site moves to another database: one tree, one key, kept where that database keeps keys."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from headwater import ledger
from headwater.db import Database, open_database
from headwater.db.moving import find_move, hold_writes, release_writes
from headwater.kernel import HeadwaterError
from headwater.ledger import keys, sequencer
from tests import growth
from tests.conftest import clean_env
from tests.moving.test_migrate import new_database

pytestmark = pytest.mark.skipif(growth.ON_GROWTH, reason="goes from one machine to the other place by itself")


def run(*arguments: str, ok: bool = True) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "headwater", *arguments, "--json"], capture_output=True, text=True, env=clean_env()
    )
    assert (done.returncode == 0) is ok, done.stderr + done.stdout
    return orjson.loads(done.stdout if ok else done.stderr.strip().splitlines()[-1])


def told(db: Database) -> tuple[int, bytes, str]:
    with db.reading() as tx:
        log = keys.find_log(tx)
        assert log is not None
        assert list(ledger.audit(tx)) == []
        return sequencer.size_of(tx), sequencer.tree_of(tx).root(), str(log.key)


def test_the_log_moves_with_its_key(tmp_path: Path) -> None:
    first, url = tmp_path / "data", new_database(f"log_{os.urandom(4).hex()}")
    run("user", "create", "ada", f"--data={first}")
    run("repo", "create", "ada/river", f"--data={first}")
    run("log", "sign", f"--data={first}")
    here = open_database(first)
    before, kept = told(here), (first / keys.KEY_FILE).read_text()
    held = "the witness has seen 9 entries"
    hold_writes(here, held)
    assert run("migrate-site", f"--from={first}", f"--to-database={url}", ok=False)["code"] == "site_behind"
    assert run("migrate-site", f"--from={first}", "--abort")["aborted"] is False
    move = here.read(find_move)
    assert move is not None
    assert move.target == held
    release_writes(here)
    here.close()
    run("migrate-site", f"--from={first}", f"--to-database={url}")
    there = open_database(tmp_path / "new", url)
    assert told(there) == before
    log = there.read(keys.find_log)
    assert log is not None
    assert log.secret is not None
    assert log.secret.hex() == kept.strip()
    there.close()


def test_writes_are_refused_while_it_is_behind_on_postgresql_too(tmp_path: Path) -> None:
    db = open_database(tmp_path, new_database(f"behind_{os.urandom(4).hex()}"))
    db.ensure_schema()
    log = keys.ensure_log_key(db, tmp_path, "site")
    hold_writes(db, "it's older")
    with pytest.raises(HeadwaterError, match="it's older") as refused:
        db.write(ledger.sequence)
    assert refused.value.code == "site_behind"
    assert db.read(keys.find_log) == log
    hold_writes(db, "again")
    release_writes(db)
    assert db.write(ledger.sequence) == 0
    db.close()
