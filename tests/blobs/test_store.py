"""What a place for bytes promises, on a folder and on a real S3-compatible store."""

from __future__ import annotations

import hashlib
import os
import threading
from datetime import timedelta

import httpx
import pytest

from headwater.blobs import BlobFolder, read_all
from headwater.kernel import utcnow
from tests.blobs.conftest import s3_settings
from tests.servers.seaweed import seaweed


@pytest.fixture(params=["folder", "s3"])
def blobs(request, tmp_path):
    made = BlobFolder(tmp_path / "blobs") if request.param == "folder" else request.getfixturevalue("store")
    made.ensure()
    return made


def put(blobs, key, data):
    with blobs.temporary() as path:
        path.write_bytes(data)
        blobs.adopt(path, key)


@pytest.mark.parametrize("size", [0, 1, 1000, 3 << 20, (17 << 20) + 5])
def test_an_object_comes_back_as_it_was_put(blobs, tmp_path, size):
    data, key = os.urandom(size), "sha256/aa/bb/x"
    put(blobs, key, data)
    assert blobs.exists(key)
    assert blobs.size_of(key) == size
    assert read_all(blobs.source(key, size), limit_bytes=1 << 30) == data
    assert blobs.read_range(key, 3, 90) == data[3:90]
    assert blobs.read_range(key, size // 2, size + 1000) == data[size // 2 :]
    assert blobs.digest_of(key) == (hashlib.sha256(data).hexdigest(), size)
    for _ in range(2):  # fetched, then out of the cache
        with blobs.local_copy(key) as path:
            assert path.read_bytes() == data
    blobs.fetch(key, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == data
    put(blobs, key, data)  # the same again is harmless
    assert blobs.delete(key) == size
    assert blobs.delete(key) == 0
    assert not blobs.exists(key)


def test_what_is_not_there_is_a_missing_file(blobs, tmp_path):
    assert blobs.size_of("sha256/no") is None
    for act in (
        lambda: blobs.read_range("sha256/no", 0, 5),
        lambda: blobs.fetch("sha256/no", tmp_path / "x"),
        lambda: blobs.digest_of("sha256/no"),
        lambda: blobs.local_copy("sha256/no").__enter__(),
    ):
        with pytest.raises(FileNotFoundError):
            act()
    assert not (tmp_path / "x").exists()
    assert list(blobs.iter_keys("sha256/")) == []


def test_a_listing_has_everything_below_a_prefix_in_order(blobs):
    keys = [f"git/7/pack-{n:04d}.pack" for n in range(30)]
    for key in (*keys, "git/70/other", "xet/aa/bb/y"):
        put(blobs, key, b"12345")
    found = list(blobs.iter_keys("git/7/"))
    assert [one.key for one in found] == keys
    assert {one.size_bytes for one in found} == {5}
    assert blobs.find(keys[0]) == found[0]


def test_an_emptied_cache_is_made_again(store):
    import shutil

    put(store, "sha256/a", b"abc")
    shutil.rmtree(store.tmp.parent)
    put(store, "sha256/b", b"def")
    with store.local_copy("sha256/a") as path:
        assert path.read_bytes() == b"abc"


def test_the_cache_of_copies_stays_within_its_bound(place, tmp_path):
    from headwater.blobs.s3 import S3Store

    store = S3Store(place, s3_settings(seaweed().url), tmp_path / "cache", cache_bytes=1 << 20)
    for n in range(12):
        put(store, f"sha256/{n}", os.urandom(200_000))
        with store.local_copy(f"sha256/{n}") as path:
            assert path.stat().st_size == 200_000
    kept = [path.stat().st_size for path in (tmp_path / "cache/objects").rglob("*") if path.is_file()]
    assert 0 < sum(kept) <= (1 << 20) + 200_000


def test_links_open_one_object_or_one_range_and_nothing_else(store, place):
    data = os.urandom(100_000)
    put(store, "sha256/a", data)
    put(store, "sha256/b", b"other")
    whole = store.signed_url("sha256/a", expires_s=60, disposition='attachment; filename="ä b.bin"', media_type="x/y")
    answer = httpx.get(whole, headers={"range": "bytes=7-9"})
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (206, data[7:10], "x/y")
    assert httpx.get(whole.replace("sha256/a", "sha256/b")).status_code == 403
    assert httpx.put(whole, content=b"x").status_code == 403
    part = store.signed_url("sha256/a", expires_s=60, start=10, end=20)
    assert httpx.get(part, headers={"range": "bytes=10-19"}).content == data[10:20]
    assert httpx.get(part, headers={"range": "bytes=10-20"}).status_code == 403
    assert httpx.get(part).status_code == 403
    signer, then = store.calls._signer, utcnow() - timedelta(minutes=10)
    key = f"{place.partition('//')[2].partition('/')[2]}/sha256/a"
    assert httpx.get(signer.sign("GET", key, now=then, expires_s=3600)).content == data
    assert httpx.get(signer.sign("GET", key, now=then, expires_s=300)).status_code == 403  # ended five minutes ago
    assert store.read_range("sha256/a", 0, 5) == data[:5]


def test_one_of_many_claims_wins(place, tmp_path):
    from headwater.blobs.errors import StoreOfAnotherSite
    from headwater.blobs.s3 import S3Store

    said = []

    def claim(n):
        try:
            S3Store(place, s3_settings(seaweed().url), tmp_path / str(n)).claim(f"site{n}")
            said.append("mine")
        except StoreOfAnotherSite as exc:
            said.append(exc.message)

    threads = [threading.Thread(target=claim, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said.count("mine") == 1
    assert len(said) == 6
