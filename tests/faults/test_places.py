"""The ground gives way: a full disk, a folder that cannot be written, a clock that goes back, a database's log cut short, bytes gone bad,
a backup that is killed. Nothing that was acknowledged is lost but what was cut off, and what is wrong is named and mended.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import httpx
import orjson
import pytest

from headwater.cli.open import open_site
from headwater.hub.checking import check
from tests.conftest import LiveApp, clean_env, wait_for
from tests.faults.acts import Client, Refused, inline, large
from tests.growth import only_on_one_machine
from tests.servers.clocks import shifted

pytestmark = only_on_one_machine


def client_of(app: LiveApp) -> Client:
    return Client(app.url, app.token("ada"), random.Random(3))


def commit(client: Client, path: str, data: bytes) -> str:
    return client.commit("kept", [inline(path, data)])


def upload(client: Client, path: str, data: bytes) -> str:
    line = large(path, data)
    wanted = {"oid": line["value"]["oid"], "size": len(data)}
    body = {"operation": "upload", "transfers": ["basic"], "objects": [wanted]}
    answer = client.ask("POST", "/ada/kept.git/info/lfs/objects/batch", json=body).json()["objects"][0]
    if "error" in answer:
        raise Refused(answer["error"]["code"], answer["error"]["message"])
    got = httpx.put(answer["actions"]["upload"]["href"], content=data, timeout=60)
    if got.status_code != 200:
        raise Refused(got.status_code, got.text)
    return client.commit("kept", [line])


def problems(data: Path) -> list[str]:
    site = open_site(data)
    try:
        return [problem.what for problem in check(site, keeps=False).problems]
    finally:
        site.close()


@contextmanager
def small_disk(folder: Path, size_mib: int) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    """Database and objects on one disk, filled to the last byte while clients write."""
    data = tmp_path / "disk" / "data"
    with small_disk(tmp_path / "disk", 40):
        app = LiveApp(data, options={"workers": 1})
        try:
            app.add_people()
            app.hf("ada").create_repo("ada/kept")
            client, rng, done, refused = client_of(app), random.Random(5), [], 0
            for number in range(200):
                try:
                    if number % 2:
                        done.append(upload(client, f"{number}.bin", rng.randbytes(1_500_000)))
                    else:
                        done.append(commit(client, f"{number}.txt", rng.randbytes(60_000).hex().encode()))
                except Refused as exc:
                    if exc.status not in (507, 413):
                        raise
                    refused += 1
                except httpx.RemoteProtocolError:  # 507 comes so, too
                    refused += 1
                if refused >= 6:
                    break
            assert refused
            assert len(done) > 5
            ballast = sorted((data / "blobs" / "tmp").glob("*"))
            assert not [path for path in ballast if path.is_file()]  # what was refused has left nothing
        finally:
            app.process.send_signal(signal.SIGKILL)
            app.process.wait()
            for pid in app.processes()[1:]:
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["mount", "-o", "remount,size=120m", str(tmp_path / "disk")], check=True)
        assert problems(data) == []
        again = LiveApp(data, options={"workers": 1})
        try:
            reached = {one.commit_id for one in again.hf("ada").list_repo_commits("ada/kept")}
            assert set(done) <= reached
            commit(client_of(again), "after.txt", b"it goes on")
        finally:
            again.stop()


class Unheard(LiveApp):
    """Its log leads to a device that can be read without end."""

    def log(self) -> str:
        return "(nobody could write it)"


def test_a_log_that_cannot_be_written_ends_no_process_and_no_request(tmp_path: Path) -> None:
    """By default the log lies beside the data: once that disk was full, the first death of a process ended them all."""
    data = tmp_path / "data"
    (tmp_path / "data.log").symlink_to("/dev/full")  # every write to it fails as on a full disk
    app = Unheard(data, options={"workers": 1})
    try:
        app.add_people()
        app.hf("ada").create_repo("ada/kept")
        first = app.processes()
        assert len(first) > 1
        for pid in first[1:]:
            os.kill(pid, signal.SIGKILL)

        def serves_again() -> bool:
            with suppress(httpx.TransportError):
                return httpx.get(f"{app.url}/readyz").status_code == 200
            return False

        wait_for(
            lambda: app.process.poll() is not None or serves_again(), timeout_s=60, what="processes in their place"
        )
        assert app.process.poll() is None
        assert not set(first[1:]) & set(app.processes())
        commit(client_of(app), "after.txt", b"it goes on")
        told = httpx.get(f"{app.url}/metrics").text
        assert float(re.search(r"(?m)^headwater_log_lines_lost_total (\S+)", told)[1]) > 1
    finally:
        app.stop()


def test_a_folder_that_cannot_be_written_serves_and_refuses(tmp_path: Path) -> None:
    data = tmp_path / "disk" / "data"
    with small_disk(tmp_path / "disk", 100):
        app = LiveApp(data, options={"workers": 1})
        try:
            app.add_people()
            app.hf("ada").create_repo("ada/kept")
            client = client_of(app)
            made = commit(client, "a.txt", b"before")
            blobs = data / "blobs"
            subprocess.run(["mount", "--bind", str(blobs), str(blobs)], check=True)
            subprocess.run(["mount", "-o", "remount,ro,bind", str(blobs)], check=True)
            try:
                with pytest.raises((Refused, httpx.RemoteProtocolError)):
                    upload(client, "b.bin", random.Random(1).randbytes(200_000))
                got = httpx.get(f"{app.url}/ada/kept/resolve/{made}/a.txt")
                assert (got.status_code, got.content) == (200, b"before")
                assert httpx.get(f"{app.url}/readyz").status_code == 503
            finally:
                subprocess.run(["umount", "-l", str(blobs)], check=True)
            upload(client, "b.bin", random.Random(1).randbytes(200_000))
        finally:
            app.stop()
        assert problems(data) == []


def test_a_clock_that_goes_back_loses_nothing(tmp_path: Path) -> None:
    """Two days back between two lives of the server: commits stay in order, nothing is collected, the log goes on."""
    data = tmp_path / "data"
    app = LiveApp(data, options={"workers": 1})
    app.add_people()
    app.hf("ada").create_repo("ada/kept")
    first = commit(client_of(app), "a.txt", b"today")
    token = app.token("ada")
    app.stop()
    app = LiveApp(data, env=shifted(FAKETIME="-2d"), options={"workers": 1})
    try:
        client = Client(app.url, token, random.Random(1))
        second = commit(client, "b.txt", b"the day before yesterday")
        told = client.ask("GET", "/api/models/ada/kept/commits/main").json()
        assert [one["id"] for one in told][:2] == [second, first]
        dates = [one["date"] for one in told]
        assert dates == sorted(dates, reverse=True)  # no commit is older than its parent
    finally:
        app.stop()
    assert problems(data) == []


def test_a_log_of_the_database_that_was_cut_short_leaves_a_whole_earlier_state(tmp_path: Path) -> None:
    data = tmp_path / "data"
    app = LiveApp(data, options={"workers": 1})
    app.add_people()
    app.hf("ada").create_repo("ada/kept")
    client = client_of(app)
    done = [commit(client, f"{n}.txt", b"x" * 500 * n) for n in range(1, 12)]
    for pid in reversed(app.processes()):
        os.kill(pid, signal.SIGKILL)
    app.process.wait()
    wal = data / "headwater.db-wal"
    whole = wal.read_bytes()
    assert len(whole) > 100_000
    rng = random.Random(11)
    for cut in sorted(rng.randrange(32, len(whole)) for _ in range(4)):
        copy = tmp_path / f"cut{cut}"
        shutil.copytree(data, copy)
        (copy / "headwater.db-wal").write_bytes(whole[:cut])
        (copy / "headwater.db-shm").unlink(missing_ok=True)
        found = problems(copy)
        assert found == [], (cut, found)
        with closing(sqlite3.connect(copy / "headwater.db")) as raw:
            assert raw.execute("pragma integrity_check").fetchone() == ("ok",)
            heads = {oid for (oid,) in raw.execute("select oid from ref")}
        assert heads <= {*done, *heads}
    assert problems(data) == []


def test_bytes_gone_bad_are_found_named_and_mended(tmp_path: Path) -> None:
    """As an operator does it: check says which, repair brings them from the backup, the file is served again."""
    data = tmp_path / "data"
    app = LiveApp(data, options={"workers": 1})
    try:
        app.add_people()
        app.hf("ada").create_repo("ada/kept")
        content = random.Random(2).randbytes(700_000)
        upload(client_of(app), "w.bin", content)
        app.cli("backup", str(tmp_path / "backups"))
        victim = next(path for path in (data / "blobs" / "sha256").rglob("*") if path.is_file())
        bad = bytearray(content)
        bad[350_000] ^= 4
        victim.write_bytes(bad)
        said = subprocess.run(
            [sys.executable, "-m", "headwater", "check", f"--data={data}", "--json"],
            capture_output=True, text=True, env=clean_env(), check=False,
        )  # fmt: skip
        assert said.returncode == 1, said.stderr
        told = orjson.loads(said.stdout)
        assert [problem["code"] for problem in told["problems"]] == ["blob.damaged"]
        assert victim.name in told["problems"][0]["where"]
        assert "headwater repair" in told["problems"][0]["mend"]
        assert httpx.get(f"{app.url}/-/status").json()["problems"] == 1
        mended = app.cli("repair", f"--from={tmp_path / 'backups'}")
        assert mended == {"problems": 1, "mended": 1, "left": []}
        got = httpx.get(f"{app.url}/ada/kept/resolve/main/w.bin", follow_redirects=True)
        assert got.content == content
        assert httpx.get(f"{app.url}/-/status").json()["problems"] == 0
    finally:
        app.stop()


def has_more(backups: Path, n: int) -> bool:
    return len(list((backups / "snapshots").iterdir())) > n


def test_a_backup_that_is_killed_leaves_the_last_one_good(tmp_path: Path) -> None:
    data, backups = tmp_path / "data", tmp_path / "backups"
    app = LiveApp(data, options={"workers": 1})
    try:
        app.add_people()
        app.hf("ada").create_repo("ada/kept")
        client, rng = client_of(app), random.Random(8)
        for n in range(4):
            upload(client, f"{n}.bin", rng.randbytes(2_000_000))
        app.cli("backup", str(backups))
        kept = sorted(path.parent.name for path in backups.glob("snapshots/*/backup.json"))
        for n in range(4, 8):
            upload(client, f"{n}.bin", rng.randbytes(2_000_000))
        command = [sys.executable, "-m", "headwater", "backup", str(backups), f"--data={data}", "--json"]
        for _ in range(3):
            with subprocess.Popen(
                command, env=clean_env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as running:
                wait_for(partial(has_more, backups, len(kept)), timeout_s=60, what="the snapshot")
                time.sleep(rng.uniform(0, 0.1))  # somewhere inside
                running.kill()
            whole = sorted(path.parent.name for path in backups.glob("snapshots/*/backup.json"))
            assert set(kept) <= set(whole)
            for left in (backups / "snapshots").iterdir():
                if left.name not in whole:
                    shutil.rmtree(left)
            kept = whole
        app.cli("backup", str(backups), "--keep=1")
        assert len(list((backups / "snapshots").iterdir())) == 1
        assert not list(backups.rglob("*.part"))
        tried = app.cli("restore", f"--from={backups}", "--drill")
        assert tried["n_objects"] == 8
        status = httpx.get(f"{app.url}/-/status").json()
        assert status["drill"]["last_good_at"] is not None
        assert status["backup"]["last_good_at"] is not None
    finally:
        app.stop()
    assert problems(data) == []
