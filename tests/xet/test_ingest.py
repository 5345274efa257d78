"""What is refused when a client, or somebody who plays one, sends what is not so; and that nothing of it stays."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.accounts import Action, NotAllowed
from headwater.blobs import BlobFolder, ObjectDamaged, read_all
from headwater.hub import files
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.files.terms import to_text
from headwater.hub.signing import BadSignature, BadXetToken
from headwater.hub.xet import ingest, serving, store
from headwater.hub.xet.errors import BadShard, BadXorb, ChunkUnknown, RangePastEnd, XetFileNotFound
from headwater.hub.xet.hashes import chunk_hash
from headwater.hub.xet.models import CasGrant
from headwater.kernel import Actor, Grant, RepoId, Sha256, TokenLimits, utcnow
from headwater.web.refusals import BodyTruncated
from tests.storage import Storage
from tests.xet.making import Body, MadeXorb, grant_of, make_shard

ONE = MadeXorb([bytes([n]) * (1000 + n) for n in range(20)])
TWO = MadeXorb([bytes([100 + n]) * (2000 + n) for n in range(5)])


def plain(xorb: MadeXorb, first: int = 0, last: int | None = None) -> bytes:
    return b"".join(xorb.chunks[first:last])


def sha(data: bytes) -> Sha256:
    return Sha256(hashlib.sha256(data).hexdigest())


def send(storage: Storage, grant: CasGrant, *xorbs: MadeXorb) -> None:
    for xorb in xorbs:
        ingest.accept_xorb(storage.site, grant, xorb.name, Body(xorb.body))


def accept(storage: Storage, grant: CasGrant, shard: bytes) -> bool:
    return ingest.finish_shard(storage.site, grant, ingest.check_shard(storage.site, grant, shard), lambda _: None)


def commit(storage: Storage, grant: CasGrant, digest: Sha256) -> None:
    storage.site.db.write(files.grant_rights, grant.repo_id, {digest: "w"}, actor=grant.actor, now=utcnow())


def publish(storage: Storage, grant: CasGrant, *terms: tuple[MadeXorb, int, int]) -> Sha256:
    digest = sha(b"".join(plain(*term) for term in terms))
    accept(storage, grant, make_shard([(list(terms), digest)]))
    commit(storage, grant, digest)
    return digest


def cut_short(storage: Storage, key: str, kept_bytes: int) -> None:
    """The object itself, not what this host has of it at hand."""
    blobs = storage.site.blobs
    with blobs.temporary() as path:
        path.write_bytes(blobs.read_range(key, 0, kept_bytes))
        blobs.adopt(path, key)


def forget_copies(storage: Storage) -> None:
    """Of what lies in a store, on this host."""
    shutil.rmtree(storage.site.data_dir / "cache", ignore_errors=True)


def test_a_file_of_two_xorbs_is_read_as_plain_bytes(storage: Storage) -> None:
    grant = grant_of(storage, "ada", storage.repo("ada", "m"))
    send(storage, grant, ONE, TWO)
    digest = publish(storage, grant, (ONE, 2, 9), (TWO, 0, 5), (ONE, 0, 2))
    data = plain(ONE, 2, 9) + plain(TWO) + plain(ONE, 0, 2)
    source = files.open_file(storage.site, grant.repo_id, digest)
    assert read_all(source) == data
    assert read_all(source, 5000, 9000) == data[5000:9000]


def test_an_empty_shard_and_an_empty_file_are_fine(storage: Storage) -> None:
    grant = grant_of(storage, "ada", storage.repo("ada", "m"))
    accept(storage, grant, make_shard([]))
    accept(storage, grant, make_shard([([], sha(b""))]))
    commit(storage, grant, sha(b""))
    assert read_all(files.open_file(storage.site, grant.repo_id, sha(b""))) == b""


@pytest.mark.parametrize("cut", [0, 5, 8, 500, 1007, 1009, len(ONE.body) - 1])
def test_a_truncated_xorb_leaves_nothing(storage: Storage, cut: int) -> None:
    grant = grant_of(storage, "ada", storage.repo("ada", "m"))
    with pytest.raises(BadXorb):
        ingest.accept_xorb(storage.site, grant, ONE.name, Body(ONE.body[:cut]))
    assert storage.files_left() == []
    assert storage.site.db.read(store.find_xorbs, [ONE.name]) == {}


def test_a_xorb_under_another_name_leaves_nothing(storage: Storage) -> None:
    grant = grant_of(storage, "ada", storage.repo("ada", "m"))
    with pytest.raises(BadXorb):
        ingest.accept_xorb(storage.site, grant, TWO.name, Body(ONE.body))
    assert storage.files_left() == []


def test_a_connection_that_breaks_leaves_nothing(storage: Storage) -> None:
    class Breaking(Body):
        def read_into(self, window: memoryview) -> int:
            return super().read_into(window[:3000]) or self.give_up()

        def give_up(self) -> int:
            raise BodyTruncated(1, 2)

    grant = grant_of(storage, "ada", storage.repo("ada", "m"))
    with pytest.raises(BodyTruncated):
        ingest.accept_xorb(storage.site, grant, ONE.name, Breaking(ONE.body))
    assert storage.files_left() == []


def test_who_sends_a_xorb_again_hears_so_and_another_does_not(storage: Storage) -> None:
    ada = grant_of(storage, "ada", storage.repo("ada", "m"))
    bob = grant_of(storage, "bob", storage.repo("bob", "m"))
    assert ingest.accept_xorb(storage.site, ada, ONE.name, Body(ONE.body))
    left = storage.files_left()
    assert not ingest.accept_xorb(storage.site, ada, ONE.name, Body(ONE.body))
    assert ingest.accept_xorb(storage.site, bob, ONE.name, Body(ONE.body))
    assert storage.files_left() == left


def test_foreign_and_unknown_xorbs_are_refused_alike(storage: Storage) -> None:
    ada = grant_of(storage, "ada", storage.repo("ada", "secret", private=True))
    bob = grant_of(storage, "bob", storage.repo("bob", "m"))
    send(storage, ada, ONE)
    publish(storage, ada, (ONE, 0, 20))
    refusals = set()
    for xorb in (ONE, TWO):
        with pytest.raises(BadShard) as refused:
            accept(storage, bob, make_shard([([(xorb, 0, 3)], sha(plain(xorb, 0, 3)))]))
        refusals.add(str(refused.value))
    assert len(refusals) == 1
    assert storage.site.db.read(files.find_missing, bob.actor, bob.repo_id, [sha(plain(ONE, 0, 3))])


def test_a_xorb_that_is_published_only_in_part_is_not_lent(storage: Storage) -> None:
    ada = grant_of(storage, "ada", storage.repo("ada", "open"))
    bob = grant_of(storage, "bob", storage.repo("bob", "m"))
    send(storage, ada, ONE)
    publish(storage, ada, (ONE, 0, 12))
    with pytest.raises(BadShard):
        accept(storage, bob, make_shard([([(ONE, 0, 3)], sha(plain(ONE, 0, 3)))]))
    with pytest.raises(ChunkUnknown):
        serving.answer_dedup(storage.site, bob, to_text(chunk_hash(ONE.chunks[0])), now=utcnow())
    publish(storage, ada, (ONE, 10, 20))
    assert serving.answer_dedup(storage.site, bob, to_text(chunk_hash(ONE.chunks[0])), now=utcnow())
    accept(storage, bob, make_shard([([(ONE, 0, 3)], sha(plain(ONE, 0, 3)))]))


def test_a_fine_grained_token_reuses_only_what_came_through_it(storage: Storage) -> None:
    secret, public = storage.repo("ada", "secret", private=True), storage.repo("ada", "open")
    whole = grant_of(storage, "ada", secret)
    limits = TokenLimits(7, "ci", "fine", (Grant("write", repo_id=public),))
    bound = CasGrant(Actor(whole.actor.account_id, "ada", limits=limits), public, Action.WRITE)
    send(storage, whole, ONE)
    publish(storage, whole, (ONE, 0, 20))
    with pytest.raises(BadShard):
        accept(storage, bound, make_shard([([(ONE, 0, 3)], None)]))
    with pytest.raises(ChunkUnknown):
        serving.answer_dedup(storage.site, bound, to_text(chunk_hash(ONE.chunks[0])), now=utcnow())
    assert whole.owner != bound.owner
    send(storage, bound, TWO)
    accept(storage, bound, make_shard([([(TWO, 0, 3)], None)]))
    accept(storage, whole, make_shard([([(TWO, 1, 3)], None)]))


@pytest.mark.parametrize(
    "wrong", [{"file_hash": b"x" * 32}, {"range_hash": b"x" * 32}, {"xorb": b"x" * 32}], ids=lambda w: next(iter(w))
)
def test_a_shard_with_a_wrong_hash_is_refused(storage: Storage, wrong: dict[str, bytes]) -> None:
    grant = grant_of(storage, "ada", storage.repo("ada", "m"))
    send(storage, grant, ONE)
    digest = sha(plain(ONE))
    with pytest.raises(BadShard):
        accept(storage, grant, make_shard([([(ONE, 0, 20)], digest)], **wrong))
    assert storage.site.db.read(files.find_missing, grant.actor, grant.repo_id, [digest]) == {digest}


def test_a_wrong_sha256_is_refused_for_new_and_for_known_files(storage: Storage) -> None:
    grant = grant_of(storage, "ada", storage.repo("ada", "m"))
    send(storage, grant, ONE)
    for _ in range(2):
        with pytest.raises(BadShard):
            accept(storage, grant, make_shard([([(ONE, 0, 20)], sha(b"another"))]))
        assert storage.site.db.read(files.find_missing, grant.actor, grant.repo_id, [sha(b"another")])
        publish(storage, grant, (ONE, 0, 20))


@pytest.mark.parametrize("kept_bytes", [0, 100_000, 390_000])
def test_a_payload_that_became_shorter_is_told_and_nothing_recorded(storage: Storage, kept_bytes: int) -> None:
    grant = grant_of(storage, "ada", storage.repo("ada", "m"))
    large = MadeXorb([os.urandom(100_000) for _ in range(4)])
    send(storage, grant, large)
    digest = sha(plain(large))
    checked = ingest.check_shard(storage.site, grant, make_shard([([(large, 0, 4)], digest)]))
    (payload,) = (key for key in storage.files_left() if not key.endswith(".idx"))
    cut_short(storage, payload, kept_bytes)
    forget_copies(storage)
    with pytest.raises((OSError, ObjectDamaged), match=r"shorter|other bytes"):
        ingest.finish_shard(storage.site, grant, checked, lambda _: None)
    assert storage.site.db.read(files.find_missing, grant.actor, grant.repo_id, [digest]) == {digest}


def test_a_term_past_the_end_of_its_xorb_is_refused(storage: Storage) -> None:
    grant = grant_of(storage, "ada", storage.repo("ada", "m"))
    send(storage, grant, TWO)
    longer = MadeXorb([*TWO.chunks, b"more"])
    shard = make_shard([([(longer, 0, 6)], None)])
    from headwater.hub.files.terms import from_text

    with pytest.raises(BadShard, match="past the end"):
        accept(storage, grant, shard.replace(from_text(longer.name), from_text(TWO.name)))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), flip=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_shard_is_refused_or_says_the_same(storage: Storage, at: int, flip: int, cut: bool) -> None:
    if "ada" not in storage.people:
        storage.repo("ada", "m")
    grant = grant_of(storage, "ada", RepoId(1))
    send(storage, grant, ONE, TWO)
    shard = make_shard([([(ONE, 0, 20), (TWO, 1, 4)], sha(plain(ONE) + plain(TWO, 1, 4)))])
    at %= len(shard)
    damaged = shard[:at] if cut else shard[:at] + bytes([shard[at] ^ flip]) + shard[at + 1 :]
    try:
        checked = ingest.check_shard(storage.site, grant, damaged)
        ingest.finish_shard(storage.site, grant, checked, lambda _: None)
    except BadShard:
        return
    assert all(file.terms for file in checked.files)  # padding, unused fields, or a file less


def test_a_grant_whose_right_is_gone_opens_nothing(storage: Storage) -> None:
    repo = storage.repo("ada", "m", private=True)
    bob = grant_of(storage, "bob", repo)
    with pytest.raises(RepositoryNotFound):
        send(storage, bob, ONE)
    with pytest.raises(NotAllowed):
        send(storage, grant_of(storage, "bob", storage.repo("ada", "open")), ONE)


def test_two_people_send_the_same_xorb_at_once(storage: Storage) -> None:
    grants = [grant_of(storage, name, storage.repo(name, "m")) for name in ("ada", "bob", "eve")]
    threads = [threading.Thread(target=send, args=(storage, grant, ONE)) for grant in grants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for grant in grants:
        accept(storage, grant, make_shard([([(ONE, 0, 20)], sha(plain(ONE)))]))
    assert len(storage.files_left()) == 2


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_reconstruction_of_any_range_gives_that_range(storage: Storage, data) -> None:
    if "ada" not in storage.people:
        storage.repo("ada", "m")
    grant = grant_of(storage, "ada", RepoId(1))
    send(storage, grant, ONE, TWO)
    runs = [(ONE, 3, 11), (TWO, 0, 2), (ONE, 5, 20), (TWO, 4, 5)]
    whole = b"".join(plain(*run) for run in runs)
    publish(storage, grant, *runs)
    name = storage.site.db.read(files.xet_hashes, [sha(whole)])[sha(whole)]
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.none() | st.integers(start + 1, len(whole) + 10))
    found = serving.reconstruct(storage.site, grant, name, (start, end), now=utcnow())
    out = b""
    for term in found.terms:
        fetch = next(f for f in found.fetches[term.xorb] if f.first <= term.first and term.last <= f.last)
        framed = fetched(storage, fetch)
        chunks = []
        while framed:
            size = int.from_bytes(framed[1:4], "little")
            chunks.append(framed[8 : 8 + size])
            framed = framed[8 + size :]
        assert len(chunks) == fetch.last - fetch.first
        got = b"".join(chunks[term.first - fetch.first : term.last - fetch.first])
        assert len(got) == term.size_bytes
        out += got
    skipped = out[found.offset_into_first :]
    wanted = whole[start:end]
    assert skipped[: len(wanted)] == wanted
    assert serving.to_v1(found)["terms"] == serving.to_v2(found)["terms"]


def fetched(storage: Storage, fetch: serving.Fetch) -> bytes:
    """As clients do it, who send just this range."""
    if not fetch.url.startswith(storage.site.base_url):
        answer = httpx.get(fetch.url, headers={"range": f"bytes={fetch.start}-{fetch.end - 1}"})
        assert answer.status_code == 206
        return answer.content
    source, low, high, _ = serving.open_range(storage.site, fetch.url.rsplit("/", 1)[1])
    assert (low, high) == (fetch.start, fetch.end)
    return read_all(source, low, high)


def test_reconstructions_are_only_for_who_may_read_the_file(storage: Storage) -> None:
    ada = grant_of(storage, "ada", storage.repo("ada", "m"))
    bob = grant_of(storage, "bob", storage.repo("bob", "m"), Action.READ_FILES)
    send(storage, ada, ONE)
    digest = publish(storage, ada, (ONE, 0, 20))
    name = storage.site.db.read(files.xet_hashes, [digest])[digest]
    with pytest.raises(XetFileNotFound):
        serving.reconstruct(storage.site, bob, name, None, now=utcnow())
    with pytest.raises(RangePastEnd):
        serving.reconstruct(storage.site, ada, name, (len(plain(ONE)), None), now=utcnow())
    with pytest.raises(BadSignature):
        serving.open_range(storage.site, "abc.def")
    with pytest.raises(BadXetToken):
        serving.read_token(storage.site, "abc")


def test_a_full_disk_leaves_nothing_half_stored(storage: Storage, tmp_path) -> None:
    import subprocess

    from headwater.blobs import StorageFull

    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        storage.site.blobs = BlobFolder(small)
        storage.site.blobs.ensure()
        grant = grant_of(storage, "ada", storage.repo("ada", "m"))
        big = MadeXorb([os.urandom(100_000) for _ in range(20)])
        with pytest.raises(StorageFull):
            send(storage, grant, big)
        with pytest.raises(StorageFull):
            files.store_plain(storage.site, grant.actor, grant.repo_id, os.urandom(3_000_000))
        assert storage.files_left() == []
        send(storage, grant, ONE)  # and there is room again for what fits
        assert read_all(files.open_file(storage.site, grant.repo_id, publish(storage, grant, (ONE, 0, 20))))
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_lost_xorb_makes_clients_forget_and_the_next_upload_heals(storage: Storage) -> None:
    grant = grant_of(storage, "ada", storage.repo("ada", "m"))
    send(storage, grant, ONE, TWO)
    digest = publish(storage, grant, (ONE, 0, 20))
    assert storage.site.db.read(store.find_epoch) == 0
    for key in storage.files_left():
        if ONE.name in key:
            storage.site.blobs.delete(key)
    with pytest.raises(BadShard, match="send them again"):
        accept(storage, grant, make_shard([([(ONE, 0, 3), (TWO, 0, 1)], None)]))
    assert storage.site.db.read(store.find_epoch) == 1
    assert ingest.accept_xorb(storage.site, grant, ONE.name, Body(ONE.body))
    assert read_all(files.open_file(storage.site, grant.repo_id, digest)) == plain(ONE)


@pytest.mark.parametrize("tail", ["payload", "idx"])
def test_what_is_lost_is_neither_offered_nor_taken_for_sent(storage: Storage, tail: str) -> None:
    """Whatever of it this host has at hand."""
    ada = grant_of(storage, "ada", storage.repo("ada", "m"))
    bob = grant_of(storage, "bob", storage.repo("bob", "m"))
    send(storage, ada, ONE, TWO)
    digest = publish(storage, ada, (ONE, 0, 20), (TWO, 0, 5))
    asked = to_text(chunk_hash(ONE.chunks[0]))
    assert ONE.name in {x.hash for x in storage.site.db.read(serving._usable_around, bob, asked)}
    (key,) = (k for k in storage.files_left() if TWO.name in k and k.endswith(".idx") == (tail == "idx"))
    cut_short(storage, key, storage.site.blobs.size_of(key) - 1)  # which is as bad as gone
    serving.answer_dedup(storage.site, bob, asked, now=utcnow())
    assert storage.site.db.read(store.find_held, bob, [ONE.name, TWO.name]) == {ONE.name}
    assert storage.site.db.read(store.find_epoch) == 1
    with pytest.raises(BadShard, match="send them again"):
        accept(storage, ada, make_shard([([(TWO, 0, 1)], None)]))
    assert ingest.accept_xorb(storage.site, ada, TWO.name, Body(TWO.body))
    accept(storage, ada, make_shard([([(TWO, 0, 1)], None)]))
    assert read_all(files.open_file(storage.site, ada.repo_id, digest)) == plain(ONE) + plain(TWO)


def test_a_lost_file_is_healed_by_who_sends_it_again(storage: Storage) -> None:
    grant, data = grant_of(storage, "ada", storage.repo("ada", "m")), os.urandom(5000)
    digest = files.store_plain(storage.site, grant.actor, grant.repo_id, data)
    commit(storage, grant, digest)
    (key,) = storage.files_left()
    storage.site.blobs.delete(key)
    files.store_plain(storage.site, grant.actor, grant.repo_id, data)
    assert read_all(files.open_file(storage.site, grant.repo_id, digest)) == data
