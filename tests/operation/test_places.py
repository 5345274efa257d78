"""What of a snapshot is durable when it says that it is whole, and what is left of one that is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headwater.blobs import BlobFolder
from headwater.hub.backup import FolderPlace, Manifest, Place, StorePlace
from headwater.hub.backup.places import KEY_FILES


def test_all_that_leads_to_an_object_is_durable_before_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, synced, is_whole = FolderPlace(tmp_path), set[str](), tmp_path / "snapshots" / "one" / "backup.json.new"
    really = os.fsync

    def noting(fd: int) -> None:
        really(fd)
        if not is_whole.exists():
            synced.add(str(Path(f"/proc/self/fd/{fd}").readlink()))

    place.prepare()
    (tmp_path / "objects" / "cd").mkdir()
    monkeypatch.setattr(os, "fsync", noting)
    with place.making("one") as work:
        with place.temporary() as path:
            path.write_bytes(b"x")
            sent = str(path)
            place.put(path, "ab" * 32)
        place.put_key("one", "secret", b"y")
        (work / "database").write_bytes(b"z")
        # "cd" was put there by a backup that was broken off
        manifest = Manifest(2, "", "", "sqlite", "", 1, 1, 1, 1, 1)
        place.publish("one", manifest, work, ["ab" * 32, "cd" * 32])
    folders = ("objects", "objects/ab", "objects/cd", "keys", "keys/one")
    assert {sent, *(str(tmp_path / name) for name in folders)} <= synced
    assert [path.name for path in (tmp_path / "snapshots" / "one").iterdir()] == ["backup.json"]


@pytest.mark.parametrize("kind", ["folder", "store"])
def test_no_key_is_left_of_a_backup_that_failed(tmp_path: Path, kind: str) -> None:
    place: Place = FolderPlace(tmp_path / "b")
    if kind == "store":
        place = StorePlace("s3://b", BlobFolder(tmp_path / "b"), tmp_path / "work")
    place.prepare()

    def fail() -> None:
        with place.making("one"):
            for name in KEY_FILES:
                place.put_key("one", name, b"secret")
            assert place.read_keys("one").keys() == set(KEY_FILES)
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert place.read_keys("one") == {}
