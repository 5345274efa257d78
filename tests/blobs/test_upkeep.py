"""Browser uploads, the collector and previews on a site whose objects lie in a store."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
from datetime import timedelta

import pytest

from headwater.blobs.s3 import S3Store
from headwater.blobs.settings import S3Settings
from headwater.hub import collector, files, uploads
from headwater.hub.collector.clock import confirm_clock
from headwater.hub.git import GitStore
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.uploads import Announced
from headwater.kernel import utcnow
from tests.blobs.test_live import keys_of
from tests.blobs.test_store import put
from tests.servers.seaweed import KEY_ID, SECRET_KEY, seaweed
from tests.storage import make_storage


@pytest.fixture
def storage(tmp_path, place):
    made = make_storage(tmp_path / "data")
    settings = S3Settings(endpoint=seaweed().url, key_id=KEY_ID, secret_key=SECRET_KEY)
    made.site.blobs = S3Store(place, settings, tmp_path / "data/cache")
    made.site.add_part(GitStore(made.site.db, made.site.blobs, tmp_path / "data/cache/git"))
    yield made
    made.site.db.close()


class Sent(io.BytesIO):
    """A request's body; ``breaks_after`` bytes the connection ends."""

    def __init__(self, data, breaks_after=None):
        super().__init__(data)
        self.size_bytes, self._left = len(data), breaks_after

    def read_into(self, view):
        if self._left is not None:
            view = view[: self._left]
            if not view:
                raise BodyBroke
            self._left -= len(view)
        return self.readinto(view)


class BodyBroke(Exception):
    pass


def test_any_host_takes_the_next_part_of_a_browser_upload(storage, tmp_path, place):
    ada, repo = storage.person("ada"), storage.repo("ada", "m")
    site, kind, name = storage.site, RepoKind.MODEL, RepoName("ada", "m")
    data = os.urandom(11_000_000)
    (begun,) = uploads.begin(site, ada, kind, name, [Announced("w.bin", len(data))])
    uploads.append(site, ada, begun.id, 0, Sent(data[:4_000_000]))
    with pytest.raises(BodyBroke):  # what came is kept
        uploads.append(site, ada, begun.id, 4_000_000, Sent(data[4_000_000:9_000_000], breaks_after=3_000_000))
    # Another host: the same database and store, and nothing of this one's disk.
    site.blobs = S3Store(place, site.blobs._settings, tmp_path / "elsewhere")
    assert uploads.get_progress(site, ada, begun.id).received_bytes == 7_000_000
    with pytest.raises(uploads.OffsetDiffers):
        uploads.append(site, ada, begun.id, 4_000_000, Sent(data[4_000_000:]))
    done = uploads.append(site, ada, begun.id, 7_000_000, Sent(data[7_000_000:]))
    assert done.sha256 == hashlib.sha256(data).hexdigest()
    assert list(site.blobs.iter_keys("uploads/")) == []
    assert [found.size_bytes for found in site.blobs.iter_keys("sha256/")] == [len(data)]
    assert site.db.read(files.find_missing, ada, repo, [done.sha256]) == set()
    assert list(site.blobs.tmp.iterdir()) == []


def test_an_upload_that_nobody_goes_on_with_is_forgotten(storage):
    ada, _ = storage.person("ada"), storage.repo("ada", "m")
    (begun,) = uploads.begin(storage.site, ada, RepoKind.MODEL, RepoName("ada", "m"), [Announced("w.bin", 1000)])
    uploads.append(storage.site, ada, begun.id, 0, Sent(b"x" * 500))
    put(storage.site.blobs, "uploads/nobodys/0000000000000000", b"x")
    assert uploads.collect(storage.site, now=utcnow()) == 0
    assert uploads.collect(storage.site, now=utcnow() + timedelta(hours=2)) == 1  # the one without a row
    assert uploads.collect(storage.site, now=utcnow() + timedelta(days=8)) == 1
    assert list(storage.site.blobs.iter_keys("uploads/")) == []


def test_the_collector_removes_orphans_and_what_is_unread_and_ends_multiparts(storage):
    blobs, db = storage.site.blobs, storage.site.db
    ada, repo = storage.person("ada"), storage.repo("ada", "m")
    digest = files.store_plain(storage.site, ada, repo, b"unread")
    put(blobs, f"sha256/aa/aa/{'a' * 64}", b"x")
    put(blobs, f"sha256/aa/aa/{'a' * 64}.{1 << 48}", b"x")
    put(blobs, f"git/{repo}/pack-{'b' * 40}.pack", b"x")
    upload_id = blobs.multipart.begin_multipart(f"sha256/cc/cc/{'c' * 64}.7")
    assert [one.upload_id for one in blobs.multipart.iter_multiparts()] == [upload_id]
    collector.collect(storage.site, now=utcnow())
    assert len(list(blobs.iter_keys("sha256/"))) == 3
    db.write(confirm_clock, utcnow() + timedelta(days=3))
    report = collector.collect(storage.site, now=utcnow() + timedelta(days=3))
    assert report.orphans_removed == 2
    assert list(blobs.multipart.iter_multiparts()) == []
    assert db.read(files.find_missing, ada, repo, [digest]) == set()
    for day in range(4, 12):
        db.write(confirm_clock, utcnow() + timedelta(days=day))
        collector.collect(storage.site, now=utcnow() + timedelta(days=day))
    assert list(blobs.iter_keys("sha256/")) == []
    assert db.read(files.find_missing, ada, repo, [digest]) == {digest}


def test_first_rows_of_parquet_are_shown_without_fetching_the_file(store):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from headwater.hub.preview import tables

    sink = io.BytesIO()
    pq.write_table(pa.table({"n": list(range(500_000)), "t": ["row"] * 500_000}), sink, row_group_size=50_000)
    data = sink.getvalue()
    put(store, "sha256/p", data)
    table = tables.table(store.source("sha256/p", len(data)), "x.parquet")
    assert table.columns == ["n", "t"]
    assert table.rows[3] == ["3", "row"]


def test_a_cache_that_cannot_be_written_is_told_and_loses_nothing(store_app):
    app = store_app()
    api = app.hf("ada")
    api.create_repo("ada/m")
    data = os.urandom(300_000)
    api.upload_file(repo_id="ada/m", path_or_fileobj=data, path_in_repo="noise.txt")
    cache = app.data / "cache"
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(cache)], check=True)
    import httpx

    try:
        answer = httpx.get(f"{app.url}/ada/m/resolve/main/noise.txt")
        assert answer.status_code == 503
        assert "working folder" in answer.headers["x-error-message"]
        with pytest.raises(Exception, match="503"):
            api.upload_file(repo_id="ada/m", path_or_fileobj=os.urandom(300_000), path_in_repo="other.txt")
    finally:
        subprocess.run(["umount", "-l", str(cache)], check=True)
    assert httpx.get(f"{app.url}/ada/m/resolve/main/noise.txt").content == data
    assert keys_of(app, "git/")
