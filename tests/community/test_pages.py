"""The community's pages as a browser without JavaScript uses them: real forms, sent to a real server."""

from __future__ import annotations

import itertools
import re
from html import unescape

import httpx
import pytest
from huggingface_hub import CommitOperationAdd

from tests.conftest import PASSWORD, LiveApp

_names = itertools.count(1)


class Browser:
    """Cookies, forms and redirects; no scripts."""

    def __init__(self, url: str, name: str | None = None, language: str = "en") -> None:
        headers = {"Accept": "text/html", "Accept-Language": language}
        self.http = httpx.Client(base_url=url, follow_redirects=True, headers=headers, timeout=30)
        self.page = ""
        if name is not None:
            self.get("/login")
            fields = re.findall(r'<input[^>]* name="(\w+)"[^>]* type="(?:text|email)"', self.page)
            self.send("/login", **{fields[0]: name, "password": PASSWORD})

    def get(self, path: str, status: int = 200) -> str:
        answer = self.http.get(path)
        assert answer.status_code == status, (answer.status_code, answer.text[:2000])
        self.page, self.where = answer.text, answer.url.path
        return self.page

    def send(self, path: str, status: int = 200, **values: str | list[str]) -> str:
        """POST a form with the word that the present page carries."""
        word = re.search(r'name="csrf" value="([^"]*)"', self.page)
        answer = self.http.post(path, data={"csrf": word.group(1) if word else "", **values})
        assert answer.status_code == status, (answer.status_code, answer.text[:2000])
        self.page, self.where = answer.text, answer.url.path
        return self.page

    @property
    def text(self) -> str:
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", self.page)).split())


@pytest.fixture(scope="module")
def bob(live_app: LiveApp) -> Browser:
    return Browser(live_app.url, "bob")


@pytest.fixture(scope="module")
def ada(live_app: LiveApp) -> Browser:
    return Browser(live_app.url, "ada")


@pytest.fixture
def stranger(live_app: LiveApp) -> Browser:
    return Browser(live_app.url)


@pytest.fixture
def repo_id(live_app: LiveApp) -> str:
    return live_app.hf("ada").create_repo(f"ada/pages-{next(_names)}").repo_id


def test_a_preview_shows_the_text_and_says_nothing(live_app: LiveApp, repo_id, ada, bob):
    at = f"/{repo_id}/discussions"
    bob.get(f"{at}/new")
    bob.send(f"{at}/new", act="preview", title="", text="See **this** <script>alert(1)</script>")
    assert "<strong>this</strong>" in bob.page
    assert "<script>alert" not in bob.page
    assert "See **this**" in unescape(bob.page)  # still in the form
    assert "Nothing has been said yet" in bob.get(at)
    bob.get(f"{at}/new")
    bob.send(f"{at}/new", title="A question", text="First.")
    (comment,) = re.findall(r'<li class="comment card" id="(\w+)"', bob.page)
    bob.send(f"{at}/1", act="preview", text="*answer*")
    assert "<em>answer</em>" in bob.page.partition('id="end"')[2]
    bob.send(f"{at}/1", act="preview", comment=comment, text="*other words*")
    assert "<em>other words</em>" in bob.page.partition('id="end"')[0]
    assert "First." in ada.get(f"{at}/1")
    assert "answer</em>" not in ada.page


def test_a_conversation_by_forms_alone(live_app: LiveApp, repo_id, ada, bob, stranger):
    at = f"/{repo_id}/discussions"
    assert "Nothing has been said yet" in bob.get(at)
    bob.get(f"{at}/new")
    bob.send(f"{at}/new", status=400, title="x", text="kept while wrong")
    assert "kept while wrong" in bob.page
    bob.send(f"{at}/new", title="Is <b>this</b> safe?", text="See <script>alert(1)</script> and **bold**")
    assert bob.where == f"{at}/1"
    assert "<script>alert" not in bob.page
    assert "<b>this</b>" not in bob.page
    assert "<strong>bold</strong>" in bob.page
    ada.get(f"{at}/1")
    ada.send(f"{at}/1", act="comment", text="Quite safe")
    ada.send(f"{at}/1", act="closed", text="Done then")
    assert "closed this" in ada.text
    comment = re.search(r'name="comment" value="(\w+)"', bob.get(f"{at}/1")).group(1)
    assert "<textarea" in bob.get(f"{at}/1?edit={comment}")
    bob.send(f"{at}/1", act="edit", comment=comment, text="Changed my words")
    assert "Changed my words" in bob.page
    bob.send(f"{at}/1", act="rename", title="A better title")
    bob.send(f"{at}/1", act="hide", comment=comment)
    assert "This comment was hidden" in bob.text
    assert "Changed my words" not in bob.page
    seen = stranger.get(f"{at}/1")
    assert "A better title" in seen
    assert "Sign in to take part" in seen
    assert "Quite safe" in stranger.text
    assert "A better title" in stranger.get(f"{at}?status=closed")
    assert "A better title" not in stranger.get(at)


def test_a_pull_request_is_read_and_merged(live_app: LiveApp, repo_id, ada, bob):
    at = f"/{repo_id}/discussions"
    bob.get(f"{at}/new?pull=1")
    bob.send(f"{at}/new", title="Add a poem", text="", pull="1", base="main")
    assert "Nothing has been pushed to refs/pr/1" in bob.text
    add = [CommitOperationAdd("poem.txt", b"roses\n")]
    live_app.hf("bob").create_commit(repo_id, add, commit_message="A poem", revision="refs/pr/1")
    bob.get(f"{at}/1")
    assert "bob pushed 1 commit" in bob.text
    bob.send(f"{at}/1", act="open")
    files = bob.get(f"{at}/1/files")
    assert "poem.txt" in files
    assert "roses" in files
    ada.get(f"{at}/1")
    assert 'value="merge"' in ada.page
    ada.send(f"{at}/1", act="merge")
    assert "Merged." in ada.text
    assert "ada merged this as" in ada.text
    assert "poem.txt" in live_app.hf("ada").list_repo_files(repo_id)
    assert "roses" in ada.get(f"{at}/1/files")


def test_conflicts_are_told_and_not_merged(live_app: LiveApp, repo_id, ada):
    hf = live_app.hf("ada")
    hf.create_commit(repo_id, [CommitOperationAdd("a.txt", b"1\n")], commit_message="One", create_pr=True)
    hf.create_commit(repo_id, [CommitOperationAdd("a.txt", b"2\n")], commit_message="Two")
    ada.get(f"/{repo_id}/discussions/1")
    assert "1 file was changed on both sides" in ada.text
    ada.send(f"/{repo_id}/discussions/1", status=409, act="merge", text="what I typed")
    assert "a.txt" in ada.page
    assert "what I typed" in ada.page


def test_forms_from_elsewhere_are_refused(repo_id, ada, stranger):
    at = f"/{repo_id}/discussions"
    ada.get(f"{at}/new")
    ada.page = ""
    ada.send(f"{at}/new", status=403, title="Forged", text="")
    stranger.send(f"{at}/new", status=401, title="Forged", text="")


def test_private_things_have_no_pages_for_others(live_app: LiveApp, bob, stranger):
    hf = live_app.hf("ada")
    repo_id = hf.create_repo(f"ada/pages-{next(_names)}", private=True).repo_id
    hf.create_discussion(repo_id, "Inside")
    slug = hf.create_collection(f"Hidden {next(_names)}", private=True).slug
    for browser in (bob, stranger):
        for path in (f"/{repo_id}/discussions", f"/{repo_id}/discussions/1", f"/collections/{slug}"):
            assert "Inside" not in browser.get(path, status=404)
        assert repo_id.split("/")[1] + "<" not in browser.get("/ada")
        assert "Hidden" not in browser.get("/ada?tab=collections")


def test_profiles_show_what_may_be_seen(live_app: LiveApp, repo_id, ada, bob, stranger):
    live_app.hf("bob").create_discussion(repo_id, "Said by bob on a page")
    assert repo_id.split("/")[1] in stranger.get("/ada")
    assert repo_id.split("/")[1] in stranger.get("/ada?tab=models")
    assert "Said by bob on a page" in stranger.get("/bob?tab=activity")
    stranger.get("/nobody-of-that-name", status=404)
    assert stranger.get("/ADA")
    assert stranger.where == "/ada"
    bob.get("/ada")
    bob.send("/ada/follow", follow="1")
    assert "Following" in bob.text
    assert "bob" in stranger.get("/ada?tab=people")
    bob.send("/ada/follow", follow="0")
    assert "administers" in stranger.get("/lab?tab=people")
    avatar = stranger.http.get("/avatars/ada.svg")
    assert avatar.headers["content-type"].startswith("image/svg+xml")


def test_collections_are_made_filled_and_deleted(repo_id, ada, bob):
    ada.get("/collections/new")
    title = f"By hand {next(_names)}"
    ada.send("/collections/new", owner="ada", title=title, description="kept", visibility="public")
    at = ada.where
    ada.send(at, status=404, act="add", item="ada/no-such-thing", kind="model", note="")
    assert "ada/no-such-thing" in ada.page
    ada.send(at, act="add", item=f"https://other.example/{repo_id}", kind="model", note="mine")
    item = re.search(r'name="id" value="(\w+)"', ada.page).group(1)
    ada.send(at, act="note", id=item, note="a better note")
    assert "a better note" in bob.get(at)
    assert "Edit" not in re.findall(r'class="btn small push"[^>]*>([^<]*)', bob.page)
    bob.send(at, status=403, act="delete")
    ada.get(f"{at}?edit=1")
    ada.send(at, act="update", title=f"{title} renamed", description="", visibility="public", theme="pink")
    assert ada.where != at
    bob.get(at)
    assert bob.where == ada.where
    ada.send(ada.where, act="remove", id=item)
    assert "Nothing is in it yet" in ada.text
    ada.send(ada.where, act="delete")
    assert "The collection was deleted" in ada.text


def test_webhooks_are_kept_by_forms(ada, stranger):
    ada.get("/settings/webhooks")
    ada.send("/settings/webhooks", status=400, url="ftp://x", watched="user: ada", domains=["repo"], secret="")
    assert "ftp://x" in ada.page
    ada.send("/settings/webhooks", status=404, url="https://x.example/", watched="user: nobody-here", domains=["repo"])
    ada.send("/settings/webhooks", url="https://x.example/hook", watched="ada\norg: lab", domains=["repo"], secret="s")
    at = ada.where
    assert "Nothing was sent yet" in ada.text
    ada.send(at, act="update", url="https://x.example/new", watched="org: lab", domains=["discussion"], secret="")
    assert "https://x.example/new" in ada.page
    ada.send(at, act="disable")
    assert "Switch on" in ada.text
    ada.send(at, act="delete")
    assert "https://x.example/new" not in ada.page
    assert "/login" in str(stranger.http.get("/settings/webhooks").url)


def test_pages_speak_chinese(live_app: LiveApp, repo_id):
    reader = Browser(live_app.url, language="zh-CN")
    live_app.hf("ada").create_discussion(repo_id, "关于语料")
    assert "进行中" in reader.get(f"/{repo_id}/discussions")
    assert "参与者" in reader.get(f"/{repo_id}/discussions/1")
    assert "合集" in reader.get("/collections")
    assert "关注者" in reader.get("/ada")


def test_access_is_asked_for_where_the_public_hub_takes_it(live_app: LiveApp, repo_id):
    live_app.hf("ada").update_repo_settings(repo_id, gated="auto")
    headers = {"Authorization": f"Bearer {live_app.token('eve')}"}
    answer = httpx.post(f"{live_app.url}/{repo_id}/ask-access", headers=headers, data={"Company": "Mill"})
    assert answer.json() == {"status": "accepted"}
    live_app.hf("eve").hf_hub_download(repo_id, ".gitattributes")
