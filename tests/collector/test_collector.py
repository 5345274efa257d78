"""What is collected, when, and above all what is not."""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta

import pytest
from sqlalchemy import update

from headwater.blobs import blob_key, read_all
from headwater.hub import collector, files
from headwater.hub.files import LargeFileNotFound
from headwater.hub.tables.repositories import repository
from headwater.hub.xet import ingest
from headwater.kernel import Sha256, utcnow
from tests.growth import only_on_one_machine
from tests.storage import Storage
from tests.xet.making import Body, MadeXorb, grant_of, make_shard

NOW = utcnow()
DAY = timedelta(days=1)
DATA = b"weights" * 1000
DIGEST = Sha256(hashlib.sha256(DATA).hexdigest())
XORB = MadeXorb([bytes([n]) * 1000 for n in range(20)])
XET_DATA = b"".join(XORB.chunks)
XET_DIGEST = Sha256(hashlib.sha256(XET_DATA).hexdigest())


def days(storage: Storage, first: int, last: int) -> list[collector.Report]:
    """One run a day; the first ever sets the clock."""
    return [collector.collect(storage.site, now=NOW + n * DAY) for n in range(first, last + 1)]


def send_xet(storage: Storage, repo: int) -> None:
    grant = grant_of(storage, "ada", repo)
    ingest.accept_xorb(storage.site, grant, XORB.name, Body(XORB.body))
    shard = ingest.check_shard(storage.site, grant, make_shard([([(XORB, 0, 20)], XET_DIGEST)]))
    ingest.finish_shard(storage.site, grant, shard, lambda _: None)


def name_it(storage: Storage, repo: int, digest: Sha256, *, now=NOW) -> None:
    storage.site.db.write(files.grant_rights, repo, {digest: "w"}, actor=storage.person("ada"), now=now)


def test_what_a_repository_may_read_stays_for_ever(storage: Storage) -> None:
    ada, repo = storage.person("ada"), storage.repo("ada", "m")
    files.store_plain(storage.site, ada, repo, DATA)
    send_xet(storage, repo)
    name_it(storage, repo, DIGEST)
    name_it(storage, repo, XET_DIGEST)
    days(storage, 0, 60)
    assert read_all(files.open_file(storage.site, repo, DIGEST)) == DATA
    assert read_all(files.open_file(storage.site, repo, XET_DIGEST)) == XET_DATA


def test_an_upload_that_no_commit_names_goes_after_its_grace(storage: Storage) -> None:
    ada, repo = storage.person("ada"), storage.repo("ada", "m")
    files.store_plain(storage.site, ada, repo, DATA)
    days(storage, 0, 6)
    assert storage.site.db.read(files.find_missing, ada, repo, [DIGEST]) == set()
    days(storage, 7, 12)
    assert storage.site.db.read(files.find_missing, ada, repo, [DIGEST]) == {DIGEST}
    assert [p for p in storage.files_left() if DIGEST in p] == []


def test_a_condemned_blob_is_revived_by_an_upload_or_a_commit(storage: Storage) -> None:
    ada, repo = storage.person("ada"), storage.repo("ada", "m")
    files.store_plain(storage.site, ada, repo, DATA)
    reports = days(storage, 0, 8)
    assert sum(r.blobs_condemned for r in reports) == 1
    files.store_plain(storage.site, ada, repo, DATA)
    name_it(storage, repo, DIGEST)
    days(storage, 9, 40)
    assert read_all(files.open_file(storage.site, repo, DIGEST)) == DATA


def test_what_was_deleted_comes_back_under_the_next_generation(storage: Storage) -> None:
    ada, repo = storage.person("ada"), storage.repo("ada", "m")
    files.store_plain(storage.site, ada, repo, DATA)
    days(storage, 0, 12)
    files.store_plain(storage.site, ada, repo, DATA)
    name_it(storage, repo, DIGEST)
    assert storage.site.blobs.exists(blob_key(DIGEST, 1))
    assert read_all(files.open_file(storage.site, repo, DIGEST)) == DATA


def test_a_xorb_stays_as_long_as_clients_may_rely_on_it(storage: Storage) -> None:
    repo = storage.repo("ada", "m")
    send_xet(storage, repo)
    days(storage, 0, 28)
    assert [p for p in storage.files_left() if XORB.name in p]
    grant = grant_of(storage, "ada", repo)
    shard = ingest.check_shard(storage.site, grant, make_shard([([(XORB, 0, 5)], None)]))
    assert shard.bytes_to_hash == 5000
    days(storage, 29, 40)
    assert [p for p in storage.files_left() if XORB.name in p] == []


def test_a_file_that_came_by_xet_goes_with_its_last_right_and_comes_back(storage: Storage) -> None:
    repo = storage.repo("ada", "m")
    send_xet(storage, repo)
    name_it(storage, repo, XET_DIGEST)
    storage.site.db.write(files.drop_rights, repo, [XET_DIGEST])
    days(storage, 0, 12)
    with pytest.raises(LargeFileNotFound):
        files.open_file(storage.site, repo, XET_DIGEST)
    send_xet(storage, repo)  # the client still knows the xorb and sends only the shard
    name_it(storage, repo, XET_DIGEST)
    days(storage, 13, 60)
    assert read_all(files.open_file(storage.site, repo, XET_DIGEST)) == XET_DATA


def test_the_files_of_a_deleted_repository_go_unless_another_has_them(storage: Storage) -> None:
    ada, one, two = storage.person("ada"), storage.repo("ada", "one"), storage.repo("ada", "two")
    other = b"other" * 100
    kept = files.store_plain(storage.site, ada, one, DATA)
    lost = files.store_plain(storage.site, ada, one, other)
    name_it(storage, one, kept)
    name_it(storage, one, lost)
    name_it(storage, two, kept)
    storage.site.db.write(
        lambda tx: tx.execute(update(repository).where(repository.c.id == one).values(deleted_at=NOW))
    )
    days(storage, 0, 12)
    assert read_all(files.open_file(storage.site, two, kept)) == DATA
    assert storage.site.db.read(files.find_missing, ada, one, [lost]) == {lost}


@only_on_one_machine
def test_files_without_a_row_go_and_young_ones_stay(storage: Storage) -> None:
    blobs = storage.site.blobs
    old = (NOW - 3 * DAY).timestamp()
    orphan, young = blobs.path_of(blob_key(Sha256("a" * 64))), blobs.path_of(blob_key(Sha256("b" * 64)))
    half, parts = blobs.tmp / "0123", blobs.tmp / "parts-0123"
    for path in (orphan, young, half, parts):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    killed = blobs.tmp / "push-0123" / "objects"  # what a process leaves that was killed in the middle of a push
    killed.mkdir(parents=True)
    (killed / "pack").write_bytes(b"xy")
    for path in (orphan, half, parts, killed / "pack", killed, killed.parent):
        os.utime(path, (old, old))
    report = collector.collect(storage.site, now=NOW)
    assert (report.orphans_removed, report.bytes_freed) == (3, 4)
    assert not killed.parent.exists()
    assert young.exists()
    assert parts.exists()
    assert not orphan.exists()
    assert not half.exists()


@pytest.mark.parametrize("jump", [timedelta(days=3), timedelta(hours=-2), timedelta(days=400)])
def test_a_clock_that_jumps_stops_the_collector_until_an_operator_confirms(storage: Storage, jump: timedelta) -> None:
    ada, repo = storage.person("ada"), storage.repo("ada", "m")
    files.store_plain(storage.site, ada, repo, DATA)
    collector.collect(storage.site, now=NOW)
    for later in (jump, timedelta(hours=1)):  # even if the clock is put right again
        with pytest.raises(collector.ClockJumped, match="collector confirm"):
            collector.collect(storage.site, now=NOW + later)
    collector.run_periodically(storage.site)
    assert storage.site.db.read(collector.find_stop) is not None
    assert storage.site.db.read(files.find_missing, ada, repo, [DIGEST]) == set()
    storage.site.db.write(collector.confirm_clock, NOW)
    collector.collect(storage.site, now=NOW + timedelta(hours=2))
