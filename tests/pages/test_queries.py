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
from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Draft, InlineFile
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.pages import files, history, home, listing, record, refs, repository
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
    return len(statements)


def request(address: str, /, **values: str) -> Request:
    scope = {
        "type": "http",
        "method": "GET",
        "path": address,
        "query_string": b"",
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
    ):
        assert dataclasses.is_dataclass(module)
        assert module.__dataclass_params__.frozen
