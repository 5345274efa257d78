"""What a further backup into the same place reads and brings, what it believes, and what finds out that it was wrong to."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from headwater.hub.backup import FolderPlace, Manifest, NoBackup, Snapshot, check_backup, make_backup
from headwater.hub.backup.dumping import dump_database
from headwater.hub.backup.folder import BackupFailed
from headwater.hub.backup.parts import MAX_LINES, MIN_LINES, cut_at_lines
from headwater.hub.backup.places import object_name
from headwater.hub.xet import store as xet_store
from tests import growth
from tests.checking.varied import make_varied
from tests.growth import only_on_one_machine
from tests.storage import Storage


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    made = make_varied(tmp_path_factory.mktemp("varied") / "data")
    yield made
    made.site.close()


def back_up(storage: Storage, to: Path, *, keep: int = 9, reads_all: bool = False) -> Snapshot:
    url = growth.database_url_of(storage.site.data_dir)
    return make_backup(storage.site, to, database_url=url, keep=keep, reads_all=reads_all)


def files_of(backups: Path) -> dict[str, tuple[int, int]]:
    """Which file each object is, and when it was written."""
    found = {path: path.stat() for path in (backups / "objects").rglob("*") if path.is_file()}
    return {str(path.relative_to(backups)): (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}


def path_of(backups: Path, sha256: str) -> Path:
    return backups / "objects" / object_name(sha256)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@only_on_one_machine
def test_a_second_one_brings_what_the_first_ones_note_has_changed_and_nothing_else(
    varied: Storage, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(varied.site.data_dir / "headwater.db")) as raw, raw:
        raw.execute("create table filler (bytes blob)")
        raw.executemany("insert into filler values (?)", [(random.Random(n).randbytes(1 << 20),) for n in range(16)])
    first = back_up(varied, tmp_path)
    before = files_of(tmp_path)
    second = back_up(varied, tmp_path)
    after = files_of(tmp_path)
    assert before.items() <= after.items()  # nothing was written again
    brought = sum((tmp_path / name).stat().st_size for name in after.keys() - before.keys())
    assert brought < first.manifest.database_bytes / 4
    assert second.objects == first.objects
    assert second.contents.files["objects"] == first.contents.files["objects"]
    for snapshot in (first, second):  # each is whole by itself
        snapshot.write_database(tmp_path / snapshot.name)
        with closing(sqlite3.connect(tmp_path / snapshot.name / "database")) as raw:
            assert raw.execute("pragma integrity_check").fetchone() == ("ok",)
            assert raw.execute("pragma journal_mode").fetchone() == ("delete",)
            made = raw.execute("select count(*) from upkeep_run where kind = 'backup'").fetchone()
            assert made == (int(snapshot is second),)


def test_each_snapshot_stays_whole_when_the_other_goes(varied: Storage, tmp_path: Path) -> None:
    back_up(varied, tmp_path)
    last = back_up(varied, tmp_path, keep=1)
    assert FolderPlace(tmp_path).list_snapshots() == [last.name]
    assert {Path(name).name for name in files_of(tmp_path)} == last.named()
    assert check_backup(FolderPlace(tmp_path)).bad == []


def test_what_a_backup_that_was_broken_off_has_brought_is_not_brought_again(
    varied: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("the disk has gone")

    with monkeypatch.context() as patched:
        patched.setattr(Manifest, "write", broken)
        with pytest.raises(BackupFailed, match="the disk has gone"):
            back_up(varied, tmp_path)
    assert FolderPlace(tmp_path).list_snapshots() == []
    before = files_of(tmp_path)
    snapshot = back_up(varied, tmp_path)
    after = files_of(tmp_path)
    for kept in snapshot.objects.values():
        name = str(path_of(tmp_path, kept.sha256).relative_to(tmp_path))
        assert after[name] == before[name]


@only_on_one_machine
def test_after_a_restore_a_key_that_other_bytes_have_now_is_known(varied: Storage, tmp_path: Path) -> None:
    """A xorb's key says nothing of how it was packed; only a restore can make it mean other bytes."""
    first = back_up(varied, tmp_path)
    key = next(key for key in first.objects if key.startswith("xet/") and key.endswith(".idx"))
    path = varied.site.data_dir / "blobs" / key
    was = path.read_bytes()
    try:
        flip(path)
        assert back_up(varied, tmp_path).objects[key] == first.objects[key]
        varied.site.db.write(xet_store.raise_epoch)
        last = back_up(varied, tmp_path)
        assert last.objects[key].sha256 != first.objects[key].sha256
    finally:
        path.write_bytes(was)
    assert check_backup(FolderPlace(tmp_path)).bad == []  # both are there


def test_reading_a_backup_finds_what_has_gone_bad_and_reading_all_brings_it_anew(
    varied: Storage, tmp_path: Path
) -> None:
    place = FolderPlace(tmp_path)
    place.prepare()
    with pytest.raises(NoBackup):
        check_backup(place)
    snapshot = back_up(varied, tmp_path)
    looked = check_backup(place)
    assert (looked.snapshots, looked.objects, looked.bad) == (1, len(snapshot.named()), [])
    assert looked.bytes == sum(path.stat().st_size for path in (tmp_path / "objects").rglob("*") if path.is_file())
    kinds = ("sha256/", "git/", "xet/")
    victims = [next(one for one in snapshot.objects.values() if one.key.startswith(kind)) for kind in kinds]
    flip(path_of(tmp_path, victims[0].sha256))
    with path_of(tmp_path, victims[1].sha256).open("ab") as file:
        file.write(b"more")
    path_of(tmp_path, victims[2].sha256).unlink()
    found = check_backup(place)
    for victim in victims:
        (bad,) = [bad for bad in found.bad if victim.key in bad.what and victim.sha256 in bad.what]
        assert bad.snapshots == (snapshot.name,)
    assert len(check_backup(place, reads_bytes=False).bad) == 2  # whose size says it
    back_up(varied, tmp_path)
    assert len(check_backup(place).bad) == 1  # a changed byte is believed until it is read
    back_up(varied, tmp_path, reads_all=True)
    assert check_backup(place).bad == []
    flip(path_of(tmp_path, snapshot.manifest.contents_sha256))
    assert next(bad.snapshots for bad in check_backup(place).bad) == (snapshot.name,)


@pytest.mark.parametrize("which", ["database", "objects"])
def test_a_part_of_a_snapshot_itself_that_went_bad_is_brought_anew_by_the_next(
    varied: Storage, tmp_path: Path, which: str
) -> None:
    """One that all snapshots have in common would be lost to all of them."""
    first = back_up(varied, tmp_path)
    parts = next(parts for name, parts in first.contents.files.items() if name.startswith(which))
    for part in parts:
        flip(path_of(tmp_path, part.sha256))
    assert check_backup(FolderPlace(tmp_path)).bad
    back_up(varied, tmp_path, keep=1)
    assert check_backup(FolderPlace(tmp_path)).bad == []


def test_nothing_goes_while_it_is_not_known_what_a_snapshot_names(varied: Storage, tmp_path: Path) -> None:
    first = back_up(varied, tmp_path)
    path_of(tmp_path, first.manifest.contents_sha256).unlink()
    before = files_of(tmp_path)
    back_up(varied, tmp_path)
    assert before.keys() <= files_of(tmp_path).keys()
    last = back_up(varied, tmp_path, keep=1)  # which pushes it out
    assert {Path(name).name for name in files_of(tmp_path)} == last.named()


@only_on_one_machine
def test_no_snapshot_is_made_of_a_database_that_is_damaged(varied: Storage, tmp_path: Path) -> None:
    """Its pages are copied without being understood, so they are looked at once they are here."""
    dump_database(varied.site.data_dir, tmp_path, None)
    bad = (tmp_path / "database").rename(tmp_path / "headwater.db")
    with bad.open("r+b") as file:
        file.seek(9 * 4096)
        file.write(b"\x0a" + b"\xff" * 60)
    (tmp_path / "work").mkdir()
    with pytest.raises(sqlite3.DatabaseError, match=r"damaged|malformed"):
        dump_database(tmp_path, tmp_path / "work", None)


def test_a_line_more_moves_no_later_cut(tmp_path: Path) -> None:
    rng = random.Random(5)
    lines = [f"{rng.randbytes(24).hex()}\t{rng.randrange(10**9)}\n".encode() for _ in range(40_000)]

    def parts_of(lines: list[bytes]) -> list[bytes]:
        (tmp_path / "lines").write_bytes(b"".join(lines))
        return list(cut_at_lines(tmp_path / "lines"))

    whole = parts_of(lines)
    assert b"".join(whole) == b"".join(lines)
    assert all(MIN_LINES <= len(part) <= MAX_LINES for part in whole[:-1])
    assert all(part.endswith(b"\n") for part in whole)
    changed = parts_of([*lines[:9000], b"one more\n", *lines[9000:]])
    assert len(set(changed) - set(whole)) <= 3
    assert b"".join(parts_of([b"x" * 3_000_000])) == b"x" * 3_000_000
    assert parts_of([]) == []
