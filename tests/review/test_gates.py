"""What lies behind a repository's gate is shown by no page of those who have not passed it."""

from __future__ import annotations

import httpx
import pytest
from huggingface_hub import CommitOperationAdd

from tests.conftest import LiveApp

INSIDE = "Kept behind the gate"


@pytest.fixture(scope="module")
def gated(live_app: LiveApp) -> tuple[str, str]:
    """Two commits of a gated repository, and a pull request with a third."""
    bob = live_app.hf("bob")
    bob.create_repo("bob/gated-pages")
    text = INSIDE.encode()
    first = bob.create_commit(
        "bob/gated-pages",
        [CommitOperationAdd("a.txt", text), CommitOperationAdd("sub/README.md", text)],
        commit_message="first",
    )
    second = bob.create_commit("bob/gated-pages", [CommitOperationAdd("a.txt", text + b" 2")], commit_message="second")
    bob.create_commit(
        "bob/gated-pages", [CommitOperationAdd("a.txt", text + b" 3")], commit_message="third", create_pr=True
    )
    bob.update_repo_settings("bob/gated-pages", gated="manual")
    return first.oid, second.oid


PAGES = [
    "/bob/gated-pages",
    "/bob/gated-pages/tree/main/sub",
    "/bob/gated-pages/blob/main/a.txt",
    "/bob/gated-pages/raw/main/a.txt",
    "/bob/gated-pages/resolve/main/a.txt",
    "/bob/gated-pages/commit/{second}",
    "/bob/gated-pages/compare/{first}..{second}",
    "/bob/gated-pages/compare/main..refs%2Fpr%2F1",
    "/bob/gated-pages/edit/main/a.txt",
    "/bob/gated-pages/delete/main/a.txt",
    "/bob/gated-pages/discussions/1",
    "/bob/gated-pages/discussions/1/files",
    "/api/models/bob/gated-pages/discussions/1?diff=1",
    "/api/models/bob/gated-pages/tree/main?recursive=1&expand=1",
]


@pytest.mark.parametrize("who", [None, "eve"])
@pytest.mark.parametrize("page", PAGES)
def test_no_page_shows_what_lies_behind_the_gate(live_app: LiveApp, gated: tuple[str, str], page: str, who: str | None):
    headers = {} if who is None else {"Authorization": f"Bearer {live_app.token(who)}"}
    address = live_app.url + page.format(first=gated[0], second=gated[1])
    answer = httpx.get(address, headers={**headers, "Accept": "text/html"})
    assert answer.status_code < 500
    assert INSIDE not in answer.text


def test_those_inside_see_differences(live_app: LiveApp, gated: tuple[str, str]):
    headers = {"Authorization": f"Bearer {live_app.token('bob')}"}
    for page in ("commit/{second}", "compare/{first}..{second}", "tree/main/sub"):
        address = f"{live_app.url}/bob/gated-pages/{page.format(first=gated[0], second=gated[1])}"
        assert INSIDE in httpx.get(address, headers=headers).text
