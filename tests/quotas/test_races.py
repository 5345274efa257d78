"""Eight threads at the limit: never one byte beyond it, and never one refused that would have fitted."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.hub import files, quotas, repos
from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Draft, InlineFile, LargeFile
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.quotas import recount
from headwater.hub.quotas.service import get_quota, set_limits
from headwater.kernel import SYSTEM, utcnow
from tests.storage import Storage, make_storage

MODEL = RepoKind.MODEL
SIZE = 1000
THREADS = 8


@pytest.fixture
def storage(tmp_path: Path):
    made = make_storage(tmp_path / "data", hub=True)
    yield made
    made.site.close()


def limit(storage: Storage, name: str, n_bytes: int | None, n_repositories: int | None = None) -> None:
    limits = quotas.Limits(n_bytes, None, n_repositories)
    storage.site.db.write(set_limits, SYSTEM, name, limits, now=utcnow())


def used(storage: Storage, name: str) -> quotas.Usage:
    return storage.site.db.read(get_quota, SYSTEM, name)[1].usage


def race(act: Callable[[int], object], n_each: int) -> tuple[int, int]:
    """Run ``act`` from eight threads at once; how many were done, and how many refused for the quota."""
    done, refused, failed = [], [], []
    gate = threading.Barrier(THREADS)

    def run(thread: int) -> None:
        gate.wait()
        for n in range(n_each):
            try:
                act(thread * 1000 + n)
                done.append(n)
            except (quotas.QuotaExceeded, quotas.TooManyRepositories):
                refused.append(n)
            except Exception as exc:
                failed.append(exc)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]
    return len(done), len(refused)


def test_uploads_fill_the_quota_to_the_byte(storage: Storage) -> None:
    ada, repo = storage.person("ada"), storage.repo("ada", "m")
    limit(storage, "ada", 20 * SIZE)
    done, refused = race(lambda _: files.store_plain(storage.site, ada, repo, os.urandom(SIZE)), 5)
    assert (done, refused) == (20, 20)
    assert used(storage, "ada").used_bytes == 20 * SIZE
    assert storage.site.db.read(recount.find_differences) == []


def test_a_commit_of_what_fills_the_quota_needs_no_room_of_its_own(storage: Storage) -> None:
    ada = storage.person("ada")
    made = repos.create_repository(storage.site, ada, MODEL, RepoName("ada", "m"))
    first = used(storage, "ada").used_bytes
    limit(storage, "ada", first + 10 * SIZE + 2000)
    digest = files.store_plain(storage.site, ada, made.id, os.urandom(10 * SIZE))
    draft = Draft("all", "", None, [LargeFile("w.bin", digest, 10 * SIZE)])
    commit_draft(storage.site, ada, MODEL, made.name, "main", draft)
    usage = used(storage, "ada")
    assert usage.pending_bytes == 0
    assert usage.public_bytes == usage.used_bytes > first + 10 * SIZE


def test_commits_from_eight_threads_stay_within_it(storage: Storage) -> None:
    ada = storage.person("ada")
    for n in range(THREADS):
        repos.create_repository(storage.site, ada, MODEL, RepoName("ada", f"m{n}"))
    most = used(storage, "ada").used_bytes + 15_000
    limit(storage, "ada", most)

    def commit(n: int) -> None:
        draft = Draft("more", "", None, [InlineFile(f"f{n}", os.urandom(SIZE))])
        commit_draft(storage.site, ada, MODEL, RepoName("ada", f"m{n // 1000}"), "main", draft)

    done, refused = race(commit, 3)
    assert done + refused == 24
    assert refused
    usage = used(storage, "ada").used_bytes
    assert most - 2 * SIZE < usage <= most
    assert storage.site.db.read(recount.find_differences) == []


def test_repositories_are_counted_too(storage: Storage) -> None:
    ada = storage.person("ada")
    limit(storage, "ada", None, 10)
    done, refused = race(lambda n: repos.create_repository(storage.site, ada, MODEL, RepoName("ada", f"r{n}")), 2)
    assert (done, refused) == (10, 6)
    assert used(storage, "ada").n_repositories == 10


def test_what_is_freed_can_be_used_by_another_thread_at_once(storage: Storage) -> None:
    ada = storage.person("ada")
    limit(storage, "ada", 40_000, None)

    def come_and_go(n: int) -> None:
        name = RepoName("ada", f"r{n}")
        made = repos.create_repository(storage.site, ada, MODEL, name)
        try:
            files.store_plain(storage.site, ada, made.id, os.urandom(9000))
        finally:
            storage.site.db.write(repos.delete_repository, ada, MODEL, name, now=utcnow())

    race(come_and_go, 3)
    assert used(storage, "ada") == quotas.Usage()
    assert storage.site.db.read(recount.find_differences) == []


def test_strangers_leave_only_so_much_behind(storage: Storage) -> None:
    repo, bob = storage.repo("ada", "m"), storage.person("bob")
    default = quotas.SiteLimits(max_waiting_bytes=5 * SIZE)
    from headwater.hub.quotas.service import set_default

    storage.site.db.write(set_default, SYSTEM, default, now=utcnow())
    done, refused = race(lambda _: files.store_plain(storage.site, bob, repo, os.urandom(SIZE)), 1)
    assert (done, refused) == (5, 3)
    own = storage.repo("bob", "own")
    files.store_plain(storage.site, bob, own, os.urandom(SIZE))  # where they may write they are not strangers
    assert (used(storage, "ada").used_bytes, used(storage, "bob").pending_bytes) == (0, 6 * SIZE)


def test_a_recount_goes_through_repositories_span_by_span(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, whether a span ends before, inside or after those that somebody owns."""
    from sqlalchemy import delete, update

    from headwater.hub.tables.quotas import account_usage, pull_usage, repository_usage

    people = [storage.person(name) for name in ("ada", "bob")]
    for n in range(5):
        actor = people[n % 2]
        made = repos.create_repository(storage.site, actor, MODEL, RepoName(str(actor.name), f"m{n}"))
        files.store_plain(storage.site, actor, made.id, os.urandom(SIZE + n))
    before = {name: used(storage, name) for name in ("ada", "bob")}
    for span in (1, 2, 3, 2000):
        monkeypatch.setattr(recount, "SPAN", span)
        assert storage.site.db.read(recount.find_differences) == []
        storage.site.db.write(lambda tx: tx.execute(update(account_usage).values(public_bytes=7)))
        storage.site.db.write(lambda tx: tx.execute(delete(repository_usage)))
        storage.site.db.write(lambda tx: tx.execute(delete(pull_usage)))
        found = storage.site.db.read(recount.find_differences)
        assert len(found) == 7
        assert storage.site.db.write(recount.repair) == 7
        assert {name: used(storage, name) for name in before} == before


def test_counters_that_went_wrong_are_found_and_put_right(storage: Storage) -> None:
    from sqlalchemy import update

    from headwater.hub.tables.quotas import account_usage, repository_usage

    ada = storage.person("ada")
    made = repos.create_repository(storage.site, ada, MODEL, RepoName("ada", "m"))
    files.store_plain(storage.site, ada, made.id, os.urandom(SIZE))
    before = used(storage, "ada")
    storage.site.db.write(lambda tx: tx.execute(update(account_usage).values(public_bytes=7, n_repositories=0)))
    storage.site.db.write(lambda tx: tx.execute(update(repository_usage).values(file_bytes=5)))
    assert len(storage.site.db.read(recount.find_differences)) == 2
    assert storage.site.db.write(recount.repair) == 2
    assert storage.site.db.read(recount.find_differences) == []
    assert used(storage, "ada") == before
