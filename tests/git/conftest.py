"""A real site in a temporary folder, one person, and repositories made by the real service."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from headwater.accounts.tables import account
from headwater.hub.git import GitStore, RefMove, build_commit, publish
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.repos import service as repos
from headwater.kernel import AccountId, Actor, utcnow
from headwater.web import Site
from tests import growth

AUTHOR = {"author_name": "Ada", "author_email": "ada@example.org"}
START = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def site(tmp_path: Path):
    db = growth.new_database(tmp_path / "data")
    blobs = growth.blobs_of(tmp_path / "data")
    made = Site(tmp_path / "data", db, blobs, "http://localhost", b"s" * 32)
    made.add_part(GitStore(db, blobs, tmp_path / "data/cache/git"))
    yield made
    db.close()


@pytest.fixture
def ada(site: Site) -> Actor:
    def add(tx):
        row = {"kind": "person", "name": "ada", "name_key": "ada", "is_site_admin": False, "created_at": utcnow()}
        return tx.execute(insert(account).values(row)).inserted_primary_key[0]

    return Actor(AccountId(site.db.write(add)), "ada")


@pytest.fixture
def repo(site: Site, ada: Actor) -> Repository:
    return repos.create_repository(site, ada, RepoKind.MODEL, RepoName("ada", "m"))


class Work:
    """Commits through the service, one second apart."""

    def __init__(self, site: Site, actor: Actor, repo: Repository) -> None:
        self.site, self.actor, self.repo = site, actor, repo
        self.store = site.part(GitStore)
        self.now = START

    def open(self):
        return self.store.open(self.repo.id)

    def commit(self, operations, branch="main", title="change", parent=None):
        ref = f"refs/heads/{branch}"
        self.now += timedelta(seconds=1)
        with self.open() as snap:
            head = snap.refs.get(ref)
            built = build_commit(snap, parent or head, operations, title=title, now=self.now, **AUTHOR)
            if built.changed:
                publish(
                    self.site,
                    self.actor,
                    self.repo.id,
                    [RefMove(ref, head, built.commit)],
                    built,
                    epoch=snap.prune_epoch,
                    now=self.now,
                )
            return built.commit

    def branch(self, name, commit):
        with self.open() as snap:
            move = RefMove(f"refs/heads/{name}", snap.refs.get(f"refs/heads/{name}"), commit)
            publish(self.site, self.actor, self.repo.id, [move], None, epoch=snap.prune_epoch, now=self.now)

    def git(self, *args: str) -> str:
        with self.open() as snap:
            return snap.run_git(*args).decode()


@pytest.fixture
def work(site: Site, ada: Actor, repo: Repository) -> Work:
    return Work(site, ada, repo)


def run(*args, cwd=None, check=True, **kwargs):
    return subprocess.run(args, cwd=cwd, check=check, capture_output=True, text=True, **kwargs)
