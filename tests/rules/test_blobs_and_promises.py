"""Blobs that come and go, and what clients were promised about xorbs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from headwater.blobs import BlobFolder, blob_key, read_all
from headwater.hub import collector, files
from headwater.hub.backup import making
from headwater.hub.collector import store as collector_store
from headwater.hub.collector.run import CollectorBusy
from headwater.hub.files.terms import to_text
from headwater.hub.git.collector import remove_orphans
from headwater.hub.tables.files import blob
from headwater.hub.tables.xet import xorb
from headwater.hub.xet import ingest, serving
from headwater.hub.xet.hashes import chunk_hash
from headwater.kernel import Sha256, utcnow
from tests import growth
from tests.storage import Storage
from tests.xet.making import Body, MadeXorb, grant_of, make_shard

NOW = utcnow()
DAY = timedelta(days=1)
DATA = b"weights" * 1000
DIGEST = Sha256(hashlib.sha256(DATA).hexdigest())
XORB = MadeXorb([bytes([n]) * 1000 for n in range(20)])
XET_DATA = b"".join(XORB.chunks)
XET_DIGEST = Sha256(hashlib.sha256(XET_DATA).hexdigest())


def state_of(storage: Storage) -> tuple[str, int]:
    query = select(blob.c.state, blob.c.generation).where(blob.c.sha256 == DIGEST)
    return tuple(storage.site.db.read(lambda tx: tx.execute(query).one()))


def test_what_is_being_deleted_stays_so_and_the_same_bytes_get_a_key_of_their_own(storage: Storage) -> None:
    """The collector has decided, and has not come to the object yet, when somebody sends it again."""
    db, site, ada, repo = storage.site.db, storage.site, storage.person("ada"), storage.repo("ada", "m")
    files.store_plain(site, ada, repo, DATA)
    db.write(collector_store.drop_old_claims, NOW + DAY)
    db.write(collector_store.condemn_blobs, NOW + DAY, NOW)
    assert state_of(storage) == ("condemned", 0)
    db.write(collector_store.doom_blobs, NOW + DAY)
    doomed = db.read(collector_store.list_doomed_blobs)
    assert (state_of(storage), doomed) == (("deleting", 0), [(DIGEST, 0)])
    assert db.read(files.find_missing, ada, repo, [DIGEST]) == {DIGEST}  # "already stored" is not said of it
    files.store_plain(site, ada, repo, DATA)
    db.write(files.grant_rights, repo, {DIGEST: "w"}, actor=ada, now=NOW)
    assert state_of(storage) == ("live", 1)
    for _, generation in doomed:  # now the collector goes on
        site.blobs.delete(blob_key(DIGEST, generation))
    db.write(collector_store.finish_blobs, doomed)
    assert state_of(storage) == ("live", 1)
    assert read_all(files.open_file(site, repo, DIGEST)) == DATA


@pytest.mark.parametrize("how", ["an answer that it is stored", "a commit"])
def test_a_condemned_blob_lives_again_when_somebody_relies_on_it(storage: Storage, how: str) -> None:
    db, ada, repo = storage.site.db, storage.person("ada"), storage.repo("ada", "m")
    files.store_plain(storage.site, ada, repo, DATA)
    db.write(lambda tx: tx.execute(update(blob).values(state="condemned", condemned_at=NOW)))
    if how == "a commit":
        db.write(files.grant_rights, repo, {DIGEST: "w"}, actor=ada, now=NOW)
    else:
        db.write(lambda tx: files.claim_upload(tx, repo, DIGEST, actor=ada, now=NOW))
    assert state_of(storage) == ("live", 0)
    assert db.write(collector_store.doom_blobs, NOW + 9 * DAY) == 0


def send_again(storage: Storage, repo: int) -> None:
    grant = grant_of(storage, "ada", repo)
    assert ingest.accept_xorb(storage.site, grant, XORB.name, Body(XORB.body)) is False


def ask_for_a_chunk(storage: Storage, repo: int) -> None:
    grant = grant_of(storage, "ada", repo)
    assert serving.answer_dedup(storage.site, grant, to_text(chunk_hash(XORB.chunks[0])), now=utcnow())


def send_a_shard(storage: Storage, repo: int) -> None:
    grant = grant_of(storage, "ada", repo)
    shard = ingest.check_shard(storage.site, grant, make_shard([([(XORB, 0, 20)], XET_DIGEST)]))
    ingest.finish_shard(storage.site, grant, shard, lambda _: None)


def promised_at(storage: Storage) -> datetime:
    query = select(xorb.c.last_promised_at).where(xorb.c.hash == XORB.name)
    return storage.site.db.read(lambda tx: tx.execute(query).scalar_one())


@pytest.mark.parametrize("promise", [send_again, ask_for_a_chunk, send_a_shard], ids=lambda act: act.__name__)
def test_each_answer_that_clients_rely_on_keeps_a_xorb_for_28_days_more(
    storage: Storage, promise: Callable[[Storage, int], None]
) -> None:
    db, repo = storage.site.db, storage.repo("ada", "m")
    grant = grant_of(storage, "ada", repo)
    assert ingest.accept_xorb(storage.site, grant, XORB.name, Body(XORB.body)) is True
    send_a_shard(storage, repo)
    old = utcnow() - 27 * DAY
    aged = {"last_promised_at": old, "state": "condemned", "condemned_at": old}
    db.write(lambda tx: tx.execute(update(xorb).values(aged)))
    promise(storage, repo)
    assert promised_at(storage) > NOW
    assert db.write(collector_store.doom_xorbs, NOW + DAY) == 0  # condemned no more


def test_a_xorb_goes_28_days_after_its_last_promise_and_not_before(storage: Storage) -> None:
    """Nothing is made of it. A day later, for what is condemned may still be revived."""
    repo = storage.repo("ada", "m")
    ingest.accept_xorb(storage.site, grant_of(storage, "ada", repo), XORB.name, Body(XORB.body))
    start = promised_at(storage)

    def is_there() -> bool:
        return any(XORB.name in key for key in storage.files_left())

    for day in range(29):
        collector.collect(storage.site, now=start + day * DAY)
        assert is_there()
    collector.collect(storage.site, now=start + 28 * DAY + timedelta(minutes=1))
    assert is_there()
    collector.collect(storage.site, now=start + 29 * DAY + timedelta(minutes=2))
    assert not is_there()


def test_a_file_that_is_known_is_not_hashed_again(storage: Storage) -> None:
    """A shard, and whatever names the file later, looks at its row."""
    repo = storage.repo("ada", "m")
    grant = grant_of(storage, "ada", repo)
    ingest.accept_xorb(storage.site, grant, XORB.name, Body(XORB.body))
    first = ingest.check_shard(storage.site, grant, make_shard([([(XORB, 0, 20)], XET_DIGEST)]))
    assert first.bytes_to_hash == len(XET_DATA)
    ingest.finish_shard(storage.site, grant, first, lambda _: None)
    again = ingest.check_shard(storage.site, grant, make_shard([([(XORB, 0, 20)], XET_DIGEST)]))
    assert again.bytes_to_hash == 0
    seen: list[int] = []
    assert ingest.finish_shard(storage.site, grant, again, seen.append) is False
    assert seen == []


def test_nothing_is_collected_while_a_backup_is_made(storage: Storage, tmp_path: Path) -> None:
    """From before its snapshot of the database to the last object that it names."""
    site, ada, repo = storage.site, storage.person("ada"), storage.repo("ada", "m")
    files.store_plain(site, ada, repo, DATA)
    blob_id = blob_key(DIGEST)
    held: list[str] = []

    def try_to_collect(_: float) -> None:
        with pytest.raises(CollectorBusy):
            collector.collect(site, now=utcnow())
        with site.db.holding("pack-collector", exclusive=True, wait=False) as free:
            assert not free
        held.append("while it copies")

    made = making.make_backup(
        site,
        tmp_path / "backups",
        database_url=growth.database_url_of(site.data_dir),
        keep=1,
        progress=lambda _: try_to_collect,
    )
    assert held
    assert made.manifest.n_objects == 1
    assert list(made.objects) == [blob_id]
    collector.collect(site, now=utcnow())
    assert list(remove_orphans(site)) == []


@growth.only_on_one_machine
def test_an_object_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced, then renamed, then every folder whose listing has changed is synced."""
    blobs = BlobFolder(tmp_path / "blobs")
    blobs.ensure()
    done: list[tuple[str, str]] = []
    fsync, replace = os.fsync, os.replace

    def synced(fd: int) -> None:
        done.append(("sync", os.path.relpath(Path(f"/proc/self/fd/{fd}").readlink(), blobs.root)))
        fsync(fd)

    def renamed(source: Path, target: Path) -> None:
        done.append(("rename", os.path.relpath(target, blobs.root)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    with blobs.temporary() as path:
        path.write_bytes(DATA)
        blobs.adopt(path, "sha256/ab/cd/abcd")
    (first, what), *rest = done
    assert first == "sync"
    assert what.startswith("tmp/")
    assert rest[0] == ("rename", "sha256/ab/cd/abcd")
    assert set(rest[1:]) == {("sync", name) for name in (".", "sha256", "sha256/ab", "sha256/ab/cd")}
