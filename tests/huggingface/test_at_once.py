"""What is answered from memory follows rights, branches and renames at once, and says what the long way says."""

from __future__ import annotations

import secrets

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete

from tests.clients import lead_to_the_store
from tests.conftest import wait_for

LARGE = bytes(range(256)) * 4000
TIMES = 6  # so often that every worker has answered, and answers again from memory


@pytest.fixture(scope="module")
def api(live_app):
    return live_app.hf("ada")


@pytest.fixture
def repo(api):
    name = api.create_repo(f"ada/at-once-{secrets.token_hex(4)}").repo_id
    api.create_commit(
        name,
        [
            CommitOperationAdd("README.md", b"---\nlicense: mit\n---\n# One\n"),
            CommitOperationAdd("config.json", b'{"model_type": "llama"}'),
            CommitOperationAdd("weights.bin", LARGE),
        ],
        commit_message="All of it",
    )
    return name


@pytest.fixture
def web(live_app):
    with httpx.Client(base_url=live_app.url, timeout=30) as client:
        yield client


def live(web: httpx.Client) -> str:
    return str(web.base_url).rstrip("/")


def facts(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """What an answer says; of one that leads to a store, with what is found there: the address is signed anew each time."""
    own = {k: v for k, v in answer.headers.items() if k not in ("date", "x-request-id")}
    if answer.status_code != 302:
        return answer.status_code, own, answer.content
    there = httpx.get(own["location"])
    assert there.headers["content-length"] == own["x-linked-size"]
    assert there.headers["content-disposition"] == own["content-disposition"]
    own["location"] = own["location"].partition("?")[0]
    return there.status_code, own, there.content


def ask_often(web, method, path, token=None):
    """All answers, which must be the same; each on a connection of its own, so that every worker answers some."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    found = [facts(httpx.request(method, live(web) + path, headers=headers, timeout=30)) for _ in range(TIMES)]
    for each in found:
        assert each == found[0]
    return found[0]


@pytest.mark.parametrize(("path", "content"), [("config.json", b'{"model_type": "llama"}'), ("weights.bin", LARGE)])
def test_a_file_is_told_the_same_from_memory(web, api, repo, path, content):
    if content is LARGE:
        assert web.get(f"/{repo}/resolve/main/{path}", follow_redirects=True).content == LARGE
        lead_to_the_store(f"{live(web)}/{repo}/resolve/main/{path}")
    status, headers, body = ask_often(web, "HEAD", f"/{repo}/resolve/main/{path}")
    assert (status, body) == (200, content if "location" in headers else b"")
    assert headers["x-repo-commit"] == api.repo_info(repo).sha
    whole = ask_often(web, "GET", f"/{repo}/resolve/main/{path}")
    assert (whole[0], whole[2]) == (200, content)
    if "location" not in headers:
        assert int(headers["content-length"]) == len(content)
    assert {**whole[1], "content-length": ""} == {**headers, "content-length": ""}
    part = web.get(f"/{repo}/resolve/main/{path}", headers={"Range": "bytes=3-9"}, follow_redirects=True)
    assert (part.status_code, part.content) == (206, content[3:10])
    assert web.get(f"/{repo}/resolve/main/{path}", headers={"If-None-Match": headers["etag"]}).status_code == 304


def test_what_is_not_there_is_told_the_same_from_memory(web, api, repo):
    status, headers, _ = ask_often(web, "GET", f"/{repo}/resolve/main/nothing.txt")
    assert (status, headers["x-error-code"]) == (404, "EntryNotFound")
    api.upload_file(path_or_fileobj=b"here now", path_in_repo="nothing.txt", repo_id=repo)
    assert ask_often(web, "GET", f"/{repo}/resolve/main/nothing.txt")[2] == b"here now"


def test_a_branch_that_moves_is_followed_and_a_commit_stays(web, api, repo):
    before = api.repo_info(repo).sha
    first = ask_often(web, "GET", f"/{repo}/resolve/main/config.json")
    api.create_commit(
        repo,
        [CommitOperationAdd("config.json", b"{}"), CommitOperationDelete("weights.bin")],
        commit_message="Another",
    )
    assert ask_often(web, "GET", f"/{repo}/resolve/main/config.json")[2] == b"{}"
    assert ask_often(web, "HEAD", f"/{repo}/resolve/main/weights.bin")[0] == 404
    assert ask_often(web, "GET", f"/{repo}/resolve/{before}/config.json")[2] == first[2]
    stays = httpx.get(f"{live(web)}/{repo}/resolve/{before}/weights.bin", follow_redirects=True)
    assert stays.content == LARGE


@pytest.mark.parametrize(
    "path",
    ["/{repo}/resolve/main/config.json", "/{repo}/resolve/main/weights.bin", "/api/models/{repo}"],
)
def test_rights_are_asked_each_time(live_app, web, api, repo, path):
    path = path.format(repo=repo)
    wait_for(lambda: "license:mit" in web.get(f"/api/models/{repo}").json()["tags"], what="the card's index")
    if path.endswith(".bin"):
        lead_to_the_store(live(web) + path)
    assert ask_often(web, "GET", path)[0] == 200
    api.update_repo_settings(repo, private=True)
    assert ask_often(web, "GET", path)[0] == 401
    assert ask_often(web, "GET", path, live_app.token("ada"))[0] == 200
    assert ask_often(web, "GET", path, live_app.token("bob"))[0] == 404
    api.update_repo_settings(repo, private=False, gated="manual")
    assert ask_often(web, "GET", path, live_app.token("bob"))[0] == (200 if path.startswith("/api") else 403)
    api.delete_repo(repo)
    assert ask_often(web, "GET", path, live_app.token("ada"))[0] == 404


def test_a_former_name_leads_on(web, api, repo):
    assert ask_often(web, "HEAD", f"/{repo}/resolve/main/config.json")[0] == 200
    api.move_repo(repo, f"{repo}-moved")
    status, headers, _ = ask_often(web, "HEAD", f"/{repo}/resolve/main/config.json")
    assert (status, headers["location"]) == (307, f"/{repo}-moved/resolve/main/config.json")
    assert ask_often(web, "GET", f"/api/models/{repo}")[0] == 307


def test_facts_of_a_repository_follow_its_card_its_files_and_its_likes(web, api, repo):
    def seen(word):
        return web.get(f"/api/models/{repo}").json()[word]

    wait_for(lambda: "license:mit" in seen("tags"), what="the card's index")
    assert ask_often(web, "GET", f"/api/models/{repo}")[0] == 200
    assert web.get(f"/api/models/{repo}", params={"blobs": "true"}).json()["siblings"][0]["size"] > 0
    assert "size" not in seen("siblings")[0]
    assert len(LARGE) < seen("usedStorage") < 2 * len(LARGE)  # once, also when the index has been brought up to date
    api.upload_file(path_or_fileobj=b"---\nlicense: apache-2.0\n---\n", path_in_repo="README.md", repo_id=repo)
    api.upload_file(path_or_fileobj=b"more", path_in_repo="more.txt", repo_id=repo)
    for _ in range(TIMES):
        assert "license:apache-2.0" in seen("tags")
        assert "more.txt" in [file["rfilename"] for file in seen("siblings")]
        assert seen("sha") == api.list_repo_commits(repo)[0].commit_id
    headers = {"Authorization": f"Bearer {api.token}"}
    httpx.post(f"{live(web)}/api/models/{repo}/like", headers=headers).raise_for_status()
    assert all(seen("likes") == 1 for _ in range(TIMES))


def test_a_head_with_conditions_is_no_plain_one(web, repo):
    address = f"/{repo}/resolve/main/config.json"
    status, headers, _ = ask_often(web, "HEAD", address)
    assert (status, headers["accept-ranges"]) == (200, "bytes")
    for _ in range(TIMES):
        part = web.head(address, headers={"Range": "bytes=3-9"})
        assert (part.status_code, part.headers["content-length"]) == (206, "7")
        assert web.head(address, headers={"If-None-Match": headers["etag"]}).status_code == 304
        assert web.head(address, params={"download": "true"}).headers["content-disposition"].startswith("attachment")
        assert web.head(address).headers["content-disposition"] == headers["content-disposition"]
    assert facts(web.head(address)) == facts(web.head(address))
