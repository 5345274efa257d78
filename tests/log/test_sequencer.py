"""Numbering under many writers, tiles as a function of SQL, and what the audit finds."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import func, insert, select, text, update

from headwater import ledger
from headwater.db import Database, SiteBehind, Tx
from headwater.db.moving import MAKE_TABLE, find_move, hold_writes, release_writes
from headwater.kernel import SYSTEM
from headwater.ledger import keys, sequencer
from headwater.ledger.notes import parse_checkpoint, parse_note
from headwater.ledger.tables import entry, entry_secret, leaf, log_checkpoint, log_head, log_tile, pending_entry
from headwater.ledger.tree import Edge, check_consistency, check_inclusion, leaf_hash, unpack_entries
from tests import growth

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = growth.new_database(tmp_path)
    yield database
    database.close()


def record_many(db: Database, n: int, *, private: bool = False) -> None:
    def act(tx: Tx) -> None:
        for number in range(n):
            ledger.record(tx, SYSTEM, "ref.moved", "lab/river", {"n": number}, private=private, repo_id=1, now=NOW)

    db.write(act)


def number_all(db: Database) -> int:
    n = 0
    while done := db.write(ledger.sequence):
        n += done
    return n


def sign(db: Database, folder: Path) -> sequencer.SignedCheckpoint:
    log = keys.ensure_log_key(db, folder, "site")
    checkpoint = db.read(sequencer.checkpoint_of, log.origin)
    note = f"{checkpoint.text}\n{keys.signer_of(log, folder).sign(checkpoint.text)}"
    db.write(sequencer.keep_checkpoint, log.generation, checkpoint, note, NOW)
    found = db.read(sequencer.find_checkpoint)
    assert found is not None
    return found


def problems(db: Database) -> list[str]:
    return [one.code for one in db.read(lambda tx: list(ledger.audit(tx)))]


def test_entries_become_leaves_in_order_and_are_proven(db: Database, tmp_path: Path) -> None:
    record_many(db, 600)
    assert number_all(db) == 600
    assert number_all(db) == 0
    first = sign(db, tmp_path)
    record_many(db, 5)
    number_all(db)
    with db.reading() as tx:
        tree = sequencer.tree_of(tx)
        assert tree.size == 605
        for index in (0, 255, 256, 511, 512, 604):
            found = sequencer.find_leaf(tx, index)
            assert found is not None
            assert found.hash == leaf_hash(found.text.encode())
            assert check_inclusion(found.hash, index, 605, tree.inclusion_proof(index), tree.root())
        assert check_consistency(600, first.root, 605, tree.root(), tree.consistency_proof(600))
        bundle = sequencer.read_bundle(tx, 2, 605 - 512)
        tile = sequencer.read_tile(tx, 0, 2, 605 - 512)
        assert bundle is not None
        assert tile == b"".join(leaf_hash(one) for one in unpack_entries(bundle))
        assert sequencer.read_tile(tx, 0, 2, 94) is None
        assert sequencer.read_tile(tx, 0, 3) is None
        assert sequencer.read_tile(tx, 1, 0, 2) is not None
    second = sign(db, tmp_path)
    assert parse_checkpoint(parse_note(second.note).text).size == 605
    assert problems(db) == []


def test_none_is_lost_or_numbered_twice_under_many_writers(db: Database) -> None:
    writers, each = 6, 60
    done = threading.Event()

    def write() -> None:
        for _ in range(each):
            record_many(db, 1)

    def number() -> None:
        while not done.is_set():
            db.write(ledger.sequence)

    numbering = [threading.Thread(target=number) for _ in range(2)]
    writing = [threading.Thread(target=write) for _ in range(writers)]
    for thread in [*numbering, *writing]:
        thread.start()
    for thread in writing:
        thread.join()
    done.set()
    for thread in numbering:
        thread.join()
    number_all(db)
    with db.reading() as tx:
        rows = tx.execute(select(leaf.c.idx, leaf.c.entry_id)).all()
        assert sorted(row.idx for row in rows) == list(range(writers * each))
        assert len({row.entry_id for row in rows}) == writers * each
        assert tx.execute(select(func.count()).select_from(pending_entry)).scalar() == 0
    assert problems(db) == []


def test_facts_too_long_for_a_leaf_stand_beside_it(db: Database) -> None:
    digests = [f"{number:064x}" for number in range(2000)]
    db.write(ledger.record, SYSTEM, "large_files.deleted", "lab/river", {"sha256": digests}, repo_id=1, now=NOW)
    (found,) = db.read(ledger.list_entries, repo_id=1).items
    assert len(found.leaf) < 1000
    assert found.names["facts"]["sha256"] == digests
    number_all(db)
    assert problems(db) == []


def test_what_was_taken_away_is_a_list_of_its_own(db: Database) -> None:
    record_many(db, 3)
    db.write(ledger.record, SYSTEM, "repository.deleted", "lab/river", {"reason": "spam"}, repo_id=1, now=NOW)
    number_all(db)
    assert [one.kind for one in db.read(sequencer.list_tombstones)] == ["repository.deleted"]


def test_tiles_can_be_made_again(db: Database) -> None:
    record_many(db, 600)
    number_all(db)
    before = db.read(lambda tx: tx.execute(select(log_tile).order_by(log_tile.c.idx)).all())
    db.write(lambda tx: tx.execute(update(log_tile).values(hashes=b"x" * 8192)))
    assert problems(db) == ["log.tile_differs"] * 2
    assert db.write(sequencer.rebuild_tiles) == 2
    assert db.read(lambda tx: tx.execute(select(log_tile).order_by(log_tile.c.idx)).all()) == before
    assert problems(db) == []


def test_the_key_is_made_once_and_kept_apart(db: Database, tmp_path: Path) -> None:
    made = keys.ensure_log_key(db, tmp_path, "site")
    again = keys.ensure_log_key(db, tmp_path, "site")
    assert (made.public, made.origin) == (again.public, "headwater/site")
    assert keys.signer_of(made, tmp_path).public == made.public
    if db.dialect == "sqlite":
        path = tmp_path / keys.KEY_FILE
        assert path.stat().st_mode & 0o777 == 0o600
        assert made.secret is None
        kept = path.read_text()
        path.write_text("00" * 32 + "\n")
        with pytest.raises(keys.LogKeyMissing, match="not the one"):
            keys.signer_of(made, tmp_path)
        path.write_text("what")
        with pytest.raises(keys.LogKeyMissing, match="cannot be read"):
            keys.signer_of(made, tmp_path)
        path.unlink()
        with pytest.raises(keys.LogKeyMissing, match="not in the data folder"):
            keys.signer_of(made, tmp_path)
        path.write_text(kept)
    told: list[Any] = []
    anew = keys.begin_anew(db, tmp_path, "site", lambda tx, former, new: told.append((former, new)))
    assert told[-1] == (made, anew)
    assert anew.origin == "headwater/site/2"
    assert anew.public != made.public
    assert keys.signer_of(anew, tmp_path).public == anew.public


def refuse(*_: Any) -> None:
    raise RuntimeError("ended in the midst of it")


def test_beginning_anew_is_one_step(db: Database, tmp_path: Path) -> None:
    made = keys.ensure_log_key(db, tmp_path, "site")
    hold_writes(db, "it is older")
    with pytest.raises(RuntimeError, match="in the midst"):
        keys.begin_anew(db, tmp_path, "site", refuse)
    assert db.read(keys.find_log) == made
    assert keys.signer_of(made, tmp_path).public == made.public
    with pytest.raises(SiteBehind):
        db.write(sequencer.sequence)
    anew = keys.begin_anew(db, tmp_path, "site", lambda *_: None)
    assert db.write(sequencer.sequence) == 0
    assert db.read(find_move) is None
    if db.dialect == "sqlite":  # ended between the row and the file's name
        (tmp_path / keys.KEY_FILE).rename(tmp_path / keys.NEXT_KEY_FILE)
        (tmp_path / keys.KEY_FILE).write_text("00" * 32 + "\n")
        assert keys.signer_of(anew, tmp_path).public == anew.public
        assert not (tmp_path / keys.NEXT_KEY_FILE).exists()
    assert keys.signer_of(anew, tmp_path).public == anew.public


@pytest.mark.parametrize("state", ["copying", "frozen"])
def test_a_move_that_was_begun_does_not_keep_writes_from_being_held(db: Database, state: str) -> None:
    names = "one, state, target, site, frozen_until"
    until = 1e12 if state == "frozen" else 0
    begun = f"INSERT INTO site_move ({names}) VALUES (1, '{state}', 'elsewhere', 'a site', {until})"

    def begin(tx: Tx) -> None:
        tx.execute(text(MAKE_TABLE))
        tx.execute(text(begun))

    db.write(begin)
    hold_writes(db, "it is older")
    for _ in range(2):
        with pytest.raises(SiteBehind, match="it is older"):
            db.write(sequencer.sequence)
        hold_writes(db, "for another reason")
    release_writes(db)
    move = db.read(find_move)
    assert move is not None
    assert (move.state, move.site) == ("copying", "a site")
    assert db.write(sequencer.sequence) == 0


@pytest.mark.parametrize("state", ["moved", "arriving", "restoring"])
def test_a_site_that_is_elsewhere_stays_so(db: Database, state: str) -> None:
    def begin(tx: Tx) -> None:
        tx.execute(text(MAKE_TABLE))
        tx.execute(
            text(f"INSERT INTO site_move (one, state, target, site) VALUES (1, '{state}', 'elsewhere', 'a site')")
        )

    db.write(begin)
    hold_writes(db, "it is older")
    release_writes(db) if state != "moved" else None
    move = db.read(find_move)
    assert move is not None
    assert move.state == state


def test_old_checkpoints_are_forgotten_but_for_each_days_last(db: Database, tmp_path: Path) -> None:
    keys.ensure_log_key(db, tmp_path, "site")
    for _ in range(sequencer.KEPT_CHECKPOINTS + 7):
        record_many(db, 1)
        number_all(db)
        sign(db, tmp_path)
    kept = db.read(lambda tx: tx.execute(select(func.count()).select_from(log_checkpoint)).scalar())
    assert kept == sequencer.KEPT_CHECKPOINTS
    assert problems(db) == []


# ---- whatever is changed in the database is found

CHANGES: dict[str, Callable[[random.Random], Any]] = {
    "an entry's words": lambda rng: update(entry).where(entry.c.id == rng.randint(1, 300)).values(leaf='{"v":1}'),
    "an entry's kind": lambda rng: update(entry).where(entry.c.id == rng.randint(1, 300)).values(kind="ref.kept"),
    "an entry's time": lambda rng: (
        update(entry).where(entry.c.id == rng.randint(1, 300)).values(created_at=datetime(2026, 1, 2, tzinfo=UTC))
    ),
    "a leaf's hash": lambda rng: update(leaf).where(leaf.c.idx == rng.randint(0, 299)).values(hash=rng.randbytes(32)),
    "two leaves": lambda rng: text("update leaf set idx = idx + 1000 where idx in (7, 8)"),
    "a leaf that is gone": lambda rng: text(f"delete from leaf where idx = {rng.randint(0, 299)}"),
    "the last leaf": lambda rng: text("delete from leaf where idx = 299"),
    "a tile": lambda rng: update(log_tile).values(hashes=rng.randbytes(8192)),
    "a tile's root": lambda rng: update(log_tile).values(root=rng.randbytes(32)),
    "a tile that is gone": lambda rng: text("delete from log_tile"),
    "a tile too many": lambda rng: insert(log_tile).values(
        level=0, idx=7, hashes=rng.randbytes(8192), root=rng.randbytes(32)
    ),
    "the edge": lambda rng: update(log_head).values(edge=rng.randbytes(45 * 32)),
    "the head": lambda rng: update(log_head).values(size=rng.randint(0, 299)),
    "a checkpoint's root": lambda rng: update(log_checkpoint).values(root=rng.randbytes(32)),
    "a checkpoint's words": lambda rng: text("update log_checkpoint set note = replace(note, '300', '299')"),
    "a secret's names": lambda rng: update(entry_secret).values(names={"subject": "x", "actor": "y", "facts": {}}),
    "a secret's salt": lambda rng: update(entry_secret).values(salt=rng.randbytes(16)),
    "a secret that is gone": lambda rng: text("delete from entry_secret"),
    "a name that a secret has no more": lambda rng: (
        update(entry_secret).where(entry_secret.c.salt != b"").values(names={"subject": "lab/river", "facts": {"n": 1}})
    ),
    "whose repository it is": lambda rng: update(entry).where(entry.c.kind == "repository.deleted").values(repo_id=77),
    "the list of what was taken away": lambda rng: text("delete from tombstone_entry"),
    "what is private": lambda rng: update(entry).where(entry.c.id == rng.randint(1, 290)).values(is_private=True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_audit_finds(db: Database, tmp_path: Path, change: str) -> None:
    record_many(db, 290)
    record_many(db, 9, private=True)
    db.write(ledger.record, SYSTEM, "repository.deleted", "lab/river", {"repo_id": 1}, repo_id=1, now=NOW)
    number_all(db)
    sign(db, tmp_path)
    assert problems(db) == []
    rng = random.Random(change)
    db.write(lambda tx: tx.execute(CHANGES[change](rng)))
    assert problems(db) != []


@pytest.mark.parametrize("name", ["subject", "actor", "facts"])
@pytest.mark.parametrize("private", [False, True])
def test_every_name_beside_a_leaf_is_one_that_it_says(db: Database, name: str, private: bool) -> None:
    facts = {"sha256": [f"{number:064x}" for number in range(2000)]}
    db.write(ledger.record, SYSTEM, "large_files.deleted", "lab/river", facts, private=private, repo_id=1, now=NOW)
    number_all(db)
    assert problems(db) == []
    names = db.read(lambda tx: tx.execute(select(entry_secret.c.names)).scalar_one())
    for changed in ({**names, name: "eve"}, {key: value for key, value in names.items() if key != name}):
        db.write(lambda tx, changed=changed: tx.execute(update(entry_secret).values(names=changed)))
        assert problems(db) == ["log.entry_differs"]


def test_a_log_rewritten_whole_does_not_have_the_signed_root(db: Database, tmp_path: Path) -> None:
    """Who can write to the database can make entries, leaves, tiles and head agree again, but not sign."""
    record_many(db, 300)
    number_all(db)
    sign(db, tmp_path)

    def rewrite(tx: Tx) -> None:
        told = orjson.loads(tx.execute(select(entry.c.leaf).where(entry.c.id == 5)).scalar_one())
        told["facts"] = {"n": 99}
        changed = ledger.canonical(told)
        tx.execute(update(entry).where(entry.c.id == 5).values(leaf=changed.decode()))
        tx.execute(update(leaf).where(leaf.c.entry_id == 5).values(hash=leaf_hash(changed)))
        sequencer.rebuild_tiles(tx)
        edge = Edge()
        for row in tx.execute(select(leaf.c.hash).order_by(leaf.c.idx)):
            edge.append(bytes(row.hash))
        tx.execute(update(log_checkpoint).values(root=edge.root()))

    db.write(rewrite)
    assert problems(db) == ["log.checkpoint_differs"]
