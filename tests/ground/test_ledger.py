"""The record: entries commit with the act, and private names never stand in a leaf."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select

from headwater import ledger
from headwater.db import Database, Tx
from headwater.kernel import SYSTEM
from headwater.ledger.tables import entry_secret, pending_entry
from tests import growth

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def db(tmp_path: Path):
    database = growth.new_database(tmp_path)
    yield database
    database.close()


def test_a_public_entry_says_who_did_what_to_which_thing(db: Database):
    db.write(ledger.record, SYSTEM, "ref.moved", "lab/river", {"new": "a" * 40}, repo_id=1, now=NOW)
    (found,) = db.read(ledger.list_entries, repo_id=1).items
    assert orjson.loads(found.leaf) == {
        "v": 1,
        "kind": "ref.moved",
        "at": "2026-01-01T00:00:00.000Z",
        "subject": "lab/river",
        "actor": "system",
        "facts": {"new": "a" * 40},
    }
    assert found.leaf == ledger.canonical(orjson.loads(found.leaf)).decode()


def test_a_private_leaf_holds_salted_hashes_that_the_secret_opens(db: Database):
    for _ in range(2):
        db.write(ledger.record, SYSTEM, "ref.moved", "lab/secret", {"n": 1}, private=True, repo_id=1, now=NOW)
    first, second = db.read(ledger.list_entries, repo_id=1).items
    assert "secret" not in first.leaf
    assert "system" not in first.leaf
    assert orjson.loads(first.leaf)["subject"] != orjson.loads(second.leaf)["subject"]  # each has its own salt
    assert first.names == {"subject": "lab/secret", "actor": "system", "facts": {"n": 1}}
    salt = db.read(
        lambda tx: tx.execute(select(entry_secret.c.salt).where(entry_secret.c.entry_id == first.id)).scalar()
    )
    assert orjson.loads(first.leaf)["subject"] == ledger.salted(salt, "lab/secret")


def test_an_entry_goes_with_its_act(db: Database):
    def spoil(tx: Tx) -> None:
        ledger.record(tx, SYSTEM, "ref.moved", "lab/river", {}, repo_id=1, now=NOW)
        raise ValueError

    with pytest.raises(ValueError):
        db.write(spoil)
    assert db.read(ledger.count_entries, repo_id=1) == 0
    assert db.read(lambda tx: tx.execute(select(pending_entry)).all()) == []


def test_pages_of_entries_meet_without_gap_or_overlap(db: Database):
    for n in range(7):
        db.write(ledger.record, SYSTEM, "k", "s", {"n": n}, repo_id=1, now=NOW)
    seen, cursor = [], None
    while True:
        page = db.read(ledger.list_entries, repo_id=1, cursor=cursor, limit=3)
        seen += [e.names["facts"]["n"] for e in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == [6, 5, 4, 3, 2, 1, 0]
