"""Comments on PostgreSQL (and merges, commits and pictures beside them), which wait for those of their own discussion alone, and what must hold all the same."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from headwater.accounts import Action
from headwater.assembly import build_site, prepare_data
from headwater.db import Database, DatabaseSettings, Tx, open_database, row_locked
from headwater.hub.access import get_repository
from headwater.hub.community import attachments, discussions, pulls
from headwater.hub.community.errors import LimitReached, StatusRefused
from headwater.hub.community.models import Discussion, Status
from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Draft, InlineFile
from headwater.hub.content.refs import create_branch
from headwater.hub.git import GitStore
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.tables.attachments import attachment, attachment_use
from headwater.hub.tables.community import discussion, discussion_event
from headwater.kernel import SYSTEM, Actor, Settings, utcnow
from headwater.ledger.tables import entry
from tests.community.conftest import NOW, World
from tests.community.test_attachments import keep
from tests.conftest import LiveApp, wait_for
from tests.servers.postgres import cluster

MODEL, RIVER = RepoKind.MODEL, RepoName("ada", "river")
_number = itertools.count(1)


@pytest.fixture
def url() -> str:
    name = f"talk_{next(_number)}"
    cluster().sql(f"create database {name}")
    return cluster().url_of(name)


@pytest.fixture
def world(tmp_path: Path, url: str) -> Iterator[World]:
    settings = Settings([DatabaseSettings(url=url)])
    prepare_data(tmp_path, settings)
    made = World(build_site(tmp_path, settings, base_url="http://hub.test"))
    ada = made.person("ada")
    made.repo(str(RIVER))
    made.site.db.write(discussions.open_discussion, ada, MODEL, RIVER, title="So far", body="What?", now=NOW)
    yield made
    made.site.close()


class Paused:
    """An act that stands still before it commits, until ``let_go``."""

    def __init__(self, pool: ThreadPoolExecutor, db: Database, act, *args, **kwargs) -> None:
        inside, self._on = threading.Event(), threading.Event()

        def run(tx: Tx) -> object:
            found = act(tx, *args, **kwargs)
            inside.set()
            assert self._on.wait(30)
            return found

        is_beside = getattr(act, "is_row_locked", False)
        self._running: Future[object] = pool.submit(db.write, row_locked(run) if is_beside else run)
        assert inside.wait(20)

    def let_go(self) -> object:
        self._on.set()
        return self._running.result(20)


def test_a_comment_waits_for_no_other_act(tmp_path: Path, url: str):
    (tmp_path / "headwater.toml").write_text(f'[database]\nurl = "{url}"\n')
    app = LiveApp(tmp_path, options={"workers": 1})
    db = open_database(tmp_path, url)
    try:
        app.add_people()
        api = app.hf("ada")
        api.create_repo("ada/river")
        talk = api.create_discussion("ada/river", "So far")
        with ThreadPoolExecutor(1) as pool:
            turn = Paused(pool, db, lambda tx: tx.execute(text("select 1")).scalar())
            api.comment_discussion("ada/river", talk.num, "Beside it.")
            assert turn.let_go() == 1
        said = [e.content for e in api.get_discussion_details("ada/river", talk.num).events if e.type == "comment"]
        assert said[-1] == "Beside it."
    finally:
        db.close()
        assert app.stop() == 0


def comment(world: World, actor: Actor, body: str) -> None:
    world.site.db.write(discussions.add_comment, actor, MODEL, RIVER, 1, body, now=NOW)


def test_all_at_once_are_counted_and_no_more_than_fit(world: World, monkeypatch):
    monkeypatch.setattr(discussions, "MAX_EVENTS", 6)
    people = [world.person(f"guest{n}") for n in range(12)]
    with ThreadPoolExecutor(12) as pool:
        said = [pool.submit(comment, world, who, who.name) for who in people]
    refused = [each.exception() for each in said if each.exception() is not None]
    assert [type(each) for each in refused] == [LimitReached] * 7
    counted = world.site.db.read(lambda tx: tx.execute(select(discussion.c.n_events, discussion.c.n_comments)).one())
    there = world.site.db.read(lambda tx: tx.execute(select(func.count()).select_from(discussion_event)).scalar())
    assert (*counted, there) == (6, 6, 6)


def left(world: World) -> tuple[int, int]:
    """Pictures, and uses of them."""
    counts = [select(func.count()).select_from(table) for table in (attachment, attachment_use)]
    with world.site.db.reading() as tx:
        return tuple(tx.execute(query).scalar() for query in counts)


def meets_another(db: Database) -> bool:
    waiting = text("select count(*) from pg_locks where not granted and locktype in ('transactionid', 'tuple')")
    return bool(db.read(lambda tx: tx.execute(waiting).scalar()))


def test_a_picture_that_a_comment_is_just_naming_stays(world: World):
    db, ada = world.site.db, world.person("ada")
    made = keep(world, ada)
    with ThreadPoolExecutor(2) as pool:
        saying = Paused(pool, db, discussions.add_comment, ada, MODEL, RIVER, 1, attachments.path_of(made), now=NOW)
        dropping = pool.submit(db.write, attachments.drop_unused, utcnow() + timedelta(days=8))
        wait_for(lambda: meets_another(db), what="the collector at the picture")
        saying.let_go()
        assert dropping.result(20) == 0
    assert left(world) == (1, 1)


def test_a_picture_that_is_just_going_is_named_by_nobody(world: World):
    db, ada = world.site.db, world.person("ada")
    made = keep(world, ada)
    with ThreadPoolExecutor(2) as pool:
        dropping = Paused(pool, db, attachments.drop_unused, utcnow() + timedelta(days=8))
        saying = pool.submit(comment, world, ada, attachments.path_of(made))
        wait_for(lambda: meets_another(db), what="the comment at the picture")
        assert dropping.let_go() == 1
        saying.result(20)
    assert left(world) == (0, 0)


def test_a_merge_beside_comments_and_commits_is_one_merge_and_loses_none_of_them(world: World):
    """Comments and commits wait for no turn; the merge decides by rows that they write, and comes to the same end."""
    site, ada, bob, repo = world.site, world.person("ada"), world.person("bob"), world.site.db.read(found_river)
    made = site.db.write(
        lambda tx: pulls.create_pull_request(tx, bob, repo, title="A proposal", status=Status.OPEN, now=NOW)
    )
    head = world.commit(bob, repo, made.ref, {"proposed.txt": b"by bob"}, "Propose")
    people, rounds, begin = [world.person(f"guest{n}") for n in range(4)], 6, threading.Barrier(8)

    def talk(who: Actor) -> None:
        begin.wait(20)
        for n in range(rounds):
            site.db.write(discussions.add_comment, who, MODEL, RIVER, made.num, f"{who.name} says {n}", now=utcnow())

    def write(branch: str) -> None:
        begin.wait(20)
        for n in range(rounds):
            draft = Draft(f"{branch} {n}", "", None, [InlineFile(f"{branch}-{n}.txt", b"x")])
            commit_draft(site, ada, MODEL, RIVER, branch, draft)

    def merge(who: Actor) -> Discussion:
        begin.wait(20)
        return pulls.merge_pull_request(site, who, MODEL, RIVER, made.num, comment=f"by {who.name}", now=utcnow())

    create_branch(site, ada, MODEL, RIVER, "side")
    with ThreadPoolExecutor(8) as pool:
        talking = [pool.submit(talk, who) for who in people]
        writing = [pool.submit(write, branch) for branch in ("main", "side")]
        merging = [pool.submit(merge, ada) for _ in range(2)]
        for each in (*talking, *writing):
            each.result(120)
        failed = [each.exception(120) for each in merging]
    assert [type(each) for each in failed if each is not None] == [StatusRefused]  # one of two, and it is told why
    (merged,) = (each.result() for each, why in zip(merging, failed, strict=True) if why is None)
    assert merged.status is Status.MERGED

    with site.db.reading() as tx:
        query = select(discussion_event).join(discussion, discussion.c.id == discussion_event.c.discussion_id)
        events = tx.execute(query.where(discussion.c.num == made.num)).all()
        counts = select(discussion.c.n_events, discussion.c.n_comments).where(discussion.c.num == made.num)
        counted = tx.execute(counts).one()
        entries = tx.execute(select(func.count()).select_from(entry).where(entry.c.kind == "pull.merged")).scalar()
    said = [event.body for event in events if event.kind == "comment"]
    assert {f"{who.name} says {n}" for who in people for n in range(rounds)} <= set(said)
    assert len(said) == len(people) * rounds + 2  # what opened it, and what the merge said
    assert len([event for event in events if event.kind == "status-change"]) == 1
    assert (counted.n_events, counted.n_comments) == (len(events), len(said))
    assert entries == 1
    with site.part(GitStore).open(repo.id) as snap:
        assert snap.refs[made.ref] == head
        assert snap.commit_info(merged.merge_commit).parents[1] == head
        tip = snap.resolve("main")
        assert snap.merge_base(merged.merge_commit, tip) == merged.merge_commit
        there = {entry.path for entry in snap.list_tree(tip)}
        assert {"proposed.txt", *(f"main-{n}.txt" for n in range(rounds))} <= there
        assert {f"side-{n}.txt" for n in range(rounds)} <= {e.path for e in snap.list_tree(snap.resolve("side"))}
        snap.run_git("fsck", "--strict")


def found_river(tx: Tx) -> Repository:
    return get_repository(tx, SYSTEM, MODEL, RIVER, Action.READ)
