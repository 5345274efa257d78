"""Large LFS uploads straight to a real store: what its links allow, what may pile up, and who completes them."""

from __future__ import annotations

import hashlib
import os
import threading
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import func, select

from headwater.accounts.service import people
from headwater.blobs import SizeMismatch, blob_key
from headwater.blobs.s3 import S3Store
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.lfs import service, store
from headwater.hub.lfs.errors import PartsMissing, TooManyOpenUploads
from headwater.hub.lfs.settings import LfsSettings
from headwater.hub.tables.files import open_upload
from headwater.kernel import SYSTEM, Sha256, utcnow
from tests import growth
from tests.blobs.conftest import s3_settings
from tests.blobs.test_live import begin, keys_of, send
from tests.conftest import wait_for
from tests.lfs.batches import GIB, check_room, links_of, plan
from tests.servers.seaweed import seaweed
from tests.storage import Storage, make_storage
from tests.xet.making import Body

MIB = 1 << 20
PART = 5 * MIB
SMALL_PARTS = {"multipart_from_bytes": 6 * MIB, "part_size_bytes": PART}


@pytest.fixture
def storage(tmp_path, place):
    made = make_storage(tmp_path / "data")
    made.site.blobs = S3Store(place, s3_settings(seaweed().url), tmp_path / "cache")
    made.site.settings = growth.settings_of(tmp_path / "data", LfsSettings(**SMALL_PARTS))
    made.repo("ada", "m")
    yield made
    made.site.db.close()


def put(link: str, data: bytes) -> str:
    answer = httpx.put(link, content=data)
    assert answer.status_code == 200, answer.text
    return answer.headers["etag"]


def numbered(etags: list[str]) -> list[dict]:
    return [{"partNumber": number, "etag": etag} for number, etag in enumerate(etags, 1)]


def n_open(storage: Storage) -> int:
    """In the database; the store must say the same."""
    noted = storage.site.db.read(lambda tx: tx.execute(select(func.count()).select_from(open_upload)).scalar_one())
    assert sum(1 for _ in storage.site.blobs.multipart.iter_multiparts()) == noted
    return noted


def named(data: bytes) -> tuple[str, int]:
    return hashlib.sha256(data).hexdigest(), len(data)


def test_a_link_takes_a_part_of_its_own_size_only(storage):
    data = os.urandom(7 * MIB)
    complete, links = links_of(plan(storage, named(data)))
    for wrong in (data[: PART + 1], data[: PART - 1], b"", iter([data])):
        assert httpx.put(links[0], content=wrong).status_code == 403
    etags = [put(link, data[n * PART : (n + 1) * PART]) for n, link in enumerate(links)]
    assert n_open(storage) == 1
    service.complete_upload(storage.site, complete, named(data)[0], numbered(etags))
    assert n_open(storage) == 0
    assert [found.size_bytes for found in storage.site.blobs.iter_keys("sha256/")] == [len(data)]


def test_a_link_that_has_ended_takes_nothing_and_a_new_one_does(storage):
    data = os.urandom(7 * MIB)
    complete, links = links_of(plan(storage, named(data)))
    at = urlsplit(links[1])
    asked = {name: parse_qs(at.query)[name][0] for name in ("partNumber", "uploadId")}
    signed = {"content-length": str(len(data) - PART)}
    key, then = at.path.split("/", 2)[2], utcnow() - timedelta(minutes=10)
    late = storage.site.blobs.calls._public.sign("PUT", key, now=then, expires_s=300, query=asked, headers=signed)
    etags = [put(links[0], data[:PART])]
    assert httpx.put(late, content=data[PART:]).status_code == 403
    with pytest.raises(PartsMissing):
        service.complete_upload(storage.site, complete, named(data)[0], numbered(etags))
    etags.append(put(links[1], data[PART:]))
    service.complete_upload(storage.site, complete, named(data)[0], numbered(etags))


def test_clients_are_sent_to_the_public_address_and_the_hub_goes_its_own_way(store_app, faulty):
    app = store_app(public_endpoint=faulty.url, lfs=SMALL_PARTS)
    app.hf("ada").create_repo("ada/m")
    data = os.urandom(11 * MIB)
    oid = hashlib.sha256(data).hexdigest()
    actions, links, chunk = begin(app, oid, len(data))
    assert all(link.startswith(faulty.url + "/") for link in links)
    parts = send(links, chunk, data)
    answer = httpx.post(actions["upload"]["href"], json={"oid": oid, "parts": parts}, timeout=60)
    assert (answer.status_code, answer.json()) == (200, {"oid": oid})
    asked = httpx.post(
        f"{app.url}/ada/m.git/info/lfs/objects/batch",
        headers={"authorization": f"Bearer {app.token('ada')}"},
        json={"operation": "upload", "objects": [{"oid": oid, "size": len(data)}]},
    )
    assert asked.json()["objects"] == [{"oid": oid, "size": len(data)}]  # it is here
    assert [method for method, _ in faulty.requests] == ["PUT"] * len(links)
    with app.opened() as site:
        link = site.blobs.signed_url(keys_of(app, "sha256/")[0], expires_s=60)
    assert link.startswith(faulty.url + "/")
    assert httpx.get(link).content == data


def test_parts_that_are_too_much_together_are_refused_before_a_byte_is_read(store_app, faulty, tmp_path):
    """The links bind each part's size; this is a store that did not look."""
    app = store_app(url=faulty.url, lfs=SMALL_PARTS)
    app.hf("ada").create_repo("ada/m")
    data = os.urandom(11 * MIB)
    oid = hashlib.sha256(data).hexdigest()
    actions, links, chunk = begin(app, oid, len(data))
    at = urlsplit(links[0])
    bucket, key = at.path.strip("/").split("/", 1)
    upload_id, direct, parts = parse_qs(at.query)["uploadId"][0], seaweed().calls(bucket), []
    for number in range(1, len(links) + 1):
        (tmp_path / "part").write_bytes(data[:chunk])
        parts.append({"partNumber": number, "etag": direct.put_part(key, upload_id, number, tmp_path / "part")})
    answer = httpx.post(actions["upload"]["href"], json={"oid": oid, "parts": parts}, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["message"] == SizeMismatch(len(data), chunk * len(links)).message
    assert not [path for method, path in faulty.requests if method == "GET" and oid in path]
    assert keys_of(app, "sha256/") == []
    with app.opened() as site:
        assert site.db.read(lambda tx: tx.execute(select(open_upload)).all()) == []


def test_one_completes_while_another_waits_and_nothing_changes_what_was_read_back(storage, monkeypatch):
    data = os.urandom(7 * MIB)
    complete, links = links_of(plan(storage, named(data)))
    other = put(links[0], os.urandom(PART))  # as large, and of the same upload
    etags = [put(link, data[n * PART : (n + 1) * PART]) for n, link in enumerate(links)]
    site, waits, completions, failed = storage.site, threading.Event(), [], []
    digest_of, holding = site.blobs.digest_of, site.db.holding
    really_complete = site.blobs.multipart.complete_multipart

    def second() -> None:
        try:
            service.complete_upload(site, complete, named(data)[0], numbered([other, etags[1]]))
        except Exception as exc:
            failed.append(exc)

    thread = threading.Thread(target=second)

    def holding_noted(name, **how):
        if threading.current_thread() is thread and name.startswith("lfs-"):
            waits.set()
        return holding(name, **how)

    def read_back_then_let_the_other_try(key):
        found = digest_of(key)
        thread.start()
        wait_for(lambda: waits.is_set() or not thread.is_alive())
        return found

    def counted(*args):
        completions.append(threading.current_thread())
        return really_complete(*args)

    monkeypatch.setattr(site.db, "holding", holding_noted)
    monkeypatch.setattr(site.blobs, "digest_of", read_back_then_let_the_other_try)
    monkeypatch.setattr(site.blobs.multipart, "complete_multipart", counted)
    service.complete_upload(site, complete, named(data)[0], numbered(etags))
    thread.join()
    assert failed == []  # it is there, and that is what was asked
    assert completions == [threading.current_thread()]
    (kept,) = site.blobs.iter_keys("sha256/")
    assert digest_of(kept.key) == named(data)


def test_a_file_that_is_begun_again_gives_up_what_was_begun_first(storage):
    data = os.urandom(7 * MIB)
    batches = [links_of(plan(storage, named(data))) for _ in range(3)]
    assert n_open(storage) == 2
    assert httpx.put(batches[0][1][0], content=data[:PART]).status_code == 404
    for complete, links in batches[1:]:
        etags = [put(link, data[n * PART : (n + 1) * PART]) for n, link in enumerate(links)]
        service.complete_upload(storage.site, complete, named(data)[0], numbered(etags))


def test_open_uploads_take_room_each_file_once_until_they_are_given_up(storage):
    check_room(storage, n_open)


def test_an_account_has_a_bounded_number_of_open_uploads(storage, monkeypatch):
    monkeypatch.setattr(store, "MAX_OPEN", 3)
    plan(storage, *((str(n) * 64, GIB) for n in range(2)))
    with pytest.raises(TooManyOpenUploads, match="at most 3 may be open"):
        plan(storage, *((str(n) * 64, GIB) for n in range(4, 6)))
    assert n_open(storage) == 2  # nothing stays of what was begun for the refused ones
    assert plan(storage, ("9" * 64, GIB)).objects[0].error is None
    storage.repo("bob", "n")
    with pytest.raises(TooManyOpenUploads):
        plan(storage, ("8" * 64, GIB))
    assert n_open(storage) == 3


def test_what_was_begun_for_a_batch_goes_when_the_store_fails_in_the_middle(storage, monkeypatch):
    multipart, begun = storage.site.blobs.multipart, []
    real = multipart.begin_multipart

    def second_fails(key):
        if begun:
            raise BrokenPipeError
        begun.append(key)
        return real(key)

    monkeypatch.setattr(multipart, "begin_multipart", second_fails)
    with pytest.raises(BrokenPipeError):
        plan(storage, *((str(n) * 64, GIB) for n in range(2)))
    assert begun[0].startswith(blob_key(Sha256("0" * 64)))
    assert n_open(storage) == 0


def test_what_passes_through_the_hub_is_asked_again_for_the_power_behind_it(storage, place, tmp_path):
    """Clients that do not reach the store."""
    site, data = storage.site, os.urandom(7 * MIB)
    site.blobs = S3Store(place, s3_settings(seaweed().url, direct=False), tmp_path / "cache")
    complete, links = links_of(plan(storage, named(data)))
    links = [link.rpartition("/")[2] for link in links]
    etags = [service.receive_part(site, links[0], Body(data[:PART]))]
    site.db.write(people.suspend, SYSTEM, "ada", now=utcnow())
    with pytest.raises(RepositoryNotFound):
        service.receive_part(site, links[1], Body(data[PART:]))
    site.db.write(people.reinstate, SYSTEM, "ada", now=utcnow())
    etags.append(service.receive_part(site, links[1], Body(data[PART:])))
    service.complete_upload(site, complete, named(data)[0], numbered(etags))
    with pytest.raises(PartsMissing):
        service.receive_part(site, links[1], Body(data[PART:]))
