"""What forms do: create, edit, delete, branch, tag, like, hide, gate, rename, and what is refused beside its form."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.conftest import wait_for
from tests.pages.conftest import GATED, MODEL, Pages


def word(client: httpx.Client, path: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', client.get(path).text)
    assert found, path
    return found[1]


def send(client: httpx.Client, path: str, page: str | None = None, /, **fields: str) -> httpx.Response:
    """Post a form as the page at ``page`` would."""
    return client.post(path, data={"csrf": word(client, page or path), **fields})


def send_file(client: httpx.Client, path: str, page: str, /, **fields: str) -> httpx.Response:
    """As the editor's form, which is multipart."""
    values = {"csrf": word(client, page), **fields}
    origin = str(client.base_url).rstrip("/")
    return client.post(
        path, files=[(name, (None, value)) for name, value in values.items()], headers={"Origin": origin}
    )


def test_a_repository_from_its_form_to_its_end(pages: Pages) -> None:
    pages.sign_in_anew("ada")
    with pages.client("ada") as ada, pages.client() as stranger:
        made = send(ada, "/new/model", owner="ada", name="by-form", licence="mit", visibility="private")
        assert (made.status_code, made.headers["location"]) == (303, "/ada/by-form")
        html = ada.get("/ada/by-form").text
        assert "mit" in html
        assert "private" in html
        assert stranger.get("/ada/by-form").status_code == 404
        taken = send(ada, "/new/model", owner="ada", name="by-form", visibility="public")
        assert taken.status_code == 409
        assert 'value="by-form"' in taken.text
        bad = send(ada, "/new/model", owner="ada", name="no/slashes here", visibility="public")
        assert bad.status_code == 400
        page = "/ada/by-form/settings"
        assert send(ada, page, act="visibility", visibility="public").headers["location"] == page
        assert "The visibility was changed." in ada.get(page).text
        assert "The visibility was changed." not in ada.get(page).text
        assert stranger.get("/ada/by-form").status_code == 200
        moved = send(ada, page, act="move", owner="lab", name="by-form-2")
        assert moved.headers["location"] == "/lab/by-form-2/settings"
        assert stranger.get("/ada/by-form").headers["location"] == "/lab/by-form-2"
        refused = send(ada, "/lab/by-form-2/settings", act="delete", confirm="by-form-2")
        assert refused.status_code == 400
        assert "Type lab/by-form-2 exactly" in refused.text
        gone = send(ada, "/lab/by-form-2/settings", act="delete", confirm="lab/by-form-2")
        assert gone.headers["location"] == "/lab"
        assert stranger.get("/lab/by-form-2").status_code == 404
        assert stranger.get("/ada/by-form").status_code == 404


def test_the_editor_creates_renames_and_deletes(pages: Pages) -> None:
    pages.app.hf("ada").create_repo("ada/by-editor")
    at = "/ada/by-editor"
    with pages.client("ada") as ada:
        made = send_file(
            ada, f"{at}/new/main/", f"{at}/new/main", path="docs/说明.md", text="# 标题\r\n\r\nline", title=""
        )
        assert made.status_code == 303, made.text[:800]
        assert made.headers["location"] == f"{at}/blob/main/docs/%E8%AF%B4%E6%98%8E.md"
        assert ada.get(f"{at}/raw/main/docs/说明.md").content == "# 标题\n\nline\n".encode()
        again = send_file(ada, f"{at}/new/main/", f"{at}/new/main", path="docs/说明.md", text="x")
        assert again.status_code == 400
        assert "exists already" in again.text
        edit = f"{at}/edit/main/docs/说明.md"
        found = re.search(r'name="parent" value="(\w{40})"', ada.get(edit).text)
        assert found
        moved = send_file(ada, edit, edit, path="README.md", text="# There\n", title="Move it up", parent=found[1])
        assert moved.headers["location"] == f"{at}/blob/main/README.md"
        assert ada.get(f"{at}/blob/main/docs/说明.md").status_code == 404
        late = send_file(
            ada,
            f"{at}/edit/main/README.md",
            f"{at}/edit/main/README.md",
            path="README.md",
            text="# Kept words\n",
            parent=found[1],
        )
        assert late.status_code == 412
        assert "# Kept words" in late.text
        bad = send_file(ada, f"{at}/new/main/", f"{at}/new/main", path="../x", text="")
        assert bad.status_code == 400
        deleted = send(ada, f"{at}/delete/main/README.md", title="")
        assert deleted.headers["location"] == f"{at}/tree/main"
        assert "Delete README.md" in ada.get(f"{at}/commits/main").text
        ada.cookies.set("hw_lang", "zh-CN")
        assert 'placeholder="新建 …"' in ada.get(f"{at}/new/main/").text
        send_file(ada, f"{at}/new/main/", f"{at}/new/main", path="a.txt", text="1")
        assert "新建 a.txt" in ada.get(f"{at}/commits/main").text


def test_branches_and_tags(pages: Pages) -> None:
    pages.app.hf("ada").create_repo("ada/by-refs")
    page = "/ada/by-refs/refs"
    with pages.client("ada") as ada, pages.client("bob") as bob:
        assert send(ada, page, act="create_branch", name="dev/x").status_code == 303
        assert ada.get("/ada/by-refs/tree/dev%2Fx").status_code == 200
        assert send(ada, page, act="create_tag", name="v1", start="dev/x").status_code == 303
        twice = send(ada, page, act="create_tag", name="v1")
        assert twice.status_code == 409
        assert "already exists" in twice.text
        assert send(ada, page, act="create_branch", name="a..b").status_code == 400
        assert send(ada, page, act="delete_branch", name="main").status_code in (400, 403, 409)
        assert send(ada, page, act="delete_branch", name="dev/x").status_code == 303
        assert send(ada, page, act="delete_tag", name="v1").status_code == 303
        assert "Delete" not in bob.get(page).text
        assert (
            bob.post(page, data={"csrf": word(bob, f"/{MODEL}"), "act": "create_tag", "name": "v9"}).status_code == 403
        )


def test_a_like_counts_once(pages: Pages) -> None:
    with pages.client("bob") as bob:
        for _ in range(2):
            assert send(bob, f"/{MODEL}/like", f"/{MODEL}", like="1").headers["location"] == f"/{MODEL}"
        assert re.search(r'Liked <span class="c num">1<', bob.get(f"/{MODEL}").text)
        send(bob, f"/{MODEL}/like", f"/{MODEL}", like="0")
        assert re.search(r'Like <span class="c num">0<', bob.get(f"/{MODEL}").text)


def test_access_is_asked_for_and_given(pages: Pages) -> None:
    with pages.client("bob") as bob, pages.client("ada") as ada:
        assert send(bob, f"/{GATED}/request-access", f"/{GATED}").headers["location"] == f"/{GATED}"
        assert "have not answered yet" in bob.get(f"/{GATED}").text
        page = f"/{GATED}/settings/access"
        assert ">bob<" in ada.get(page).text
        assert bob.get(page).status_code == 403
        assert send(ada, page, act="accepted", user="bob", status="pending").status_code == 303
        assert bob.get(f"/{GATED}/blob/main/.gitattributes").status_code == 200
        send(ada, page, act="rejected", user="bob", status="accepted")
        assert bob.get(f"/{GATED}/blob/main/.gitattributes").status_code == 303


@pytest.mark.parametrize("path", ["/new/model", f"/{MODEL}/settings", f"/{MODEL}/refs", f"/{MODEL}/like"])
def test_forms_of_other_sites_are_refused(pages: Pages, path: str) -> None:
    with pages.client("ada") as ada:
        good = word(ada, f"/{MODEL}/settings")
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = ada.post(path, data={"csrf": good, "act": "visibility", "visibility": "private"}, headers=headers)
            assert answer.status_code == 403
        assert ada.post(path, data={"act": "visibility", "visibility": "private"}).status_code == 403
    with pages.client() as stranger:
        assert stranger.get(f"/{MODEL}").status_code == 200


def test_another_branch_becomes_the_default(pages: Pages, tmp_path: Path) -> None:
    hf, name = pages.app.hf("ada"), "ada/by-branch"
    hf.create_repo(name)
    hf.create_branch(name, branch="dev/next")
    made = hf.upload_file(
        path_or_fileobj=b"# On the other branch\n", path_in_repo="README.md", repo_id=name, revision="dev/next"
    )
    clone = ["git", "clone", "--quiet", f"{pages.url}/{name}"]
    subprocess.run([*clone, tmp_path / "before"], check=True)
    assert not (tmp_path / "before" / "README.md").exists()
    page = f"/{name}/settings"
    with pages.client("ada") as ada, pages.client("bob") as bob:
        refused = send(ada, page, act="branch", branch="nowhere")
        assert refused.status_code == 400
        assert "one of the repository&#39;s branches" in refused.text
        assert '<option selected="">dev/next' not in ada.get(page).text
        assert send(ada, page, act="branch", branch="dev/next").headers["location"] == page
        assert "<option selected>dev/next</option>" in ada.get(page).text
        assert "On the other branch" in ada.get(f"/{name}").text
        assert bob.get(page).status_code == 403
        assert send(ada, f"/{name}/refs", act="delete_branch", name="dev/next").status_code in (400, 403, 409)
        assert send(ada, f"/{name}/refs", act="delete_branch", name="main").status_code == 303
    subprocess.run([*clone, tmp_path / "after"], check=True)
    assert (tmp_path / "after" / "README.md").read_text() == "# On the other branch\n"
    head = subprocess.run(
        ["git", "symbolic-ref", "HEAD"], cwd=tmp_path / "after", check=True, capture_output=True, text=True
    )
    assert head.stdout.strip() == "refs/heads/dev/next"
    wait_for(lambda: hf.model_info(name).sha == made.oid, what="the head that the API tells")


def test_what_only_a_pull_request_reaches_is_marked(pages: Pages) -> None:
    hf, name = pages.app.hf("ada"), "ada/by-strangers"
    hf.create_repo(name)
    first = hf.list_repo_commits(name)[0].commit_id
    hf.upload_file(path_or_fileobj=b"two", path_in_repo="two.txt", repo_id=name)
    proposed = pages.app.hf("bob").upload_file(
        path_or_fileobj=b"from a stranger", path_in_repo="new.txt", repo_id=name, create_pr=True
    )
    mark = "x-headwater-revision"
    with pages.client() as stranger:
        for revision, path in (("main", "two.txt"), (first, ".gitattributes")):
            answer = stranger.get(f"/{name}/resolve/{revision}/{path}")
            assert (answer.status_code, mark in answer.headers) == (200, False)
            assert "not on any branch" not in stranger.get(f"/{name}/blob/{revision}/{path}").text
        answer = stranger.get(f"/{name}/resolve/{proposed.oid}/new.txt")
        assert (answer.text, answer.headers[mark]) == ("from a stranger", "not on any branch")
        for view in ("blob/{}/new.txt", "tree/{}", "commits/{}", "commit/{}"):
            html = stranger.get(f"/{name}/{view.format(proposed.oid)}").text
            assert "on no branch" in html or "not on any branch" in html, view
    hf.merge_pull_request(name, proposed.pr_num)
    with pages.client() as stranger:
        assert stranger.get(f"/{name}/resolve/main/new.txt").text == "from a stranger"
