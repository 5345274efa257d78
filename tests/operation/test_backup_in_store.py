"""Backups in a bucket, keys apart from them, and files that come back from another site."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from headwater.cli.backup import place_of
from headwater.cli.open import open_site
from headwater.config import read_settings
from headwater.hub.backup import Snapshot, StorePlace
from headwater.hub.backup.places import object_name
from headwater.hub.checking import check
from tests.conftest import LiveApp
from tests.faults.test_places import client_of, commit, upload
from tests.growth import only_on_one_machine
from tests.operation.test_backup import command, refused
from tests.servers.seaweed import KEY_ID, SECRET_KEY, seaweed

pytestmark = only_on_one_machine


def settings_for(folder: Path) -> Path:
    """A data folder that keeps its own objects, and its backups in the store."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "headwater.toml").write_text(
        f'[backup]\nendpoint = "{seaweed().url}"\nkey_id = "{KEY_ID}"\nsecret_key = "{SECRET_KEY}"\n'
    )
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    tmp = tmp_path_factory.mktemp("store")
    where = f"s3://{seaweed().new_bucket()}/backups/hub"
    app = LiveApp(settings_for(tmp / "data"), options={"workers": 1})
    try:
        app.add_people()
        app.hf("ada").create_repo("ada/kept")
        client, rng = client_of(app), random.Random(4)
        content = {f"{n}.bin": rng.randbytes(300_000) for n in range(3)}
        for path, data in content.items():
            upload(client, path, data)
        commit(client, "notes.txt", rng.randbytes(90_000).hex().encode())  # a pack that lies among the objects
        first = app.cli("backup", where, f"--keys-to={tmp / 'keys'}")
        second = app.cli("backup", where, f"--keys-to={tmp / 'keys'}", "--keep=1")
    finally:
        app.stop()
    app.check_clean()
    assert first["n_objects"] == second["n_objects"] == 5
    return {"tmp": tmp, "where": where, "data": tmp / "data", "keys": tmp / "keys", "content": content, "last": second}


def place_at(kept: dict[str, Any]) -> StorePlace:
    place = place_of(kept["where"], read_settings(kept["data"], environ={}), kept["data"])
    assert isinstance(place, StorePlace)
    return place


def objects_of(kept: dict[str, Any]) -> list[str]:
    return [one.key for one in place_at(kept).store.iter_keys("")]


def test_one_snapshot_is_left_and_no_key_is_with_it(kept: dict[str, Any]) -> None:
    keys = objects_of(kept)
    assert {key.split("/")[1] for key in keys if key.startswith("snapshots/")} == {kept["last"]["snapshot"]}
    snapshot = Snapshot(place_at(kept), kept["last"]["snapshot"])
    assert len(snapshot.objects) == 5
    assert {key for key in keys if key.startswith("objects/")} == {
        f"objects/{object_name(sha256)}" for sha256 in snapshot.named()
    }
    assert not [key for key in keys if key.startswith("keys/")]
    assert {path.name for path in kept["keys"].iterdir()} == {"secret", "log_key"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in kept["keys"].iterdir())


def test_it_becomes_a_site_again_with_its_keys(kept: dict[str, Any], tmp_path: Path) -> None:
    new = settings_for(tmp_path / "new")
    assert refused("restore", f"--from={kept['where']}", f"--data={new}") == "backup_keys_missing"
    said = command("restore", f"--from={kept['where']}", f"--data={new}", f"--keys-from={kept['keys']}", "--json")
    assert said.returncode == 0, said.stderr
    for name in ("secret", "log_key"):
        assert (new / name).read_bytes() == (kept["data"] / name).read_bytes()
    app = LiveApp(new, options={"workers": 1})
    try:
        for path, data in kept["content"].items():
            assert httpx.get(f"{app.url}/ada/kept/resolve/main/{path}", follow_redirects=True).content == data
    finally:
        app.stop()


def test_a_drill_says_that_it_can(kept: dict[str, Any]) -> None:
    said = command(
        "restore",
        f"--from={kept['where']}",
        "--drill",
        f"--data={kept['data']}",
        f"--keys-from={kept['keys']}",
        "--json",
    )
    assert said.returncode == 0, said.stderr
    assert orjson.loads(said.stdout)["n_objects"] == 5


def test_what_went_bad_in_the_bucket_is_found_and_brought_anew(kept: dict[str, Any]) -> None:
    look = ("check", f"--backup={kept['where']}", f"--data={kept['data']}", "--json")
    sound = command(*look)
    assert sound.returncode == 0, sound.stdout + sound.stderr
    place = place_at(kept)
    snapshot = Snapshot(place, place.list_snapshots()[-1])
    one = next(kept for kept in snapshot.objects.values() if kept.key.startswith("sha256/"))
    with place.temporary() as path:
        path.write_bytes(b"x" * one.size_bytes)
        place.put(path, one.sha256)
    said = command(*look)
    assert said.returncode == 1
    assert one.key in orjson.loads(said.stdout)["problems"][0]["what"]
    again = ("backup", kept["where"], f"--data={kept['data']}", f"--keys-to={kept['keys']}")
    assert command(*again, "--keep=1", "--read-all").returncode == 0
    assert command(*look).returncode == 0


def test_bytes_come_back_from_the_bucket_and_from_another_site(kept: dict[str, Any], tmp_path: Path) -> None:
    victims = sorted(path for path in (kept["data"] / "blobs" / "sha256").rglob("*") if path.is_file())
    victims[0].unlink()
    said = command("repair", f"--from={kept['where']}", f"--data={kept['data']}", "--json")
    assert said.returncode == 0, said.stdout + said.stderr
    assert orjson.loads(said.stdout) == {"problems": 1, "mended": 1, "left": []}
    # A second site, made of the backup, gives the others what they lost.
    peer = settings_for(tmp_path / "peer")
    assert command("restore", f"--from={kept['where']}", f"--data={peer}", "--new-keys").returncode == 0
    app = LiveApp(peer, options={"workers": 1})
    try:
        victims[1].unlink()
        victims[2].write_bytes(b"other bytes")
        said = command("repair", f"--from={app.url}", f"--data={kept['data']}", "--json")
        assert said.returncode == 0, said.stdout + said.stderr
        assert orjson.loads(said.stdout)["mended"] == 2
        # What the other site has wrong itself is not taken.
        next(path for path in (peer / "blobs").rglob(victims[1].name)).write_bytes(b"x" * 300_000)
        victims[1].unlink()
        said = command("repair", f"--from={app.url}", f"--data={kept['data']}", "--json")
        assert said.returncode == 1
        assert orjson.loads(said.stdout)["mended"] == 0
    finally:
        app.stop()
    said = command("repair", f"--from={kept['where']}", f"--data={kept['data']}", "--json")
    assert said.returncode == 0, said.stdout
    site = open_site(kept["data"])
    try:
        assert check(site, keeps=False).is_good
    finally:
        site.close()


def test_what_is_no_place_is_refused(kept: dict[str, Any]) -> None:
    for where in ("s3://x", "https://example.org", "s3:///nothing"):
        assert command("backup", where, f"--data={kept['data']}").returncode != 0
    assert command("backup", f"--data={kept['data']}").returncode == 2
