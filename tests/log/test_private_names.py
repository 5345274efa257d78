"""A repository that becomes private while an act on it is under way: the log does not tell its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from headwater import accounts, ledger
from headwater.hub import files
from headwater.hub.content import large_files
from headwater.hub.content.commits import Draft, InlineFile, LargeFile, commit_draft
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.releases import bundle, service
from headwater.hub.repos import service as repos
from headwater.kernel import SYSTEM, Actor, Sha256, utcnow
from headwater.web.site import Site
from tests.storage import built_site

MODEL, RIVER = RepoKind.MODEL, RepoName("ada", "river")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with built_site(tmp_path / "data") as made:
        yield made


@pytest.fixture
def ada(site: Site) -> Actor:
    made = site.db.write(accounts.create_person, SYSTEM, "ada", password_hash=None, now=utcnow())
    return Actor(made.id, made.name)


def hide(site: Site, ada: Actor) -> None:
    site.db.write(repos.change_settings, ada, MODEL, RIVER, repos.Settings(is_private=True), now=utcnow())


def meanwhile(act: Callable[..., Any], other: Callable[[], None]) -> Callable[..., Any]:
    """``act`` as it is, and ``other`` right after it."""

    def both(*given: Any) -> Any:
        done = act(*given)
        other()
        return done

    return both


def entries(site: Site, repo_id: int, kind: str) -> list[Any]:
    return [one for one in site.db.read(ledger.list_entries, repo_id=repo_id).items if one.kind == kind]


def test_a_release_of_what_has_become_private(site: Site, ada: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = repos.create_repository(site, ada, MODEL, RIVER, is_private=False)
    commit_draft(site, ada, MODEL, RIVER, "main", Draft("change", "", None, [InlineFile("a.txt", b"one")]))
    key = ec.generate_private_key(ec.SECP256R1())
    with service.open_revision(site, ada, MODEL, RIVER, None) as at:
        made = bundle.sign("river", service.hash_files(at), key).decode()
    monkeypatch.setattr(service, "hash_files", meanwhile(service.hash_files, lambda: hide(site, ada)))
    service.add_release(site, ada, MODEL, RIVER, None, made, bundle.public_pem(key.public_key()))
    (entry,) = entries(site, repo.id, "release.signed")
    assert entry.is_private
    assert "river" not in entry.leaf


@pytest.mark.parametrize("is_rewritten", [False, True])
def test_large_files_deleted_from_what_has_become_private(
    site: Site, ada: Actor, monkeypatch: pytest.MonkeyPatch, is_rewritten: bool
) -> None:
    repo = repos.create_repository(site, ada, MODEL, RIVER, is_private=False)
    sent = files.store_plain(site, ada, repo.id, b"weights" * 100)
    commit_draft(site, ada, MODEL, RIVER, "main", Draft("change", "", None, [LargeFile("w.bin", sent, 700)]))
    if is_rewritten:
        rewrite = meanwhile(large_files.rewrite_without, lambda: hide(site, ada))
        monkeypatch.setattr(large_files, "rewrite_without", rewrite)
    else:
        monkeypatch.setattr(site.db, "write", between(site.db.write, lambda: hide(site, ada)))
    large_files.delete_large_files(site, ada, MODEL, RIVER, [sent], rewrite_history=is_rewritten)
    (entry,) = entries(site, repo.id, "large_files.deleted")
    assert entry.is_private
    assert "river" not in entry.leaf


def between(write: Callable[..., Any], other: Callable[[], None]) -> Callable[..., Any]:
    """Writes as ever, but that ``other`` comes before the first."""
    left = [other]

    def act(*given: Any, **named: Any) -> Any:
        if left:
            left.pop()()
        return write(*given, **named)

    return act


def test_many_large_files_are_each_named_by_the_log(site: Site, ada: Actor) -> None:
    repo = repos.create_repository(site, ada, MODEL, RIVER, is_private=False)
    digests = [Sha256(f"{number:064x}") for number in range(2001)]
    large_files.delete_large_files(site, ada, MODEL, RIVER, digests, rewrite_history=False)
    found = entries(site, repo.id, "large_files.deleted")
    assert all(
        isinstance(one.names["facts"]["sha256"], list) and one.names["facts"]["sha256"][0] in one.leaf for one in found
    )
    assert sorted(digest for one in found for digest in one.names["facts"]["sha256"]) == digests
