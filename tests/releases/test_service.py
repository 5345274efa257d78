"""Many signatures, and large ones: the service on a real database."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import insert

from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Draft, InlineFile
from headwater.hub.content.known import KnownEntries, KnownFacts
from headwater.hub.content.reached import ReachedCommits
from headwater.hub.releases import bundle, service
from headwater.hub.releases.bundle import BadRelease
from headwater.hub.releases.service import ReleaseNotFound, TooManySignatures
from headwater.hub.tables.releases import release_signature
from headwater.kernel import ANONYMOUS, utcnow
from tests.git.conftest import ada, repo, site  # noqa: F401 -- fixtures


@pytest.fixture(autouse=True)
def _a_file(site, ada, repo):  # noqa: F811
    for part in (KnownEntries, KnownFacts, ReachedCommits):
        site.add_part(part())
    change = InlineFile("a.txt", b"hello")
    commit_draft(site, ada, repo.kind, repo.name, "main", Draft("add", "", None, [change]))


def sign(site, ada, repo, key=None):  # noqa: F811
    key = key or ec.generate_private_key(ec.SECP256R1())
    with service.open_revision(site, ada, repo.kind, repo.name, None) as at:
        made = bundle.sign(repo.name.name, service.hash_files(at), key)
    return key, made.decode()


def add(site, ada, repo, key, text):  # noqa: F811
    return service.add_release(site, ada, repo.kind, repo.name, None, text, bundle.public_pem(key.public_key()))


def others(site, ada, repo, count: int) -> None:  # noqa: F811
    """As many signatures by other keys."""
    key, text = sign(site, ada, repo)
    first = add(site, ada, repo, key, text)
    values = {"repo_id": repo.id, "commit_id": first.commit, "public_key": "", "bundle": "{}", "n_files": 1}
    rows = [{**values, "key_id": f"{n:064x}", "added_by": "ada", "added_at": utcnow()} for n in range(count - 1)]
    site.db.write(lambda tx: tx.execute(insert(release_signature), rows))


def test_an_old_signature_is_found_behind_a_hundred_others(site, ada, repo):  # noqa: F811
    key, text = sign(site, ada, repo)
    mine = add(site, ada, repo, key, text)
    others(site, ada, repo, 110)
    assert add(site, ada, repo, key, text) == mine
    kind, name = repo.kind, repo.name
    assert site.db.read(service.read_bundle, ANONYMOUS, kind, name, mine.id) == text
    with pytest.raises(ReleaseNotFound):
        site.db.read(service.read_bundle, ANONYMOUS, kind, name, 10_000)


def test_a_list_reads_no_bundle(site, ada, repo):  # noqa: F811
    assert "bundle" not in {column.name for column in service._SHORT}
    key, text = sign(site, ada, repo)
    made = add(site, ada, repo, key, text)
    assert list(site.db.read(service.list_releases, ANONYMOUS, repo.kind, repo.name)[1]) == [made]


def test_padding_is_refused(site, ada, repo):  # noqa: F811
    key, text = sign(site, ada, repo)
    told = json.loads(text)
    told["padding"] = "x" * 20_000
    with pytest.raises(BadRelease, match="are enough"):
        add(site, ada, repo, key, json.dumps(told))
    with pytest.raises(BadRelease, match="are enough"):
        add(site, ada, repo, key, text + " " * 20_000)
    add(site, ada, repo, key, json.dumps(json.loads(text), indent=8))


def test_a_repository_has_so_many_signatures_and_no_more(site, ada, repo):  # noqa: F811
    key, text = sign(site, ada, repo)
    add(site, ada, repo, key, text)
    others(site, ada, repo, service.MOST_SIGNATURES - 1)
    add(site, ada, repo, key, text)  # which is there
    another, text = sign(site, ada, repo)
    with pytest.raises(TooManySignatures, match="--no-upload"):
        add(site, ada, repo, another, text)
