"""A backup of a running site, and the site that is made out of it."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest
from huggingface_hub import snapshot_download

from tests import growth
from tests.clients import run_client
from tests.conftest import LiveApp, clean_env
from tests.moving.test_migrate import send_again, send_whole


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


@pytest.mark.parametrize("pattern", ["xet/??/??/*.raw", "git/*/*.idx"])
def test_what_was_altered_is_refused_before_there_is_a_database(kept, tmp_path, pattern):
    copy = tmp_path / "copy"
    shutil.copytree(kept["backups"], copy)
    victim = next((copy / "objects").glob(pattern))
    victim.write_bytes(victim.read_bytes()[:-1])
    said = command("restore", f"--from={copy}", f"--data={tmp_path / 'new'}", "--json")
    assert said.returncode == 1
    assert orjson.loads(said.stderr)["code"] == "backup_damaged"
    assert victim.name in said.stderr
    assert not (tmp_path / "new" / "headwater.db").exists()


def test_an_altered_database_and_no_snapshot_at_all_are_refused(kept, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(kept["backups"], copy)
    for database in copy.glob("snapshots/*/database"):
        with database.open("r+b") as file:
            file.seek(5000)
            file.write(b"????")
    said = command("restore", f"--from={copy}", f"--data={tmp_path / 'new'}", "--json")
    assert orjson.loads(said.stderr)["code"] == "backup_damaged"
    for manifest in copy.glob("snapshots/*/backup.json"):
        manifest.unlink()
    said = command("restore", f"--from={copy}", f"--data={tmp_path / 'new'}", "--json")
    assert orjson.loads(said.stderr)["code"] == "no_backup"


def test_a_site_that_lacks_bytes_gets_no_snapshot_and_old_ones_stay(kept, tmp_path):
    data, backups = tmp_path / "data", tmp_path / "backups"
    shutil.copytree(kept["data"], data)
    shutil.copytree(kept["backups"], backups)
    before = sorted(path.name for path in (backups / "snapshots").iterdir())
    lost = next((data / "blobs").glob("xet/??/??/*.idx"))
    lost.unlink()
    for path in backups.rglob(lost.name):
        path.unlink()
    said = command("backup", f"--to={backups}", f"--data={data}", "--json")
    assert said.returncode == 1
    assert orjson.loads(said.stderr)["code"] == "backup_incomplete"
    assert sorted(path.name for path in (backups / "snapshots").iterdir()) == before


def test_only_so_many_snapshots_are_kept_and_no_object_that_none_names(kept, tmp_path):
    data, backups = tmp_path / "data", tmp_path / "backups"
    shutil.copytree(kept["data"], data)
    shutil.copytree(kept["backups"], backups)
    stray = backups / "objects" / "sha256" / "00" / "00" / ("0" * 64)
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"of a snapshot that is gone")
    made = orjson.loads(command("backup", f"--to={backups}", f"--data={data}", "--keep=1", "--json").stdout)
    assert [path.name for path in (backups / "snapshots").iterdir()] == [made["snapshot"]]
    assert not stray.exists()
    assert command("restore", f"--from={backups}", f"--data={tmp_path / 'new'}").returncode == 0
