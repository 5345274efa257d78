"""What is wrong is mended from a backup, from the record, or from another site; what is not sound is not taken from anywhere."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from headwater.db import Tx
from headwater.hub.backup import BackupBusy, BackupOfAnotherSite, FolderPlace, folder_locked, make_backup
from headwater.hub.backup.making import Deposit
from headwater.hub.backup.parts import cut_evenly
from headwater.hub.backup.places import object_name
from headwater.hub.checking import check, repairing
from headwater.hub.checking.repairing import NoSource, Repaired, opened_backup, repair
from headwater.hub.content.refs import create_branch
from headwater.hub.models import RepoName
from headwater.hub.repos import service as repos
from headwater.kernel import SYSTEM, RepoId, utcnow
from headwater.ledger import Recorded
from tests import growth
from tests.checking.test_check import codes, damage, flip, rows, sql
from tests.checking.varied import MODEL, OPEN
from tests.growth import only_on_one_machine
from tests.operation.test_backup import snapshot_of
from tests.storage import Storage


@pytest.fixture
def backups(varied: Storage, tmp_path: Path) -> Path:
    url = growth.database_url_of(varied.site.data_dir)
    make_backup(varied.site, tmp_path / "backups", database_url=url, keep=1)
    return tmp_path / "backups"


def mend(storage: Storage, backups: Path) -> Repaired:
    with opened_backup(storage.site, FolderPlace(backups), None) as source:
        return repair(storage.site, source)


def test_every_object_comes_back_from_a_backup(varied: Storage, backups: Path) -> None:
    blobs = varied.site.blobs
    keys = [one.key for kind in ("sha256/", "xet/", "git/") for one in blobs.iter_keys(kind)]
    for number, key in enumerate(keys):
        if number % 2:
            blobs.delete(key)
        else:
            damage(varied, key, flip(60))
    done = mend(varied, backups)
    assert len(done.before.problems) >= len(keys) / 2
    assert done.after.problems == []
    assert done.objects >= len(keys) / 2
    kinds = [kind for (kind,) in rows(varied, "select kind from entry order by id")]
    assert kinds[-1] == "site.repaired"


def test_what_is_damaged_there_too_is_not_taken(varied: Storage, backups: Path) -> None:
    for kind, suffix in (("sha256/", ""), ("git/", ".pack"), ("git/", ".idx"), ("xet/", ".raw"), ("xet/", ".xorb")):
        key = next((one.key for one in varied.site.blobs.iter_keys(kind) if one.key.endswith(suffix)), None)
        if key is None:
            continue
        there = backups / "objects" / object_name(snapshot_of(backups).objects[key].sha256)
        data = bytearray(there.read_bytes())
        data[len(data) // 2] ^= 1
        there.write_bytes(data)
        varied.site.blobs.delete(key)
        done = mend(varied, backups)
        assert done.after.problems, key
        assert any(key in (p.key or "") or key in p.what for p in done.after.problems), key
        break
    assert not check(varied.site).is_good


@only_on_one_machine
@pytest.mark.parametrize(
    "statement",
    [
        "update blob set size_bytes = size_bytes + 1",
        "update blob set state = 'gone'",
        "update xorb set n_chunks = 1",
        "update xet_file set terms = substr(terms, 1, 48), n_terms = 1",
        "delete from xet_file_xorb",
        "update lfs_pointer set sha256 = upper(sha256)",
        "delete from file_right",
        "delete from pack_bytes",
        "update pack_bytes set pack = substr(pack, 1, 50)",
        "update pack set size_bytes = 3",
    ],
)
def test_rows_come_back_from_a_backup(varied: Storage, backups: Path, statement: str) -> None:
    sql(varied, statement)
    assert not check(varied.site).is_good
    done = mend(varied, backups)
    assert done.after.problems == []
    assert done.rows


def test_the_backup_of_another_site_is_refused(varied: Storage, backups: Path) -> None:
    """Its rows have the same numbers and are about other things."""
    sql(varied, "update site_identity set id = 'another'")
    with pytest.raises(BackupOfAnotherSite), opened_backup(varied.site, FolderPlace(backups), None):
        pass


def test_no_backup_is_made_while_one_is_read(varied: Storage, backups: Path) -> None:
    with (
        opened_backup(varied.site, FolderPlace(backups), None),
        pytest.raises(BackupBusy),
        folder_locked(backups, exclusive=True),
    ):
        pass


@only_on_one_machine
@pytest.mark.parametrize("elsewhere", ["repo_id = repo_id + 1000", "name = replace(name, substr(name, 1, 4), '0000')"])
def test_a_pack_that_was_another_s_then_is_not_taken(varied: Storage, backups: Path, elsewhere: str) -> None:
    """Of the same site before it was restored: since then the number was given out again."""
    snapshot = snapshot_of(backups)
    snapshot.write_database(backups.parent)
    with closing(sqlite3.connect(backups.parent / "database")) as raw:
        raw.execute(f"update pack set {elsewhere} where repo_id in (1, 2)")
        raw.commit()
    deposit = Deposit(FolderPlace(backups), reads_all=False)
    snapshot.contents.files["database"] = [deposit.take_part(data) for data in cut_evenly(backups.parent / "database")]
    contents = deposit.take_part(snapshot.contents.dump())
    told = replace(snapshot.manifest, contents_sha256=contents.sha256, contents_bytes=contents.size_bytes)
    told.write(backups / "snapshots" / snapshot.name)
    before = rows(varied, "select id, repo_id, name from pack order by id")
    sql(varied, "delete from pack_bytes")
    sql(varied, "update pack set size_bytes = 3 where not is_inline")
    done = mend(varied, backups)
    assert done.rows == 0
    assert done.after.problems
    assert rows(varied, "select id, repo_id, name from pack order by id") == before


@only_on_one_machine
def test_a_repository_that_was_hidden_and_renamed_since_the_backup_stays_so(varied: Storage, backups: Path) -> None:
    ada, db = varied.person("ada"), varied.site.db
    db.write(repos.change_settings, ada, MODEL, OPEN, repos.Settings(is_private=True), now=utcnow())
    db.write(repos.move_repository, ada, MODEL, OPEN, RepoName("ada", "hidden"), now=utcnow())
    is_now = rows(varied, "select is_private, name, head_commit from repository where id = 1")
    sql(varied, "update repository set head_commit = null where id = 1")
    done = mend(varied, backups)
    assert codes(done.before) == {"head.differs"}
    assert done.after.problems == []
    assert rows(varied, "select is_private, name, head_commit from repository where id = 1") == is_now


def test_refs_go_back_to_where_the_record_moved_them(varied: Storage) -> None:
    before = rows(varied, "select repo_id, name, oid from ref order by repo_id, name")
    sql(
        varied,
        "update ref set oid = (select oid from ref r where r.name = 'refs/heads/side' limit 1) where name = 'refs/heads/main' and repo_id = 1",
    )
    sql(varied, "delete from ref where name = 'refs/tags/v1'")
    found = check(varied.site)
    assert codes(found) >= {"ref.differs", "head.differs"}
    done = repair(varied.site, NoSource())
    assert done.after.problems == []
    assert done.refs == 3
    assert rows(varied, "select repo_id, name, oid from ref order by repo_id, name") == before


def test_a_ref_that_moves_meanwhile_stays_where_it_was_moved(varied: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server runs on: between the look at the record and the move of the ref somebody makes the branch anew."""
    side = "select oid from ref where repo_id = 1 and name = 'refs/heads/side'"
    before = rows(varied, side)
    sql(varied, "delete from ref where repo_id = 1 and name = 'refs/heads/side'")
    read = repairing.recorded_refs
    made: list[str] = []

    def then_made_anew(tx: Tx, repo_id: RepoId) -> tuple[dict[str, str], list[Recorded], int]:
        found = read(tx, repo_id)
        if not made:
            made.append(create_branch(varied.site, SYSTEM, MODEL, OPEN, "side"))
        return found

    monkeypatch.setattr(repairing, "recorded_refs", then_made_anew)
    done = repair(varied.site, NoSource())
    assert done.refs == 0
    assert rows(varied, side) == [(made[0],)] != before


def test_nothing_is_done_where_nothing_is_wrong(varied: Storage) -> None:
    done = repair(varied.site, NoSource())
    assert (done.objects, done.rows, done.refs, done.before.problems) == (0, 0, 0, [])


def test_git_agrees_that_it_is_mended(varied: Storage, backups: Path) -> None:
    """After a repair git itself finds nothing wrong in what the cache is made of."""
    key = next(one.key for one in varied.site.blobs.iter_keys("git/") if one.key.endswith(".pack"))
    damage(varied, key, flip(500))
    assert mend(varied, backups).after.is_good
    from headwater.hub.git import GitStore

    with varied.site.part(GitStore).open(int(key.split("/")[1])) as snap:
        out = snap.run_git("fsck", "--full", "--strict")
    assert out == b""
