"""What holds for every write transaction: no input or output in it but SQL, and the record's entries last.

Both are watched from outside, while the hub's own services do their acts.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from headwater import accounts
from headwater.accounts.models import Role
from headwater.accounts.service import organisations
from headwater.db import Database, Tx
from headwater.db.prepared import Prepared
from headwater.hub import collector, files, repos
from headwater.hub.community import discussions, likes, pulls
from headwater.hub.community.models import Status
from headwater.hub.content import refs
from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Deleted, Draft, InlineFile, LargeFile
from headwater.hub.content.large_files import delete_large_files
from headwater.hub.git.collector import collect as collect_packs
from headwater.hub.git.collector import merge_packs, prune_repository
from headwater.hub.git.lastchanged import build_last_changed
from headwater.hub.jobs import HANDLERS, INDEX_REPOSITORY
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.xet import ingest
from headwater.hub.xet.models import CasGrant
from headwater.kernel import SYSTEM, Actor, Sha256, utcnow
from headwater.web import Site
from tests.storage import built_site
from tests.xet.making import Body, MadeXorb, make_shard

MODEL = RepoKind.MODEL
RECORD = {"entry", "entry_secret", "tombstone_entry", "pending_entry"}
IN_AND_OUT = (
    "open", "socket.connect", "socket.bind", "subprocess.Popen", "os.rename", "os.remove", "os.mkdir", "os.rmdir",
    "os.link", "os.listdir", "os.scandir", "os.truncate", "os.utime", "os.posix_spawn", "os.fork", "shutil.copyfile",
)  # fmt: skip

_watching: list[tuple[Database, list[str]]] = []


def _hear(event: str, args: tuple[Any, ...]) -> None:
    if _watching and event in IN_AND_OUT:
        db, heard = _watching[0]
        if db.writing_thread:
            heard.append(f"{event} {args[:1]}")


sys.addaudithook(_hear)  # cannot be taken back, so it is made once and hears nothing but inside ``heard_in_writes``


@contextmanager
def heard_in_writes(db: Database) -> Iterator[list[str]]:
    heard: list[str] = []
    _watching.append((db, heard))
    try:
        yield heard
    finally:
        _watching.pop()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with built_site(tmp_path / "data") as made:
        yield made


def one_of_each(site: Site, mark: str) -> None:
    """The acts that others rely on, each at least once; ``mark`` keeps two rounds apart."""
    db, now = site.db, utcnow()
    people = {}
    for name in (f"ada{mark}", f"bob{mark}"):
        made = db.write(accounts.create_person, SYSTEM, name, password_hash=None, now=now)
        people[name] = Actor(made.id, made.name)
    ada, bob = people.values()
    db.write(organisations.create_organisation, SYSTEM, f"lab{mark}", owner=ada.name, now=now)
    db.write(organisations.set_role, SYSTEM, f"lab{mark}", bob.name, Role.WRITE, now=now)
    db.write(organisations.remove_member, SYSTEM, f"lab{mark}", bob.name, now=now)

    name = RepoName(ada.name, "river")
    repo = repos.create_repository(site, ada, MODEL, name, is_private=True)
    db.write(repos.change_settings, ada, MODEL, name, repos.Settings(is_private=False), now=now)
    db.write(repos.set_disabled, SYSTEM, MODEL, name, is_disabled=True, now=now)
    db.write(repos.set_disabled, SYSTEM, MODEL, name, is_disabled=False, now=now)

    def commit(actor: Actor, *changes: Any, to: str = "main", as_pull: bool = False) -> int | None:
        return commit_draft(
            site, actor, MODEL, name, to, Draft("change", "", None, list(changes)), as_pull=as_pull
        ).pull

    weights = mark.encode() * 1000
    sent = files.store_plain(site, ada, repo.id, weights)
    commit(ada, InlineFile("README.md", b"# River"), LargeFile("w.bin", sent, len(weights)))
    commit(ada, InlineFile("noise", os.urandom(200_000)))
    xorb = MadeXorb([mark.encode() * 100, b"second" * 100])
    grant, data = CasGrant(ada, repo.id, accounts.Action.WRITE), b"".join(xorb.chunks)
    digest = Sha256(hashlib.sha256(data).hexdigest())
    ingest.accept_xorb(site, grant, xorb.name, Body(xorb.body))
    shard = ingest.check_shard(site, grant, make_shard([([(xorb, 0, 2)], digest)]))
    ingest.finish_shard(site, grant, shard, lambda _: None)
    commit(ada, LargeFile("x.bin", digest, len(data)))

    refs.create_branch(site, ada, MODEL, name, "side")
    refs.create_tag(site, ada, MODEL, name, "v1", message="first")
    commit(ada, InlineFile("s", b"1"), to="side")
    refs.delete_branch(site, ada, MODEL, name, "side")

    num = commit(bob, InlineFile("idea", b"better"), as_pull=True)
    db.write(discussions.add_comment, bob, MODEL, name, num, "Please.", now=now)
    pulls.merge_pull_request(site, ada, MODEL, name, num, comment="Thanks.", now=now)
    _, talk = db.write(discussions.open_discussion, bob, MODEL, name, title="What is it", body="?", now=now)
    db.write(discussions.rename_discussion, bob, MODEL, name, talk.num, "What it is", now=now)
    db.write(discussions.change_status, bob, MODEL, name, talk.num, Status.CLOSED.value, now=now)
    db.write(likes.like, bob, MODEL, name, now=now)

    delete_large_files(site, ada, MODEL, name, [sent], rewrite_history=True)
    repos.duplicate_repository(site, ada, MODEL, name, RepoName(ada.name, "copy"))
    merge_packs(site, {"repo_id": repo.id})
    prune_repository(site, ada, repo.id)
    build_last_changed(site, {"repo_id": repo.id})
    HANDLERS[INDEX_REPOSITORY](site, {"repo_id": repo.id})
    commit(ada, Deleted("noise", is_folder=False))
    refs.squash_branch(site, ada, MODEL, name, "main")
    collect_packs(site)
    db.write(repos.move_repository, ada, MODEL, name, RepoName(ada.name, "stream"), now=now)
    db.write(repos.delete_repository, ada, MODEL, RepoName(ada.name, "stream"), now=now)


def test_nothing_is_read_or_written_inside_a_transaction_but_sql(site: Site) -> None:
    one_of_each(site, "first")  # imports what is imported late
    for day in range(12):
        collector.collect(site, now=utcnow() + timedelta(days=day))
    with heard_in_writes(site.db) as heard:
        one_of_each(site, "second")
        for day in range(12, 24):
            collector.collect(site, now=utcnow() + timedelta(days=day))
    assert heard == []


def test_the_watch_hears_a_file_that_is_opened_inside(site: Site) -> None:
    with heard_in_writes(site.db) as heard:
        site.db.write(lambda _: Path(__file__).read_bytes())
        Path(__file__).read_bytes()
    assert len(heard) == 1
    assert heard[0].startswith("open")


def test_entries_of_the_record_are_the_last_that_a_transaction_writes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: dict[int, list[str]] = {}
    kept: list[Tx] = []  # so that no number stands for two transactions
    execute = Tx.execute

    def watched(tx: Tx, *args: Any, **kwargs: Any) -> Any:
        statement = args[0]._statement if isinstance(args[0], Prepared) else args[0]
        if tx.writable and getattr(statement, "is_dml", False):
            if id(tx) not in written:
                kept.append(tx)
            written.setdefault(id(tx), []).append(statement.table.name)
        return execute(tx, *args, **kwargs)

    monkeypatch.setattr(Tx, "execute", watched)
    one_of_each(site, "only")
    recorded = [tables for tables in written.values() if RECORD.intersection(tables)]
    assert len(recorded) > 20
    for tables in recorded:
        first = min(tables.index(table) for table in RECORD.intersection(tables))
        assert set(tables[first:]) <= RECORD, tables
        assert tables[-1] == "pending_entry"
