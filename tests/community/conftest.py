"""A real site in a folder of its own, with a few people and a repository, without a server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headwater import accounts
from headwater.assembly import build_site, prepare_data
from headwater.hub.git import AddFile, GitStore, RefMove, build_commit, publish
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.repos import service as repos
from headwater.kernel import SYSTEM, Actor, CommitId
from headwater.web import Site
from tests import growth

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class World:
    """What a test starts from. Everybody is called by name."""

    site: Site

    def person(self, name: str) -> Actor:
        """An account of that name, made on first use."""
        account = self.site.db.read(accounts.find_account, name)
        if account is None:
            account = self.site.db.write(accounts.create_person, SYSTEM, name, password_hash=None, now=NOW)
        return Actor(account_id=account.id, name=account.name)

    def repo(
        self, path: str, *, kind: RepoKind = RepoKind.MODEL, is_private: bool = False, gated: str = ""
    ) -> Repository:
        """``owner/name``, owned by that person."""
        name = RepoName(*path.split("/"))
        made = repos.create_repository(
            self.site, self.person(name.namespace), kind, name, is_private=is_private, now=NOW
        )
        if gated:
            made = self.site.db.write(
                repos.change_settings, self.person(name.namespace), kind, name, repos.Settings(gated=gated), now=NOW
            )
        return made

    def commit(self, actor: Actor, repo: Repository, ref: str, files: dict[str, bytes], title: str) -> CommitId:
        """Push one commit on top of ``ref``."""
        with self.site.part(GitStore).open(repo.id) as snap:
            parent = CommitId(snap.refs[ref])
            built = build_commit(
                snap,
                parent,
                [AddFile(path, data) for path, data in files.items()],
                author_name=actor.name,
                author_email="-",
                title=title,
                body="",
                now=NOW,
            )
            publish(
                self.site, actor, repo.id, [RefMove(ref, parent, built.commit)], built, epoch=snap.prune_epoch, now=NOW
            )
        return built.commit


@pytest.fixture
def world(tmp_path: Path):
    settings = growth.settings_of(tmp_path)
    prepare_data(tmp_path, settings)
    site = build_site(tmp_path, settings, base_url="http://hub.test")
    yield World(site)
    site.db.close()
