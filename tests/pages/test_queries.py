"""How much a page asks of the database does not depend on how much it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from starlette.requests import Request

from headwater.accounts import passwords
from headwater.accounts.service import people
from headwater.assembly import build_site, prepare_data
from headwater.hub import cards, repos
from headwater.hub.community import collections, discussions, likes, pulls, webhooks
from headwater.hub.community import people as contacts
from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Draft, InlineFile
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.pages import (
    collecting,
    files,
    history,
    home,
    hooks,
    listing,
    profile,
    record,
    refs,
    repository,
    talk,
)
from headwater.kernel import SYSTEM, Actor, utcnow
from headwater.web import Site
from tests import growth


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data = tmp_path_factory.mktemp("queries") / "data"
    settings = growth.settings_of(data)
    prepare_data(data, settings)
    found = build_site(data, settings, base_url="http://hub.example")
    found.db.write(
        people.create_person,
        SYSTEM,
        "ada",
        password_hash=passwords.hash_password("seven calm herons"),
        is_site_admin=False,
        now=utcnow(),
    )
    yield found
    found.db.close()


@pytest.fixture(scope="module")
def ada(site: Site) -> Actor:
    from headwater.accounts.service.lookup import get_account

    return Actor(account_id=site.db.read(get_account, "ada").id, name="ada")


def person(site: Site, name: str) -> Actor:
    made = site.db.write(people.create_person, SYSTEM, name, password_hash="$none", is_site_admin=False, now=utcnow())
    return Actor(account_id=made.id, name=name)


def make(site: Site, ada: Actor, name: str, n_files: int) -> Repository:
    repo = repos.create_repository(site, ada, RepoKind.MODEL, RepoName("ada", name))
    found = [InlineFile(f"f{i}.txt", b"x") for i in range(n_files)]
    card = b"---\nlicense: mit\npipeline_tag: text-generation\n---\n# A\n"
    commit_draft(
        site, ada, RepoKind.MODEL, repo.name, "main", Draft("Fill", "", None, [InlineFile("README.md", card), *found])
    )
    cards.index_now(site, repo.id)
    return repo


def count(site: Site, act: Callable[[], Any]) -> int:
    return len(asked(site, act))


def asked(site: Site, act: Callable[[], Any]) -> list[str]:
    statements: list[str] = []

    def seen(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(site.db._engine, "before_cursor_execute", seen)
    try:
        act()  # caches of git are warm afterwards
        statements.clear()
        act()
    finally:
        event.remove(site.db._engine, "before_cursor_execute", seen)
    return statements


def request(address: str, /, query: str = "", **values: str) -> Request:
    scope = {
        "type": "http",
        "method": "GET",
        "path": address,
        "query_string": query.encode(),
        "headers": [],
        "path_params": values,
    }
    return Request(scope)


def test_lists_ask_the_same_for_few_and_many(site: Site, ada: Actor) -> None:
    make(site, ada, "first", 1)
    wanted = listing.Wanted(RepoKind.MODEL, "", None, (), "", None, None)
    few_list = count(site, lambda: site.db.read(listing.load, ada, RepoKind.MODEL, wanted))
    few_home = count(site, lambda: site.db.read(home.load, ada, "http://hub.example"))
    for i in range(12):
        make(site, ada, f"more-{i}", 1)
    assert count(site, lambda: site.db.read(listing.load, ada, RepoKind.MODEL, wanted)) == few_list
    assert count(site, lambda: site.db.read(home.load, ada, "http://hub.example")) == few_home
    assert few_list <= 20
    assert few_home <= 80


@pytest.mark.parametrize(
    ("load", "most"),
    [
        (repository.load, 25),
        (files.load, 30),
        (history.load_history, 30),
        (refs.load, 25),
        (record.load, 20),
    ],
)
def test_a_repository_asks_the_same_for_few_and_many_files(site: Site, ada: Actor, load: Any, most: int) -> None:
    name = f"q-{load.__module__.rpartition('.')[2]}"
    small, large = make(site, ada, f"{name}-s", 1), make(site, ada, f"{name}-l", 60)

    def ask(repo: Repository) -> int:
        asked = request(f"/{repo.path}", ns="ada", name=repo.name.name, rev="main", path="")
        return count(site, lambda: load(site, ada, asked))

    assert ask(small) == ask(large) <= most


def test_discussions_ask_the_same_for_few_and_many(site: Site, ada: Actor) -> None:
    repo = make(site, ada, "talked-of", 1)
    where = {"ns": "ada", "name": repo.name.name}
    listed, shown = (
        request(f"/{repo.path}/discussions", **where),
        request(f"/{repo.path}/discussions/1", num="1", **where),
    )

    def open_one(actor: Actor, title: str) -> None:
        site.db.write(
            discussions.open_discussion, actor, RepoKind.MODEL, repo.name, title=title, body="Why?", now=utcnow()
        )

    def say(actor: Actor, text: str) -> None:
        site.db.write(discussions.add_comment, actor, RepoKind.MODEL, repo.name, 1, text, now=utcnow())

    def ask() -> tuple[int, int]:
        return (
            count(site, lambda: site.db.read(talk.load_list, ada, listed)),
            count(site, lambda: talk.load_talk(site, ada, shown, "talk")),
        )

    open_one(ada, "the first")
    for name in ("asker", "knower"):  # one person alone may be known already
        stranger = person(site, name)
        open_one(stranger, "the second")
        say(stranger, "So it is.")
    few = ask()
    for i in range(8):
        other = person(site, f"talker-{i}")
        open_one(other, f"another, {i}")
        say(other, f"I think so, too, {i}.")
        say(other, f"And more, {i}.")
    assert ask() == few
    assert max(few) <= 25


@pytest.mark.parametrize("view", ["talk", "files"])
def test_a_pull_request_asks_the_same_for_few_and_many_commits(site: Site, ada: Actor, view: str) -> None:
    repo = make(site, ada, f"pulled-{view}", 1)
    opening = {"title": "Something better", "body": "", "now": utcnow()}
    _, made = site.db.write(pulls.open_pull_request, ada, RepoKind.MODEL, repo.name, **opening)
    shown = request(f"/{repo.path}/discussions/1", ns="ada", name=repo.name.name, num="1")

    def add(number: int) -> None:
        draft = Draft(f"Change {number}", "", None, [InlineFile(f"new-{number}.txt", b"y")])
        commit_draft(site, ada, RepoKind.MODEL, repo.name, f"refs/pr/{made.num}", draft)

    def ask() -> int:
        return count(site, lambda: talk.load_talk(site, ada, shown, view))

    add(0)
    few = ask()
    for number in range(1, 8):
        add(number)
    assert ask() == few <= 30


def test_collections_profiles_and_webhooks_ask_the_same_for_few_and_many(site: Site) -> None:
    cleo = person(site, "cleo")

    def add(number: int) -> str:
        repo = repos.create_repository(site, cleo, RepoKind.MODEL, RepoName("cleo", f"own-{number}"))
        fan = person(site, f"fan-{number}")
        site.db.write(contacts.follow, fan, "cleo", now=utcnow())
        site.db.write(contacts.follow, cleo, fan.name, now=utcnow())
        site.db.write(likes.like, cleo, RepoKind.MODEL, repo.name, now=utcnow())
        begun = {"title": f"Talk {number}", "body": "", "now": utcnow()}
        site.db.write(discussions.open_discussion, cleo, RepoKind.MODEL, repo.name, **begun)
        made = site.db.write(collections.create_collection, cleo, title=f"Fine things {number}", now=utcnow())
        for slug in {made.collection.slug, first or made.collection.slug}:
            item = {"kind": "model", "item_id": str(repo.name), "now": utcnow()}
            site.db.write(collections.add_item, cleo, slug, **item)
        fields = webhooks.WebhookFields(url=f"https://example.org/{number}", watched=(("model", str(repo.name)),))
        site.db.write(webhooks.create_webhook, cleo, fields, now=utcnow())
        return made.collection.slug

    def ask() -> dict[str, int]:
        tabs = {
            f"profile {tab}": (profile.load, request("/cleo", f"tab={tab}", ns="cleo"))
            for tab in ("overview", "models", "collections", "likes", "activity", "people")
        }
        loads = {
            **tabs,
            "collections": (collecting.load_list, request("/collections")),
            "collection": (collecting.load_one, request(f"/collections/{first}", ns="cleo", slug=first.split("/")[1])),
        }
        found = {
            what: count(site, lambda load=load, asked=asked: site.db.read(load, cleo, asked))
            for what, (load, asked) in loads.items()
        }
        found["webhooks"] = count(site, lambda: site.db.read(hooks.load_list, cleo, hooks.EMPTY, None))
        return found

    first = ""
    first = add(0)
    add(1)  # one person alone may be known already
    few = ask()
    for number in range(2, 7):
        add(number)
    assert ask() == few
    assert max(few.values()) <= 30


def test_the_page_knows_no_data_but_its_own(tmp_path: Path) -> None:
    """Pages are frozen dataclasses: a template gets nothing that could ask for more."""
    import dataclasses

    for module in (
        repository.RepositoryPage,
        files.TreePage,
        history.CommitPage,
        refs.RefsPage,
        record.RecordPage,
        listing.ListPage,
        home.HomePage,
        talk.TalkListPage,
        talk.TalkPage,
        collecting.CollectionPage,
        profile.ProfilePage,
        hooks.WebhooksPage,
    ):
        assert dataclasses.is_dataclass(module)
        assert module.__dataclass_params__.frozen


def test_a_list_of_discussions_counts_them_once(site: Site, ada: Actor) -> None:
    repo = make(site, ada, "talked-about", 1)
    wanted = request(f"/{repo.path}/discussions", ns="ada", name=repo.name.name)
    statements = asked(site, lambda: site.db.read(talk.load_list, ada, wanted))
    assert len([each for each in statements if "GROUP BY discussion" in each]) == 1
