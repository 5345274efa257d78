"""The page of secrets that pushes were refused for."""

from __future__ import annotations

import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import HfHubHTTPError

from tests.conftest import wait_for
from tests.git.live import make_repo
from tests.pages.conftest import Pages
from tests.pages.test_browser import Browse, look, watched
from tests.pages.test_writing import send

KEY = "AKIA" + "QWERTYUIOPASDFGH"


def test_an_owner_reads_why_and_lets_it_in(pages: Pages) -> None:
    make_repo(pages.app, "ada/page-secrets")
    hf = pages.app.hf("ada")
    operation = [CommitOperationAdd("a/run.py", f"\nKEY = '{KEY}'\n".encode())]
    with pytest.raises(HfHubHTTPError):
        hf.create_commit("ada/page-secrets", operation, commit_message="x")
    at = "/ada/page-secrets/settings/secrets"
    with pages.client("ada") as ada, pages.client("bob") as bob, pages.client() as stranger:
        assert "a/run.py, line 2" in ada.get(at).text
        assert KEY not in ada.get(at).text
        assert bob.get(at).status_code == 403
        assert stranger.get(at).status_code in (303, 401)
        mark = ada.get(at).text.partition('name="mark" value="')[2][:32]
        assert send(ada, at, mark=mark, reason="short").status_code == 400
        assert send(ada, at, mark=mark, reason="made up for a test").status_code == 303
        assert "made up for a test" in ada.get(at).text
    hf.create_commit("ada/page-secrets", operation, commit_message="x")


@pytest.mark.browser
@pytest.mark.parametrize(("language", "theme", "width"), [("en", "light", 1280), ("zh-CN", "dark", 390)])
def test_its_page_and_that_of_conversions_stand_in_every_window(
    pages: Pages, browse: Browse, language: str, theme: str, width: int
) -> None:
    name = f"ada/page-seen-{width}"
    make_repo(pages.app, name)
    hf = pages.app.hf("ada")
    with pytest.raises(HfHubHTTPError):
        hf.create_commit(name, [CommitOperationAdd("a/rather/long/path/to/run.py", KEY.encode())], commit_message="x")
    hf.create_commit(name, [CommitOperationAdd("weights.pt", b"\x80\x02}.")], commit_message="x")
    with pages.client("ada") as ada:
        assert send(ada, f"/{name}/convert", "/new/model", path="weights.pt").status_code == 303
        wait_for(lambda: "waiting" not in ada.get(f"/{name}/convert").text, what="the conversion")
    page = browse("ada", language=language, theme=theme, width=width).new_page()
    problems = watched(page, pages.url)
    for path in ("settings/secrets", "convert", "blob/main/weights.pt"):
        look(page, pages.url, f"/{name}/{path}", problems)
