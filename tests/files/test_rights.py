"""Who may read which digest, and who may name it in a commit."""

from __future__ import annotations

import hashlib

import pytest

from headwater.blobs import DigestMismatch, SizeMismatch, read_all
from headwater.hub import files
from headwater.hub.errors import BlobNotStored
from headwater.hub.files import DeclaredSizeDiffers, LargeFileNotFound
from headwater.kernel import Actor, Grant, Sha256, TokenLimits, utcnow
from tests.storage import Storage

DATA = b"weights" * 1000
DIGEST = Sha256(hashlib.sha256(DATA).hexdigest())


def grant(storage: Storage, actor: Actor, repo_id: int, *, pull: int = 0, sizes=None) -> None:
    storage.site.db.write(
        files.grant_rights, repo_id, {DIGEST: "a.bin"}, actor=actor, now=utcnow(), pull=pull, sizes=sizes
    )


def test_an_upload_becomes_readable_once_a_commit_names_it(storage: Storage) -> None:
    ada, repo = storage.person("ada"), storage.repo("ada", "m")
    assert files.store_plain(storage.site, ada, repo, DATA) == DIGEST
    with pytest.raises(LargeFileNotFound):
        files.open_file(storage.site, repo, DIGEST)
    grant(storage, ada, repo, sizes={DIGEST: len(DATA)})
    assert read_all(files.open_file(storage.site, repo, DIGEST)) == DATA


def test_nobody_names_what_they_have_neither_sent_nor_may_read(storage: Storage) -> None:
    ada, bob = storage.person("ada"), storage.person("bob")
    private, other = storage.repo("ada", "secret", private=True), storage.repo("bob", "m")
    files.store_plain(storage.site, ada, private, DATA)
    grant(storage, ada, private)
    with pytest.raises(BlobNotStored) as of_hidden:
        grant(storage, bob, other)
    unknown = Sha256("0" * 64)
    with pytest.raises(BlobNotStored) as of_unknown:
        storage.site.db.write(files.grant_rights, other, {unknown: "a.bin"}, actor=bob, now=utcnow())
    assert str(of_hidden.value).replace(DIGEST, "") == str(of_unknown.value).replace(unknown, "")


def test_an_administrator_of_the_site_takes_nothing_out_of_private_repositories_by_digest(storage: Storage) -> None:
    ada, root = storage.person("ada"), storage.person("root")
    private, other = storage.repo("ada", "secret", private=True), storage.repo("root", "m")
    files.store_plain(storage.site, ada, private, DATA)
    grant(storage, ada, private)
    with pytest.raises(BlobNotStored):
        grant(storage, Actor(root.account_id, "root", is_site_admin=True), other)


def test_what_is_readable_elsewhere_need_not_be_sent_again(storage: Storage) -> None:
    ada, bob = storage.person("ada"), storage.person("bob")
    public, other = storage.repo("ada", "open"), storage.repo("bob", "m")
    files.store_plain(storage.site, ada, public, DATA)
    grant(storage, ada, public)
    grant(storage, bob, other)
    assert read_all(files.open_file(storage.site, other, DIGEST)) == DATA


def test_a_gated_repository_lends_its_files_to_nobody_it_has_not_let_in(storage: Storage) -> None:
    ada, bob = storage.person("ada"), storage.person("bob")
    gated, other = storage.repo("ada", "gated", gated="manual"), storage.repo("bob", "m")
    files.store_plain(storage.site, ada, gated, DATA)
    grant(storage, ada, gated)
    with pytest.raises(BlobNotStored):
        grant(storage, bob, other)


def test_a_fine_grained_token_reaches_no_further_than_it_says(storage: Storage) -> None:
    ada = storage.person("ada")
    private, public = storage.repo("ada", "secret", private=True), storage.repo("ada", "open")
    files.store_plain(storage.site, ada, private, DATA)
    grant(storage, ada, private)
    limits = TokenLimits(7, "ci", "fine", (Grant("write", repo_id=public),))
    bound = Actor(ada.account_id, "ada", limits=limits)
    with pytest.raises(BlobNotStored):
        grant(storage, bound, public)
    grant(storage, ada, public)


def test_what_came_through_a_pull_request_belongs_to_it_until_it_is_merged(storage: Storage) -> None:
    bob, repo = storage.person("bob"), storage.repo("ada", "m")
    files.store_plain(storage.site, bob, repo, DATA)
    grant(storage, bob, repo, pull=3)
    with pytest.raises(LargeFileNotFound):
        files.open_file(storage.site, repo, DIGEST)
    with pytest.raises(LargeFileNotFound):
        files.open_file(storage.site, repo, DIGEST, pull=4)
    assert files.open_file(storage.site, repo, DIGEST, pull=3).size_bytes == len(DATA)
    assert files.open_file(storage.site, repo, DIGEST, pull=None).size_bytes == len(DATA)
    grant(storage, storage.person("ada"), repo)
    assert files.open_file(storage.site, repo, DIGEST).size_bytes == len(DATA)


def test_a_pointer_that_lies_about_the_size_is_refused(storage: Storage) -> None:
    ada, repo = storage.person("ada"), storage.repo("ada", "m")
    files.store_plain(storage.site, ada, repo, DATA)
    with pytest.raises(DeclaredSizeDiffers):
        grant(storage, ada, repo, sizes={DIGEST: 5})


@pytest.mark.parametrize(
    ("claims", "refusal"),
    [({"claimed": Sha256("1" * 64)}, DigestMismatch), ({"size_bytes": 3}, SizeMismatch)],
)
def test_bytes_that_are_not_what_was_claimed_leave_nothing(storage: Storage, claims, refusal) -> None:
    ada, repo = storage.person("ada"), storage.repo("ada", "m")
    with pytest.raises(refusal):
        files.store_plain(storage.site, ada, repo, DATA, **claims)
    assert storage.files_left() == []
    assert storage.site.db.read(files.find_missing, ada, repo, [DIGEST]) == {DIGEST}


def test_the_list_of_large_files_pages_through_all_of_them(storage: Storage) -> None:
    ada, repo = storage.person("ada"), storage.repo("ada", "m")
    digests = {files.store_plain(storage.site, ada, repo, bytes([n]) * 10): f"{n}.bin" for n in range(5)}
    storage.site.db.write(files.grant_rights, repo, digests, actor=ada, now=utcnow())
    seen, cursor = [], None
    while True:
        page = storage.site.db.read(files.repo_lfs_files, repo, cursor=cursor, limit=2)
        seen += [f.sha256 for f in page.items]
        if (cursor := page.cursor) is None:
            break
    assert sorted(seen) == sorted(digests)
    assert storage.site.db.read(files.repo_stored_bytes, repo) == 50
