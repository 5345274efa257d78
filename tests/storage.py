"""A site without a server: real database, real folder, people and repositories put straight into their tables."""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import insert

from headwater.accounts import ensure_identity
from headwater.accounts.tables import account
from headwater.assembly import build_site, prepare_data
from headwater.db import Tx
from headwater.hub import quotas
from headwater.hub.tables.repositories import repository, repository_name
from headwater.kernel import AccountId, Actor, RepoId, utcnow
from headwater.ledger import ensure_log_key
from headwater.web import Site
from tests import growth


@dataclass
class Storage:
    site: Site
    people: dict[str, Actor] = field(default_factory=dict)

    def person(self, name: str) -> Actor:
        if name not in self.people:
            self.people[name] = Actor(AccountId(self.site.db.write(_add_account, name)), name)
        return self.people[name]

    def repo(self, owner: str, name: str, *, private: bool = False, gated: str = "", kind: str = "model") -> RepoId:
        owner_id = self.person(owner).account_id
        return RepoId(self.site.db.write(_add_repo, owner, owner_id, name, private=private, gated=gated, kind=kind))

    def files_left(self) -> list[str]:
        """Every object, and what lies in the working folder."""
        keys = {found.key for found in self.site.blobs.iter_keys("")}
        return sorted(keys | {f"tmp/{path.name}" for path in self.site.blobs.tmp.iterdir()})


@functools.cache
def _template() -> Path:
    """An empty site, made once a process: its schema takes longer than most tests."""
    folder = Path(tempfile.mkdtemp(prefix="headwater-empty-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    prepare_data(folder / "data")
    return folder / "data"


def make_storage(data_dir: Path, *, hub: bool = False) -> Storage:
    """``hub``: with what commits and pages need as well; end it by ``site.close()`` then."""
    shutil.copytree(_template(), data_dir)
    site = Site(
        data_dir=data_dir,
        db=growth.new_database(data_dir),
        blobs=growth.blobs_of(data_dir),
        base_url="http://127.0.0.1:1",
        secret=(data_dir / "secret").read_bytes(),
        settings=growth.settings_of(data_dir),
    )
    if growth.ON_GROWTH:  # on one machine the template has them
        identity = site.db.write(ensure_identity, secret=site.secret)
        ensure_log_key(site.db, data_dir, identity.id)
    if hub:
        from headwater.hub import install

        install(site)
    return Storage(site)


@contextlib.contextmanager
def built_site(data_dir: Path) -> Iterator[Site]:
    """A new site put together as the server does it, on whatever the tests are run on."""
    settings = growth.settings_of(data_dir)
    prepare_data(data_dir, settings)
    made = build_site(data_dir, settings, base_url="http://hub.test")
    yield made
    made.close()


def _add_account(tx: Tx, name: str) -> int:
    values = {"kind": "person", "name": name, "name_key": name.casefold(), "created_at": utcnow()}
    return tx.execute(insert(account).values(values)).inserted_primary_key[0]


def _add_repo(tx: Tx, owner: str, owner_id: int, name: str, *, private: bool, gated: str, kind: str) -> int:
    now = utcnow()
    values = {
        "kind": kind,
        "owner_id": owner_id,
        "namespace": owner,
        "name": name,
        "is_private": private,
        "gated": gated,
        "created_by": owner_id,
        "created_at": now,
        "updated_at": now,
    }
    repo_id = tx.execute(insert(repository).values(values)).inserted_primary_key[0]
    quotas.open_repository(tx, repo_id, AccountId(owner_id), is_private=private)
    key = f"{owner}/{name}".casefold()
    tx.execute(insert(repository_name).values(kind=kind, name_key=key, repo_id=repo_id, state="current"))
    return repo_id
