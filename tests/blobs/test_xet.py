"""Xet on a real store: xorbs as they came, links to ranges of them, plain copies, and objects that are not what they were."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest

from headwater.blobs import BlobFolder, ObjectDamaged, StoreAway, read_all
from headwater.blobs.s3 import S3Store
from headwater.db import open_database
from headwater.hub import backup, collector, files
from headwater.hub.files import copies
from headwater.hub.files import store as files_store
from headwater.hub.quotas import totals
from headwater.hub.xet import framed, ingest, serving
from headwater.hub.xet import store as xet_store
from headwater.hub.xet.errors import BadShard
from headwater.kernel import Sha256, utcnow
from tests import growth
from tests.clients import keys_of, routes_called, run_client
from tests.conftest import LiveApp, wait_for
from tests.servers.faulty import FaultyStore
from tests.storage import Storage, make_storage
from tests.xet.making import Body, MadeXorb, grant_of, make_shard
from tests.xet.test_ingest import plain, publish, send, sha

MIB = 1 << 20


@pytest.fixture
def storage(tmp_path: Path, store: S3Store) -> Storage:
    made = make_storage(tmp_path / "data")
    store.ensure()
    made.site.blobs = store
    yield made
    made.site.db.close()


def weights(size: int) -> bytes:
    """What clients group and compress."""
    return (np.random.default_rng(7).standard_normal(size // 4).astype(np.float32) * 0.02).tobytes()


def uploaded(app: LiveApp, repo: str, data: bytes, tmp_path: Path) -> str:
    """By the real client, through Xet; the address of the plain file."""
    api = app.hf("ada")
    api.create_repo(repo)
    (tmp_path / "w.bin").write_bytes(data)
    api.upload_file(path_or_fileobj=str(tmp_path / "w.bin"), path_in_repo="w.bin", repo_id=repo)
    return f"{app.url}/{repo}/resolve/main/w.bin"


def forget_local(app: LiveApp) -> None:
    shutil.rmtree(app.data / "cache" / "blobs" / "objects", ignore_errors=True)
    shutil.rmtree(app.data / "cache" / "objects", ignore_errors=True)


def test_xet_clients_fetch_from_the_store_and_plain_ones_once_through_the_hub(
    store_app: Callable[..., LiveApp], tmp_path: Path
) -> None:
    app = store_app()
    data = weights(9 * MIB + 12_344)
    url = uploaded(app, "ada/m", data, tmp_path)
    keys = keys_of(app, "xet/")
    assert sorted(key.rpartition(".")[2] for key in keys) == ["idx", "xorb"]

    found = run_client(app, "ada", "print(hf_hub_download(args[0], 'w.bin'))", "ada/m", home=tmp_path / "xet").strip()
    assert Path(found).read_bytes() == data
    routes = routes_called(app)
    assert any("/reconstructions/" in route for route in routes)
    assert not any(route.startswith("GET /xet/range/") for route in routes)
    assert keys_of(app, "sha256/") == []  # nobody has read it plainly yet

    forget_local(app)
    for start, end in ((0, 10), (65_000, 66_000), (8 * MIB, 8 * MIB + 70_000), (len(data) - 5, len(data))):
        answer = httpx.get(url, headers={"Range": f"bytes={start}-{end - 1}"})
        assert answer.content == data[start:end], answer.status_code
        if answer.is_redirect:
            break
    assert httpx.get(url, follow_redirects=True).content == data
    answer = wait_for(lambda: (found := httpx.get(url)).is_redirect and found, what="the plain copy")
    copy = answer.headers["location"]
    assert not copy.startswith(app.url)
    assert httpx.get(copy).content == data
    assert httpx.head(url).headers["location"] == copy
    for start, end in ((0, 10), (8 * MIB, 8 * MIB + 70_000)):
        there = httpx.get(url, headers={"Range": f"bytes={start}-{end - 1}"}, follow_redirects=True)
        assert (there.status_code, there.content) == (206, data[start:end])
    found = run_client(
        app, "ada", "print(hf_hub_download(args[0], 'w.bin'))", "ada/m", home=tmp_path / "p", HF_HUB_DISABLE_XET="1"
    )
    assert Path(found.strip()).read_bytes() == data


def test_where_clients_do_not_reach_the_store_the_hub_passes_ranges_on(
    store_app: Callable[..., LiveApp], tmp_path: Path
) -> None:
    app = store_app(direct=False)
    data = weights(3 * MIB)
    url = uploaded(app, "ada/m", data, tmp_path)
    found = run_client(app, "ada", "print(hf_hub_download(args[0], 'w.bin'))", "ada/m", home=tmp_path / "xet").strip()
    assert Path(found).read_bytes() == data
    assert any(route.startswith("GET /xet/range/") for route in routes_called(app))
    assert httpx.get(url).content == data


def test_a_link_opens_its_own_range_only(storage: Storage) -> None:
    grant = grant_of(storage, "ada", storage.repo("ada", "m"))
    one = MadeXorb([os.urandom(50_000) for _ in range(4)])
    send(storage, grant, one)
    publish(storage, grant, (one, 1, 3))
    name = storage.site.db.read(files.xet_hashes, [sha(plain(one, 1, 3))])[sha(plain(one, 1, 3))]
    (fetch,) = serving.reconstruct(storage.site, grant, name, None, now=utcnow()).fetches[one.name]
    assert (fetch.start, fetch.end) == (50_008, 150_024)
    asked = {f"bytes={fetch.start}-{fetch.end - 1}": 206, "bytes=0-50007": 403, "bytes=50008-": 403}
    for value, status in asked.items():
        assert httpx.get(fetch.url, headers={"range": value}).status_code == status
    assert httpx.get(fetch.url).status_code == 403


def two_framings(xorb: MadeXorb) -> bytes:
    """The same chunks, each in an LZ4 frame."""
    import struct

    import lz4.frame

    out = b""
    for chunk in xorb.chunks:
        body = lz4.frame.compress(chunk)
        out += struct.pack("<II", len(body) << 8, len(chunk) << 8 | 1) + body
    return out


def test_two_framings_of_the_same_chunks_do_not_meet(storage: Storage) -> None:
    ada = grant_of(storage, "ada", storage.repo("ada", "m"))
    bob = grant_of(storage, "bob", storage.repo("bob", "m"))
    one = MadeXorb([b"ab" * 20_000, b"cd" * 30_000])
    assert ingest.accept_xorb(storage.site, ada, one.name, Body(one.body))
    first = storage.files_left()
    assert ingest.accept_xorb(storage.site, bob, one.name, Body(two_framings(one)))
    assert storage.files_left() == first  # what came second is gone again
    publish(storage, bob, (one, 0, 2))


@pytest.fixture
def published(storage: Storage) -> tuple[Storage, MadeXorb, Sha256]:
    grant = grant_of(storage, "ada", storage.repo("ada", "m"))
    one = MadeXorb([os.urandom(60_000) for _ in range(40)])
    send(storage, grant, one)
    return storage, one, publish(storage, grant, (one, 0, 40))


def source(storage: Storage, digest: Sha256):
    with storage.site.db.reading() as tx:
        return files.source_of(tx, storage.site.blobs, files_store.find_blobs(tx, [digest])[digest])


def forget(storage: Storage) -> None:
    """All that this host has at hand."""
    shutil.rmtree(storage.site.blobs._cache._folder)
    framed._indexes._kept.clear()


@pytest.mark.parametrize("what", [".xorb", ".idx"])
@pytest.mark.parametrize("how", ["altered", "short", "gone"])
def test_an_object_that_is_not_what_it_was_is_told_and_never_passed_on(published, what: str, how: str) -> None:
    storage, one, digest = published
    blobs = storage.site.blobs
    (key,) = (key for key in storage.files_left() if key.endswith(what))
    data = blobs.read_range(key, 0, 3 * MIB)
    with blobs.temporary() as path:
        path.write_bytes(data[:-70_000] if how == "short" else data[:-900] + bytes([data[-900] ^ 1]) + data[-899:])
        if how == "short" and what == ".idx":
            path.write_bytes(data[:-3])
        blobs.adopt(path, key)
    if how == "gone":
        blobs.delete(key)
    assert read_all(source(storage, digest)) == plain(one)  # at hand here
    forget(storage)
    with pytest.raises(ObjectDamaged):
        read_all(source(storage, digest))
    with pytest.raises(ObjectDamaged):
        copies.make_copy(storage.site, {"sha256": digest})
    assert not [key for key in storage.files_left() if key.startswith("sha256/")]
    if what == ".xorb" and how != "gone":
        assert read_all(source(storage, digest), 0, 100_000) == plain(one)[:100_000]
    # A client that sends a file of it, whose sha256 is not known yet, is told as well.
    grant = grant_of(storage, "ada", 1)
    shard = make_shard([([(one, 0, 40), (one, 39, 40)], None)])
    with pytest.raises((ObjectDamaged, BadShard)):
        ingest.finish_shard(storage.site, grant, ingest.check_shard(storage.site, grant, shard), lambda _: None)


def test_copies_go_when_nobody_reads_them_and_before_their_file(published) -> None:
    storage, one, digest = published
    site = storage.site
    before = site.db.read(totals.add_up, utcnow())
    copies.make_copy(site, {"sha256": digest})
    copies.make_copy(site, {"sha256": digest})
    found = site.db.read(totals.add_up, utcnow())
    assert (before.copies, found.copies) == (totals.Amount(0, 0), totals.Amount(1, len(plain(one))))
    assert found.stored_bytes - before.stored_bytes == len(plain(one))
    (key,) = (key for key in storage.files_left() if key.startswith("sha256/"))
    assert source(storage, digest).signed_url(expires_s=60)
    assert site.blobs.read_range(key, 0, 3 * MIB) == plain(one)
    now = utcnow()
    for days in range(1, 33):
        collector.collect(site, now=now + timedelta(days=days))
    assert key not in storage.files_left()
    assert source(storage, digest).signed_url(expires_s=60) is None
    assert read_all(source(storage, digest)) == plain(one)
    assert site.db.read(totals.add_up, now).copies == totals.Amount(0, 0)


def test_a_backup_is_without_copies_and_so_is_what_is_made_of_it(published, tmp_path: Path) -> None:
    storage, one, digest = published
    site = storage.site
    copies.make_copy(site, {"sha256": digest})
    (copy,) = (key for key in storage.files_left() if key.startswith("sha256/"))
    kept, data = tmp_path / "kept", tmp_path / "again"
    data.mkdir()
    snapshot = backup.make_backup(site, kept, database_url=growth.database_url_of(tmp_path / "data"), keep=1)
    assert copy not in snapshot.objects
    manifest, blobs = snapshot.manifest, BlobFolder(data / "blobs")
    backup.restore_objects(snapshot, blobs, lambda _: None)
    url, keys = growth.empty_database_url_of(data), backup.find_keys(snapshot.place, snapshot.name, None)
    backup.restore_database(backup.fetch_database(snapshot, data), manifest, data, url, again=False, keys=keys)
    again = replace(site, data_dir=data, db=open_database(data, url), blobs=blobs)
    try:
        backup.verify_named(again)
        backup.note_restored(again, manifest)
        with again.db.reading() as tx:
            found = files_store.find_blobs(tx, [digest])[digest]
            assert found.copy_generation is None
            assert read_all(files.source_of(tx, blobs, found)) == plain(one)
    finally:
        again.db.close()


@pytest.mark.parametrize("kind", ["503", "late_cut"])
@pytest.mark.parametrize("which", [".idx", ".xorb"])
def test_a_store_that_fails_in_the_middle_of_a_xorb_leaves_no_row_and_a_retry_does(
    storage: Storage, shaky: S3Store, faulty: FaultyStore, kind: str, which: str
) -> None:
    grant = grant_of(storage, "ada", storage.repo("ada", "m"))
    one = MadeXorb([os.urandom(50_000) for _ in range(4)])
    whole, storage.site.blobs = storage.site.blobs, shaky
    faulty.fail(kind, matches=lambda method, path: method == "PUT" and path.partition("?")[0].endswith(which))
    with pytest.raises(StoreAway):
        send(storage, grant, one)
    assert storage.site.db.read(xet_store.find_xorbs, [one.name]) == {}
    assert list(shaky.tmp.iterdir()) == []
    faulty.heal()
    send(storage, grant, one)
    digest = publish(storage, grant, (one, 0, 4))
    storage.site.blobs = whole
    assert read_all(source(storage, digest)) == plain(one)
