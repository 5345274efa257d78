"""A backup of a running site, and the site that is made out of it."""

from __future__ import annotations

import hashlib
import os
import pwd
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from huggingface_hub import snapshot_download

from headwater.db.copying import SqliteSide
from headwater.hub.backup import FolderPlace, Snapshot, folder_locked
from headwater.hub.backup.places import object_name
from headwater.hub.moving.site import declared_tables
from tests import growth
from tests.clients import run_client
from tests.conftest import LiveApp, clean_env, wait_for
from tests.moving.test_migrate import send_again, send_whole, up_refused


def command(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headwater", *arguments], capture_output=True, text=True, env=clean_env(env), timeout=120
    )


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts
    }


def snapshot_of(backups: Path, name: str | None = None) -> Snapshot:
    """The latest, or that of this name."""
    place = FolderPlace(backups)
    return Snapshot(place, name or place.list_snapshots()[-1])


def object_of(backups: Path, key: str) -> Path:
    """Where the latest snapshot has an object of such a key."""
    found = next(one for one in snapshot_of(backups).objects.values() if re.search(key, one.key))
    return backups / "objects" / object_name(found.sha256)


UPLOAD = "api.upload_folder(repo_id=args[0], folder_path=args[1], commit_message='x')"


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> dict[str, Any]:
    """A site with files in every layout, backed up while somebody writes; then stopped."""
    tmp = tmp_path_factory.mktemp("backup")
    app = LiveApp(tmp / "data", options={"workers": 1})
    app.add_people()
    rng = random.Random(11)
    tree = tmp / "tree"
    tree.mkdir()
    (tree / "weights.bin").write_bytes(rng.randbytes(2 << 20))
    (tree / "notes.txt").write_bytes(rng.randbytes(150_000).hex().encode())  # a pack that is too large for its row
    (tree / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    hf = app.hf("ada")
    hf.create_repo("ada/kept", private=True)
    hf.create_repo("ada/busy")
    run_client(app, "ada", UPLOAD, "ada/kept", str(tree), home=tmp / "home")
    sent = send_whole(app, "ada/busy", b"from a browser")
    done, written = threading.Event(), []

    def write_on() -> None:
        while not done.is_set():
            number = len(written)
            hf.upload_file(path_or_fileobj=b"x" * number, path_in_repo=f"{number}.txt", repo_id="ada/busy")
            written.append(number)

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        first = app.cli("backup", f"--to={tmp / 'backups'}")
        second = app.cli("backup", f"--to={tmp / 'backups'}")
    finally:
        done.set()
        writer.join()
    assert written
    assert first["n_objects"] >= 4  # a xorb and its index, a pack and its index
    assert second["snapshot"] > first["snapshot"]
    # What comes after the snapshot: the client believes it to be there, and it will not be.
    more = tmp / "more"
    more.mkdir()
    (more / "later.bin").write_bytes(rng.randbytes(1 << 20))
    run_client(app, "ada", UPLOAD, "ada/kept", str(more), home=tmp / "home")
    app.stop()
    app.check_clean()
    return {
        "tmp": tmp,
        "tree": tree,
        "more": more,
        "backups": tmp / "backups",
        "data": tmp / "data",
        "home": tmp / "home",
        "sent": sent,
    }


def test_the_restored_site_has_everything_and_clients_go_on_with_it(kept, tmp_path):
    said = command("restore", f"--from={kept['backups']}", f"--data={tmp_path / 'new'}", "--json")
    assert said.returncode == 0, said.stderr
    assert orjson.loads(said.stdout)["epoch"] > 0
    app = LiveApp(tmp_path / "new")
    try:
        got = snapshot_download(
            "ada/kept",
            endpoint=app.url,
            token=app.token("ada"),
            local_dir=tmp_path / "got",
            cache_dir=tmp_path / "cache",
        )
        assert {k: v for k, v in digests(Path(got)).items() if k != ".gitattributes"} == digests(kept["tree"])
        # The same client, which remembers what it sent before the disaster, sends it again.
        run_client(app, "ada", UPLOAD, "ada/kept", str(kept["more"]), home=kept["home"])
        again = app.hf("ada").hf_hub_download("ada/kept", "later.bin", cache_dir=tmp_path / "cache2")
        assert Path(again).read_bytes() == (kept["more"] / "later.bin").read_bytes()
        # What a browser had sent whole, and no commit had taken, is sent again: no snapshot has it.
        send_again(app, "ada/busy", kept["sent"], growth.database_url_of(app.data))
        # Nothing of a commit is there without the rest of it.
        names = [f for f in app.hf("ada").list_repo_files("ada/busy") if f.endswith(".txt")]
        for name in names[:5]:
            path = app.hf("ada").hf_hub_download("ada/busy", name, cache_dir=tmp_path / "cache3")
            assert Path(path).stat().st_size == int(name.removesuffix(".txt"))
    finally:
        app.stop()
    app.check_clean()


def test_a_place_that_holds_a_site_is_left_alone(kept):
    said = command("restore", f"--from={kept['backups']}", f"--data={kept['data']}", "--json")
    assert said.returncode == 1
    assert orjson.loads(said.stderr)["code"] == "site_not_empty"


@pytest.mark.parametrize(
    ("key", "is_cut"), [(r"^xet/.*\.raw$", True), (r"^xet/.*\.raw$", False), (r"^git/.*\.idx$", False)]
)
def test_what_was_altered_is_refused_before_there_is_a_database(kept, tmp_path, key, is_cut):
    """Cut off, or with one byte changed: no object is known by its size alone."""
    copy = tmp_path / "copy"
    shutil.copytree(kept["backups"], copy)
    victim = object_of(copy, key)
    data = victim.read_bytes()
    victim.write_bytes(data[:-1] if is_cut else data[:-1] + bytes([data[-1] ^ 1]))
    said = command("restore", f"--from={copy}", f"--data={tmp_path / 'new'}", "--json")
    assert said.returncode == 1
    assert orjson.loads(said.stderr)["code"] == "backup_damaged"
    assert victim.name in said.stderr
    assert not (tmp_path / "new" / "headwater.db").exists()


def test_an_altered_database_and_no_snapshot_at_all_are_refused(kept, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(kept["backups"], copy)
    victim = copy / "objects" / object_name(snapshot_of(copy).contents.files["database"][2].sha256)
    with victim.open("r+b") as file:
        file.seek(5000)
        file.write(b"????")
    said = command("restore", f"--from={copy}", f"--data={tmp_path / 'new'}", "--json")
    assert orjson.loads(said.stderr)["code"] == "backup_damaged"
    assert victim.name in said.stderr
    assert not list((tmp_path / "new").rglob("*restoring*"))
    for manifest in copy.glob("snapshots/*/backup.json"):
        manifest.unlink()
    said = command("restore", f"--from={copy}", f"--data={tmp_path / 'new'}", "--json")
    assert orjson.loads(said.stderr)["code"] == "no_backup"


def test_a_site_that_lacks_bytes_gets_no_snapshot_and_old_ones_stay(kept, tmp_path):
    data, backups = tmp_path / "data", tmp_path / "backups"
    shutil.copytree(kept["data"], data)
    shutil.copytree(kept["backups"], backups)
    before = sorted(path.name for path in (backups / "snapshots").iterdir())
    kept_one = next(one for one in snapshot_of(backups).objects.values() if one.key.endswith(".idx"))
    (data / "blobs" / kept_one.key).unlink()
    (backups / "objects" / object_name(kept_one.sha256)).unlink()
    said = command("backup", f"--to={backups}", f"--data={data}", "--json")
    assert said.returncode == 1
    assert orjson.loads(said.stderr)["code"] == "backup_incomplete"
    assert sorted(path.name for path in (backups / "snapshots").iterdir()) == before


def test_only_so_many_snapshots_are_kept_and_no_object_that_none_names(kept, tmp_path):
    data, backups = tmp_path / "data", tmp_path / "backups"
    shutil.copytree(kept["data"], data)
    shutil.copytree(kept["backups"], backups)
    stray = backups / "objects" / object_name("0" * 64)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"of a snapshot that is gone")
    made = orjson.loads(command("backup", f"--to={backups}", f"--data={data}", "--keep=1", "--json").stdout)
    assert [path.name for path in (backups / "snapshots").iterdir()] == [made["snapshot"]]
    assert not stray.exists()
    assert command("restore", f"--from={backups}", f"--data={tmp_path / 'new'}").returncode == 0


def refused(*arguments: str) -> str:
    said = command(*arguments, "--json")
    assert said.returncode == 1, said.stdout + said.stderr
    code: str = orjson.loads(said.stderr)["code"]
    return code


def test_a_restore_that_was_killed_starts_no_server_and_is_taken_up_again(kept, tmp_path):
    new = tmp_path / "new"
    arguments = [sys.executable, "-m", "headwater", "restore", f"--from={kept['backups']}", f"--data={new}", "--json"]
    with subprocess.Popen(arguments, env=clean_env(), stdout=subprocess.DEVNULL) as running:
        # The epoch is raised only after the database is in its place.
        wait_for((new / "headwater.db").exists, timeout_s=60, what="the database")
        running.kill()
    assert running.returncode == -9
    assert up_refused(new, {}) == "site_half_restored"
    again = command(*arguments[3:])
    assert again.returncode == 0, again.stderr
    with closing(sqlite3.connect(new / "headwater.db")) as db:
        assert db.execute("select count(*) from sqlite_master where name like 'site_move%'").fetchone() == (0,)
        assert orjson.loads(again.stdout)["epoch"] > 0
    assert refused(*arguments[3:-1]) == "site_not_empty"


def test_a_backup_that_was_made_in_the_middle_of_a_move_becomes_a_site_that_does_not_move(kept, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(kept["data"], data)
    side = SqliteSide(data / "headwater.db")
    side.note_move({"one": 1, "state": "copying", "target": "elsewhere", "site": "x"})
    side.watch(declared_tables())
    side.freeze()
    side.close()
    with closing(sqlite3.connect(data / "headwater.db")) as db, db:
        db.execute("update site_move set frozen_until = 0")  # whoever moved it has died
    made = command("backup", f"--to={tmp_path / 'backups'}", f"--data={data}")
    assert made.returncode == 0, made.stderr
    said = command("restore", f"--from={tmp_path / 'backups'}", f"--data={tmp_path / 'new'}")
    assert said.returncode == 0, said.stderr
    with closing(sqlite3.connect(tmp_path / "new" / "headwater.db")) as db:
        assert db.execute("select count(*) from sqlite_master where name like 'site_move%'").fetchone() == (0,)
        assert db.execute("pragma user_version").fetchone() == (0,)


def test_a_folder_of_backups_is_one_sites_and_one_backups_at_a_time(kept, tmp_path):
    backups = tmp_path / "backups"
    shutil.copytree(kept["backups"], backups)
    before = sorted(path.name for path in (backups / "snapshots").iterdir())
    # A wrong --data would make a new, empty site there, and its snapshots push the good ones out.
    assert refused("backup", f"--to={backups}", f"--data={tmp_path / 'wrong'}") == "nothing_to_back_up"
    assert not (tmp_path / "wrong" / "headwater.db").exists()
    other = LiveApp(tmp_path / "other", options={"workers": 1})
    other.stop()
    assert refused("backup", f"--to={backups}", f"--data={other.data}", "--keep=1") == "backup_of_another_site"
    with folder_locked(backups, exclusive=True):
        assert refused("backup", f"--to={backups}", f"--data={kept['data']}") == "backup_busy"
        assert refused("restore", f"--from={backups}", f"--data={tmp_path / 'new'}") == "backup_busy"
    assert sorted(path.name for path in (backups / "snapshots").iterdir()) == before


def test_what_a_killed_backup_left_goes_and_the_clock_decides_nothing(kept, tmp_path):
    backups = tmp_path / "backups"
    shutil.copytree(kept["backups"], backups)
    (backups / "objects").chmod(0o755)
    snapshots = backups / "snapshots"
    first = min(snapshots.iterdir())
    first.rename(snapshots / "29990101T000000000000Z")  # made while the clock was wrong
    half = snapshots / "20200101T000000000000Z"
    half.mkdir()
    (half / "database").write_bytes(b"half")
    (backups / "objects" / "x.part").write_bytes(b"half")
    made = command("backup", f"--to={backups}", f"--data={kept['data']}", "--keep=2", "--json")
    assert made.returncode == 0, made.stderr
    left = {path.name for path in snapshots.iterdir()}
    assert left == {orjson.loads(made.stdout)["snapshot"], "29990101T000000000000Z"}
    assert not list(backups.rglob("*.part"))
    assert (backups / "objects").stat().st_mode & 0o077 == 0  # private repositories are in there


def test_a_snapshot_of_a_later_release_is_refused_before_anything_is_written(kept, tmp_path):
    backups = tmp_path / "backups"
    shutil.copytree(kept["backups"], backups)
    for manifest in backups.glob("snapshots/*/backup.json"):
        facts = orjson.loads(manifest.read_bytes())
        assert facts["schema"]
        told = {**facts, "schema": "9999", "breaks_before": "9999", "said_by_a_later_release": 1}
        manifest.write_bytes(orjson.dumps(told))
    assert refused("restore", f"--from={backups}", f"--data={tmp_path / 'new'}") == "schema_too_new"
    assert not list((tmp_path / "new").rglob("sha256/*"))
    assert not (tmp_path / "new" / "headwater.db").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's part")
def test_root_leaves_no_files_in_a_site_that_runs_as_somebody_else(kept, tmp_path):
    """Locks and a database's log that belong to root stop the collector, or the server itself."""
    data = tmp_path / "data"
    shutil.copytree(kept["data"], data)
    nobody = pwd.getpwnam("nobody").pw_uid
    os.chown(data / "server.lock", nobody, -1)
    before = sorted(path.name for path in data.iterdir())
    assert refused("backup", f"--to={tmp_path / 'backups'}", f"--data={data}") == "not_the_servers_user"
    assert refused("collector", "confirm", f"--data={data}") == "not_the_servers_user"
    assert refused("migrate-site", f"--from={data}", "--to-blobs=s3://x/y") == "not_the_servers_user"
    assert sorted(path.name for path in data.iterdir()) == before


def test_a_disk_that_is_full_is_told_and_leaves_no_snapshot(kept, tmp_path):
    """A limit on the size of files stands for the disk."""
    backups, blocks = tmp_path / "backups", 400
    assert (kept["data"] / "headwater.db").stat().st_size > blocks * 1024
    run = [sys.executable, "-m", "headwater", "backup", f"--to={backups}", f"--data={kept['data']}", "--json"]
    limited = ["bash", "-c", f'ulimit -f {blocks}; exec "$@"', "bash", *run]
    said = subprocess.run(limited, capture_output=True, text=True, env=clean_env(), timeout=120, check=False)
    assert said.returncode == 1, said.stdout
    assert orjson.loads(said.stderr)["code"] == "backup_failed"
    assert not list((backups / "snapshots").iterdir())
    assert not list(backups.rglob("*.part"))
