"""A store that fails: real SeaweedFS behind a proxy that cuts, delays, alters and refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from headwater.blobs import read_all
from headwater.blobs.errors import ObjectDamaged, StoreAway, StoreRefused
from headwater.blobs.s3 import S3Store
from tests.blobs.conftest import s3_settings, write_toml
from tests.blobs.test_live import keys_of, put_by_lfs
from tests.blobs.test_store import put
from tests.conftest import clean_env
from tests.servers.seaweed import seaweed

GETS = {"matches": lambda method, path: method == "GET"}
PUTS = {"matches": lambda method, path: method in ("PUT", "POST")}


@pytest.mark.parametrize("kind", ["503", "500", "cut"])
def test_a_passing_fault_of_reading_is_tried_again(shaky, faulty, kind):
    data = os.urandom(50_000)
    put(shaky, "sha256/a", data)
    faulty.fail(kind, times=2, **GETS)
    assert shaky.read_range("sha256/a", 0, 50_000) == data


@pytest.mark.parametrize("kind", ["503", "500", "late_cut"])
def test_a_passing_fault_of_writing_is_tried_again(shaky, store, faulty, kind):
    data = os.urandom(50_000)
    faulty.fail(kind, times=2, **PUTS)
    put(shaky, "sha256/a", data)
    assert store.read_range("sha256/a", 0, 50_000) == data


@pytest.mark.parametrize(
    ("kind", "why"),
    [("503", "answers 503"), ("500", "answers 500"), ("slow", "too long"), ("late_cut", "cannot be used")],
)
def test_a_lasting_fault_is_told_in_bounded_time_and_stores_nothing(shaky, store, faulty, kind, why):
    faulty.fail(kind, delay_s=8, matches=lambda method, path: method in ("GET", "HEAD") or kind != "late_cut")
    began = time.monotonic()
    with pytest.raises(StoreAway, match=why) as told:
        shaky.read_range("sha256/a", 0, 10)
    assert told.value.headers["Retry-After"]
    if kind != "late_cut":
        with pytest.raises(StoreAway):
            put(shaky, "sha256/a", b"abc" * 10_000_000)
    assert time.monotonic() - began < 40
    faulty.heal()
    assert list(store.iter_keys("sha256/")) == []
    assert list(shaky.tmp.iterdir()) == []


def test_no_store_at_all(place, tmp_path):
    gone = S3Store(place, s3_settings("http://127.0.0.1:9", timeout_s=1), tmp_path / "cache")
    with pytest.raises(StoreAway, match="no connection"):
        gone.read_range("sha256/a", 0, 1)
    with pytest.raises(StoreRefused, match=r"127\.0\.0\.1:9 does not answer"):
        gone.ensure()


def test_an_answer_that_is_too_short_is_found_out(shaky, faulty, tmp_path):
    put(shaky, "sha256/a", os.urandom(50_000))
    faulty.fail("short", **GETS)
    with pytest.raises((ObjectDamaged, StoreAway)):
        read_all(shaky.source("sha256/a", 50_000))
    with pytest.raises((ObjectDamaged, StoreAway)):
        shaky.fetch("sha256/a", tmp_path / "x")
    with pytest.raises((ObjectDamaged, StoreAway)):
        shaky.digest_of("sha256/a")
    assert not (tmp_path / "x").exists()


def test_what_is_wrong_with_the_settings_is_said_at_start(place, tmp_path):
    def refused(settings, where=place):
        with pytest.raises(StoreRefused) as told:
            S3Store(where, settings, tmp_path / "cache").ensure()
        return told.value.message

    assert "does not know the access key" in refused(s3_settings(seaweed().url, key_id="nobody"))
    assert "does not accept the secret key" in refused(s3_settings(seaweed().url, secret_key="wrong"))
    assert "no keys are given" in refused(s3_settings(seaweed().url, key_id=""))
    assert "no bucket 'nowhere'" in refused(s3_settings(seaweed().url), "s3://nowhere/x")


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_clock_that_is_wrong_is_said_at_start(store, monkeypatch, minutes):
    from headwater.blobs import s3, s3calls

    class Wrong(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(UTC) + timedelta(minutes=minutes)

    monkeypatch.setattr(s3calls, "datetime", Wrong)
    monkeypatch.setattr(s3.time, "time", lambda real=time.time: real() + minutes * 60)
    with pytest.raises(StoreRefused, match="clock is 20 minutes"):
        store.ensure()


def test_a_server_does_not_start_on_another_sites_objects_or_with_bad_settings(store_app, tmp_path, place):
    app = store_app("one")
    assert app.url

    def start(name, where, **settings):
        write_toml(tmp_path / name, where, seaweed().url, **settings)
        done = subprocess.run(
            [sys.executable, "-m", "headwater", "up", f"--data={tmp_path / name}", "--port=0"],
            capture_output=True, text=True, env=clean_env(), timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode != 0
        return done.stderr + done.stdout

    assert "holds the objects of another site" in start("two", place)
    assert "no bucket 'nowhere'" in start("three", "s3://nowhere")
    assert "does not accept the secret key" in start("four", place + "b", secret_key="wrong")
    assert "is not s3://bucket" in start("five", "http://x")


def test_requests_while_the_store_is_down_are_refused_and_commit_nothing(store_app, faulty):
    app = store_app(url=faulty.url, timeout_s=1, direct=False)
    data = os.urandom(300_000)
    put_by_lfs(app, "ada/m", data)
    commits = len(app.hf("ada").list_repo_commits("ada/m"))
    faulty.fail("503")
    # Through the hub: refused in full, and not an answer that breaks off before its first byte.
    for headers in ({}, {"range": "bytes=100-2000"}):
        read = httpx.get(f"{app.url}/ada/m/resolve/main/w.bin", headers=headers, timeout=60)
        assert (read.status_code, bool(read.headers.get("retry-after"))) == (503, True), read.text
    answer = httpx.post(
        f"{app.url}/ada/m.git/info/lfs/objects/batch",
        headers={"authorization": f"Bearer {app.token('ada')}"},
        json={"operation": "upload", "objects": [{"oid": "a" * 64, "size": 5}]},
    ).json()
    import hashlib

    other = os.urandom(5)
    answer = httpx.post(
        f"{app.url}/ada/m.git/info/lfs/objects/batch",
        headers={"authorization": f"Bearer {app.token('ada')}"},
        json={"operation": "upload", "objects": [{"oid": hashlib.sha256(other).hexdigest(), "size": 5}]},
    ).json()
    sent = httpx.put(answer["objects"][0]["actions"]["upload"]["href"], content=other, timeout=60)
    assert sent.status_code == 503
    assert sent.headers["retry-after"]
    assert "object store" in sent.json()["message"]
    assert len(app.hf("ada").list_repo_commits("ada/m")) == commits
    faulty.heal()
    sent = httpx.put(answer["objects"][0]["actions"]["upload"]["href"], content=other, timeout=60)
    assert sent.status_code == 200
    answer = httpx.get(f"{app.url}/ada/m/resolve/main/w.bin")
    assert (answer.status_code, answer.content) == (200, data)


def test_a_whole_file_that_comes_altered_is_not_passed_on(store_app, faulty):
    """Small: refused. Large: the answer ends before its last piece, so that nobody takes it for the file."""
    app = store_app(url=faulty.url, timeout_s=2, direct=False)
    small, large = os.urandom(300_000), os.urandom(3_500_000)
    put_by_lfs(app, "ada/m", small)
    put_by_lfs(app, "ada/n", large)
    faulty.fail("altered", matches=lambda method, path: method == "GET" and "/sha256/" in path)
    answer = httpx.get(f"{app.url}/ada/m/resolve/main/w.bin", timeout=30)
    assert answer.status_code == 503
    assert "other bytes" in answer.headers["x-error-message"]
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{app.url}/ada/n/resolve/main/w.bin", timeout=30)
    faulty.heal()
    for repo, data in (("ada/m", small), ("ada/n", large)):
        assert httpx.get(f"{app.url}/{repo}/resolve/main/w.bin", timeout=30).content == data


def test_packs_that_come_altered_are_fetched_again_and_never_believed(store_app, faulty):
    app = store_app(url=faulty.url, timeout_s=2)
    api = app.hf("ada")
    api.create_repo("ada/m")
    data = os.urandom(300_000)
    api.upload_file(repo_id="ada/m", path_or_fileobj=data, path_in_repo="noise.txt")
    assert keys_of(app, "git/")
    fault = faulty.fail("altered", times=2, matches=lambda method, path: method == "GET" and "/git/" in path)
    app.stop()
    shutil.rmtree(app.data / "cache")  # once nobody writes there any more
    again = store_app(url=faulty.url, timeout_s=2, people=False)
    assert httpx.get(f"{again.url}/ada/m/resolve/main/noise.txt").content == data
    assert fault.met == 2
    faulty.fail("altered", matches=lambda method, path: method == "GET" and "/git/" in path)
    again.stop()
    shutil.rmtree(again.data / "cache")
    third = store_app(url=faulty.url, timeout_s=2, people=False)
    answer = httpx.get(f"{third.url}/ada/m/resolve/main/noise.txt")
    assert answer.status_code == 503
    assert "other bytes" in answer.headers["x-error-message"]
    faulty.heal()
    assert httpx.get(f"{third.url}/ada/m/resolve/main/noise.txt").content == data
