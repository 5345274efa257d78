"""Uploads in parts before anybody sees a file of them: who may still send, what they take, and when they go."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator

import httpx
import pytest
from sqlalchemy import func, select

from headwater.accounts.service import people, tokens
from headwater.blobs import DigestMismatch
from headwater.hub.lfs import service, store
from headwater.hub.lfs.errors import PartsMissing, TooManyOpenUploads
from headwater.hub.lfs.settings import LfsSettings
from headwater.hub.tables.files import open_upload
from headwater.kernel import SYSTEM, utcnow
from tests import growth
from tests.conftest import LiveApp
from tests.growth import only_on_one_machine
from tests.lfs.batches import check_room, links_of, plan
from tests.storage import Storage
from tests.xet.making import Body

MIB = 1 << 20
PART = MIB
DATA = os.urandom(2 * MIB + 7)
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def storage(storage: Storage) -> Storage:
    settings = LfsSettings(multipart_from_bytes=2 * MIB, part_size_bytes=PART)
    storage.site.settings = growth.settings_of(storage.site.data_dir, settings)
    storage.repo("ada", "m")
    return storage


def bare_links_of(batch: service.Batch) -> tuple[str, list[str]]:
    """All without their addresses."""
    complete, links = links_of(batch)
    return complete, [link.rpartition("/")[2] for link in links]


def n_open(storage: Storage) -> int:
    """In the database; the working folder must say the same."""
    noted = storage.site.db.read(lambda tx: tx.execute(select(func.count()).select_from(open_upload)).scalar_one())
    assert len(list(storage.site.blobs.tmp.iterdir())) == noted
    return noted


def piece(number: int) -> Body:
    return Body(DATA[number * PART : (number + 1) * PART])


@only_on_one_machine  # tests/blobs/test_multipart.py has these for a store
class TestInTheFolder:
    def test_open_uploads_take_room_each_file_once_until_they_are_given_up(self, storage: Storage) -> None:
        check_room(storage, n_open)

    def test_a_file_that_is_begun_again_gives_up_what_was_begun_first(self, storage: Storage) -> None:
        first = bare_links_of(plan(storage, (DIGEST, len(DATA))))
        service.receive_part(storage.site, first[1][0], piece(0))
        batches = [bare_links_of(plan(storage, (DIGEST, len(DATA)))) for _ in range(2)]
        assert n_open(storage) == 2
        with pytest.raises(PartsMissing):
            service.receive_part(storage.site, first[1][1], piece(1))
        for complete, links in batches:
            etags = [service.receive_part(storage.site, link, piece(n)) for n, link in enumerate(links)]
            parts = [{"partNumber": number, "etag": etag} for number, etag in enumerate(etags, 1)]
            service.complete_upload(storage.site, complete, DIGEST, parts)
        with pytest.raises(PartsMissing):
            service.receive_part(storage.site, batches[0][1][0], piece(0))

    def test_an_account_has_a_bounded_number_of_open_uploads(
        self, storage: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "MAX_OPEN", 3)
        plan(storage, *((str(n) * 64, 3 * MIB) for n in range(2)))
        with pytest.raises(TooManyOpenUploads, match="at most 3 may be open"):
            plan(storage, *((str(n) * 64, 3 * MIB) for n in range(4, 6)))
        assert n_open(storage) == 2  # nothing stays of what was begun for the refused ones

    def test_what_is_not_what_was_announced_is_over(self, storage: Storage) -> None:
        complete, links = bare_links_of(plan(storage, ("c" * 64, len(DATA))))
        etags = [service.receive_part(storage.site, link, piece(n)) for n, link in enumerate(links)]
        parts = [{"partNumber": number, "etag": etag} for number, etag in enumerate(etags, 1)]
        with pytest.raises(DigestMismatch):
            service.complete_upload(storage.site, complete, "c" * 64, parts)
        assert n_open(storage) == 0


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    env = {"HEADWATER_LFS_MULTIPART_FROM_BYTES": str(2 * MIB), "HEADWATER_LFS_PART_SIZE_BYTES": str(PART)}
    made = LiveApp(tmp_path_factory.mktemp("parts") / "data", env=env, options={"workers": 1})
    try:
        made.add_people()
        yield made
    finally:
        made.stop()
    made.check_clean()


def n_parts(answered: service.Answered) -> int:
    return sum(name.isdigit() for name in answered.links["upload"].header)


def test_one_file_alone_is_sent_in_parts_as_they_are_set(storage: Storage) -> None:
    storage.site.settings = growth.settings_of(storage.site.data_dir, LfsSettings())
    (alone,) = plan(storage, ("a" * 64, 50 * 10**9)).objects
    assert (alone.links["upload"].header["chunk_size"], n_parts(alone)) == (str(64 * MIB), 746)


def test_many_large_files_are_sent_in_larger_parts(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_LINKS", service.MAX_OBJECTS + 60)
    counts = [n_parts(one) for one in plan(storage, *((f"{n:064}", 1000 * MIB) for n in range(6))).objects]
    assert counts == [10] * 6


def test_a_batch_has_a_bounded_number_of_links_and_says_what_to_do(app: LiveApp) -> None:
    app.hf("bob").create_repo("bob/many")
    answer = httpx.post(
        f"{app.url}/bob/many.git/info/lfs/objects/batch",
        headers={"Authorization": f"Bearer {app.token('bob')}"},
        json={
            "operation": "upload",
            "transfers": ["basic", "multipart"],
            "objects": [{"oid": f"{n:064}", "size": 5 * 10**11} for n in range(1000)],
        },
        timeout=60,
    )
    assert answer.status_code == 200
    objects = answer.json()["objects"]
    sent = [one["actions"]["upload"]["header"] for one in objects if "actions" in one]
    assert {len(header) - 1 for header in sent} == {94}  # of 5 GiB
    assert len(sent) == service.MAX_LINKS // 94
    refused = [one["error"] for one in objects if "error" in one]
    assert len(refused) == 1000 - len(sent)
    assert {(error["code"], "ask for this object again in a smaller one" in error["message"]) for error in refused} == {
        (422, True)
    }
    assert len(answer.content) < (20 if growth.ON_GROWTH else 8) * 10**6


def suspend(app: LiveApp, person: str) -> None:
    with app.opened() as site:
        site.db.write(people.suspend, SYSTEM, person, now=utcnow())


def revoke(app: LiveApp, person: str) -> None:
    with app.opened() as site:
        for info in site.db.read(tokens.list_tokens, SYSTEM, owner=person):
            site.db.write(tokens.revoke_token, SYSTEM, info.id, now=utcnow())


def delete(app: LiveApp, person: str) -> None:
    app.hf("ada").delete_repo(f"ada/{person}")


def hide(app: LiveApp, person: str) -> None:
    app.hf("ada").update_repo_settings(f"ada/{person}", private=True)


@only_on_one_machine  # tests/blobs/test_multipart.py has it for a store
@pytest.mark.parametrize("end", [suspend, revoke, delete, hide])
def test_nothing_comes_through_an_older_link_once_the_power_behind_it_has_ended(
    app: LiveApp, end: Callable[[LiveApp, str], None]
) -> None:
    person = f"{end.__name__}d"
    app.add_person(person)
    app.hf("ada").create_repo(f"ada/{person}")
    links = {}
    for how in ("basic", "multipart"):
        answer = httpx.post(
            f"{app.url}/ada/{person}.git/info/lfs/objects/batch",
            headers={"Authorization": f"Bearer {app.token(person)}"},
            json={"operation": "upload", "transfers": [how], "objects": [{"oid": DIGEST, "size": len(DATA)}]},
        )
        upload = answer.json()["objects"][0]["actions"]["upload"]
        links[how] = upload["header"].get("00001") or upload["href"]
    assert httpx.put(links["multipart"], content=DATA[:PART]).status_code == 200
    end(app, person)
    part, whole = httpx.put(links["multipart"], content=DATA[:PART]), httpx.put(links["basic"], content=DATA)
    assert (part.status_code, part.json()["message"]) == (whole.status_code, whole.json()["message"])
    assert part.status_code == 401  # of an anonymous request to what is hidden
