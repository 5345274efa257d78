"""Reading through the real client: trees, revisions, downloads with ranges, gates, redirects, error headers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, HfFileSystem, hf_hub_url
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.clients import lead_to_the_store
from tests.conftest import wait_for

LARGE = bytes(range(256)) * 4000


@pytest.fixture(scope="module")
def api(live_app):
    return live_app.hf("ada")


@pytest.fixture(scope="module")
def repo(api):
    name = api.create_repo("ada/Reading").repo_id
    api.create_commit(
        name,
        [
            CommitOperationAdd("config.json", b'{"model_type": "llama"}'),
            CommitOperationAdd("weights.bin", LARGE),
            CommitOperationAdd("a b/页 一.txt", "正文".encode()),
            CommitOperationAdd("a b/deep/x.txt", b"x"),
            CommitOperationAdd("page.html", b"<script>alert(1)</script>"),
            CommitOperationAdd(
                "drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
            ),
        ],
        commit_message="Fill",
    )
    return name


def get(app, path, *, user=None, method="GET", **headers):
    if user is not None:
        headers["Authorization"] = f"Bearer {app.token(user)}"
    return httpx.request(method, app.url + path, headers=headers)


def test_a_tree_lists_files_and_folders_with_their_real_sizes(api, repo):
    found = {item.path: item for item in api.list_repo_tree(repo, recursive=True, expand=True)}
    assert set(found) == {
        ".gitattributes", "a b", "a b/deep", "a b/deep/x.txt", "a b/页 一.txt", "config.json", "drawing.svg",
        "page.html", "weights.bin",
    }  # fmt: skip
    assert found["weights.bin"].size == len(LARGE)
    assert found["weights.bin"].lfs.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert found["a b/deep/x.txt"].last_commit.title == "Fill"
    assert found[".gitattributes"].last_commit.title == "initial commit"
    assert [item.path for item in api.list_repo_tree(repo, "a b")] == ["a b/deep", "a b/页 一.txt"]


def test_a_long_tree_comes_in_pages(live_app, api):
    name = api.create_repo("ada/long").repo_id
    api.create_commit(name, [CommitOperationAdd(f"f/{n:04}.txt", b"x") for n in range(1100)], commit_message="Many")
    assert len(list(api.list_repo_tree(name, recursive=True))) == 1102  # with the folder and .gitattributes
    assert len(list(api.list_repo_tree(name, "f"))) == 1100
    assert len(list(api.list_repo_tree(name, "f", expand=True))) == 1100
    first = get(live_app, f"/api/models/{name}/tree/main/f")
    assert len(first.json()) == 1000
    assert first.links["next"]["url"].startswith(f"{live_app.url}/api/models/{name}/tree/main/f?cursor=")
    whole = get(live_app, f"/api/models/{name}/tree/main?recursive=true").json()
    seen, url = [], f"/api/models/{name}/tree/main?recursive=true&limit=700"
    while url:
        answer = get(live_app, url)
        seen += answer.json()
        url = answer.links.get("next", {}).get("url", "").removeprefix(live_app.url)
    assert seen == whole


def test_paths_info_leaves_out_what_is_not_there(api, repo):
    found = api.get_paths_info(repo, ["weights.bin", "a b", "nothing", "a b/页 一.txt"], expand=True)
    assert [item.path for item in found] == ["weights.bin", "a b", "a b/页 一.txt"]
    assert found[0].last_commit.title == "Fill"


def test_history_is_newest_first(api, repo):
    commits = api.list_repo_commits(repo, formatted=True)
    assert [commit.title for commit in commits] == ["Fill", "initial commit"]
    assert commits[0].authors == ["ada"]
    assert commits[0].formatted_title == "Fill"


def test_revisions_are_branches_tags_and_short_commits(api):
    name = api.create_repo("ada/revisions").repo_id
    first = api.repo_info(name).sha
    api.create_branch(name, branch="feat/x y".replace(" ", "-"))
    api.upload_file(repo_id=name, path_or_fileobj=b"1", path_in_repo="a.txt", revision="feat/x-y")
    api.create_tag(name, tag="v1", revision="feat/x-y", tag_message="The first")
    sha = api.repo_info(name, revision="feat/x-y").sha
    assert sha != first
    for revision in ("v1", sha, sha[:7], "refs/heads/feat/x-y", "refs/tags/v1"):
        assert api.repo_info(name, revision=revision).sha == sha
        assert Path(api.hf_hub_download(name, "a.txt", revision=revision)).read_text() == "1"
    refs = api.list_repo_refs(name)
    assert {branch.name for branch in refs.branches} == {"main", "feat/x-y"}
    assert [(tag.name, tag.ref) for tag in refs.tags] == [("v1", "refs/tags/v1")]
    with pytest.raises(HfHubHTTPError, match="Reference refs/heads/main already exists"):
        api.create_branch(name, branch="main")
    with pytest.raises(HfHubHTTPError, match="Cannot delete refs/heads/main"):
        api.delete_branch(name, branch="main")
    with pytest.raises(HfHubHTTPError, match="Invalid rev id"):
        api.delete_branch(name, branch="never")
    with pytest.raises(BadRequestError):
        api.create_tag(name, tag="no good")
    api.delete_tag(name, tag="v1")
    api.delete_branch(name, branch="feat/x-y")
    with pytest.raises(RevisionNotFoundError):
        api.repo_info(name, revision="feat/x-y")


def test_a_squashed_branch_has_one_commit_and_the_same_files(api):
    name = api.create_repo("ada/squashed").repo_id
    for n in range(3):
        api.upload_file(repo_id=name, path_or_fileobj=b"%d" % n, path_in_repo=f"{n}.txt")
    api.super_squash_history(name, commit_message="All in one")
    assert [commit.title for commit in api.list_repo_commits(name)] == ["All in one"]
    assert len(api.list_repo_files(name)) == 4


def test_what_is_missing_is_told_by_header(live_app, repo):
    commit = live_app.hf("ada").repo_info(repo).sha
    missing = get(live_app, f"/{repo}/resolve/main/nothing.txt", method="HEAD")
    assert (missing.status_code, missing.headers["x-error-code"]) == (404, "EntryNotFound")
    assert missing.headers["x-repo-commit"] == commit
    api = live_app.hf(None)
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(repo, "nothing.txt")
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(repo, "nothing"))
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download(repo, "config.json", revision="never")
    with pytest.raises(RevisionNotFoundError):
        api.repo_info(repo, revision="0123456")
    with pytest.raises(RepositoryNotFoundError):
        api.hf_hub_download("ada/never-was", "config.json")


def test_head_carries_what_the_cache_needs(live_app, repo):
    api = live_app.hf("ada")
    sha = hashlib.sha256(LARGE).hexdigest()
    answer = get(live_app, f"/{repo}/resolve/main/weights.bin", method="HEAD")
    assert answer.headers["x-repo-commit"] == api.repo_info(repo).sha
    assert answer.headers["etag"] == answer.headers["x-linked-etag"] == f'"{sha}"'
    assert answer.headers["x-linked-size"] == str(len(LARGE))
    if answer.status_code == 302:  # a store has it as it is: clients take the bytes from where this leads
        answer = httpx.get(answer.headers["location"])
        assert answer.content == LARGE
    assert answer.headers["content-length"] == str(len(LARGE))
    small = get(live_app, f"/{repo}/resolve/main/config.json", method="HEAD")
    data = b'{"model_type": "llama"}'
    blob_id = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    assert small.headers["etag"] == f'"{blob_id}"'
    assert small.headers["content-length"] == str(len(data))
    assert not small.content


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-9", 206, LARGE[:10]),
        ("bytes=1023990-", 206, LARGE[1023990:]),
        ("bytes=-5", 206, LARGE[-5:]),
        ("bytes=5000000-", 416, None),
        ("lines=1-2", 200, LARGE),
    ],
)
def test_ranges_of_a_large_file(live_app, repo, asked, status, expected):
    url = f"{live_app.url}/{repo}/resolve/main/weights.bin"
    lead_to_the_store(url)
    answer = httpx.get(url, headers={"Range": asked}, follow_redirects=True)
    assert answer.status_code == status
    if expected is not None:
        assert answer.content == expected


def test_several_ranges_are_answered_and_hundreds_refused(live_app, repo):
    url = f"{live_app.url}/{repo}/resolve/main/weights.bin"
    lead_to_the_store(url)
    several = httpx.get(url, headers={"Range": "bytes=5-8,100-103"}, follow_redirects=True)
    assert several.status_code == 206
    assert several.headers["content-type"].startswith("multipart/byteranges")
    for start, end in ((5, 9), (100, 104)):
        told = f"Content-Range: bytes {start}-{end - 1}/{len(LARGE)}\r\n\r\n".encode()
        assert several.content.partition(told)[2][:4] == LARGE[start:end]
    ranges = "bytes=" + ",".join(f"{n * 10}-{n * 10}" for n in range(700))
    assert httpx.get(url, headers={"Range": ranges}, follow_redirects=True).status_code == 416


def test_what_a_stranger_wrote_is_shown_but_never_run(live_app, repo):
    page = get(live_app, f"/{repo}/resolve/main/page.html")
    assert page.headers["content-type"].startswith("text/plain")
    assert page.headers["x-content-type-options"] == "nosniff"
    svg = get(live_app, f"/{repo}/resolve/main/drawing.svg")
    assert "sandbox" in svg.headers["content-security-policy"]
    saved = get(live_app, f"/{repo}/resolve/main/config.json?download=true")
    assert saved.headers["content-disposition"].startswith("attachment")


def test_names_are_found_in_any_letter_case(live_app, api, repo):
    answer = get(live_app, "/api/models/ADA/reading")
    assert (answer.status_code, answer.headers["location"]) == (307, "/api/models/ada/Reading")
    assert api.repo_info("ADA/reading").id == repo
    assert Path(api.hf_hub_download("Ada/READING", "config.json")).read_bytes().startswith(b"{")
    api.upload_file(repo_id="aDa/rEADING", path_or_fileobj=b"c", path_in_repo="case.txt")


def test_files_of_a_gated_repository_need_a_grant(live_app, api):
    name = api.create_repo("ada/gated").repo_id
    api.upload_file(repo_id=name, path_or_fileobj=b"secret", path_in_repo="a.txt")
    api.update_repo_settings(name, gated="manual")
    stranger, bob = live_app.hf(None), live_app.hf("bob")
    assert stranger.repo_info(name).gated == "manual"
    for who, status in ((stranger, 401), (bob, 403)):
        with pytest.raises(
            GatedRepoError, match=r"Access to model ada/gated is restricted and you are not in the authorized list"
        ) as caught:
            who.hf_hub_download(name, "a.txt")
        assert caught.value.response.status_code == status
        with pytest.raises(GatedRepoError):
            who.auth_check(name)
    assert api.hf_hub_download(name, "a.txt")
    api.grant_access(name, "bob")
    bob.auth_check(name)
    assert Path(bob.hf_hub_download(name, "a.txt")).read_bytes() == b"secret"


def test_private_bytes_are_kept_nowhere(live_app, api):
    name = api.create_repo("ada/secretive", private=True).repo_id
    answer = get(live_app, f"/{name}/resolve/main/.gitattributes", user="ada")
    assert answer.headers["cache-control"] == "private, no-store"
    assert get(live_app, f"/{name}/resolve/main/.gitattributes").status_code == 401
    assert get(live_app, f"/{name}/resolve/main/.gitattributes", user="eve").status_code == 404


def test_info_gives_what_is_asked_for(live_app, api, repo):
    info = api.model_info(repo, expand=["sha", "downloads", "siblings", "usedStorage"])
    assert info.sha
    assert info.used_storage > len(LARGE)
    assert info.author is None
    assert "weights.bin" in [file.rfilename for file in info.siblings]
    answer = get(live_app, f"/api/models/{repo}?expand=nonsense")
    assert (answer.status_code, "'nonsense' is not one of" in answer.json()["error"]) == (400, True)


def test_the_file_system_reads_and_writes(live_app, api):
    name = api.create_repo("ada/fs", repo_type="dataset").repo_id
    fs = HfFileSystem(endpoint=live_app.url, token=live_app.token("ada"))
    with fs.open(f"datasets/{name}/data/一.txt", "w") as out:
        out.write("第一")
    fs.cp_file(f"datasets/{name}/data/一.txt", f"datasets/{name}/copy.txt")
    fs.invalidate_cache()
    assert sorted(fs.ls(f"datasets/{name}", detail=False)) == [
        f"datasets/{name}/.gitattributes",
        f"datasets/{name}/copy.txt",
        f"datasets/{name}/data",
    ]
    assert fs.cat(f"datasets/{name}/copy.txt") == "第一".encode()
    with fs.open(f"datasets/{name}/copy.txt", "rb") as file:
        file.seek(3)
        assert file.read() == "一".encode()
    fs.rm(f"datasets/{name}/data", recursive=True)
    fs.invalidate_cache()
    assert not fs.exists(f"datasets/{name}/data/一.txt")


def test_a_copy_of_a_repository_has_its_files_and_none_of_its_pull_requests(live_app, api, repo):
    api.create_commit(repo, [CommitOperationAdd("draft.txt", b"d")], commit_message="Draft", create_pr=True)
    made = live_app.hf("bob").duplicate_repo(repo, "bob/reading-copy")
    assert made.repo_id == "bob/reading-copy"
    assert api.repo_info("bob/reading-copy").sha == api.repo_info(repo).sha
    copied = live_app.hf("bob").hf_hub_download("bob/reading-copy", "weights.bin")
    assert Path(copied).read_bytes() == LARGE
    assert not api.list_repo_refs("bob/reading-copy", include_pull_requests=True).pull_requests
    draft = api.repo_info(repo, revision="refs/pr/1").sha
    with pytest.raises(RevisionNotFoundError):
        api.repo_info("bob/reading-copy", revision=draft)


def test_large_files_can_be_listed_and_deleted_for_good(live_app, api):
    name = api.create_repo("ada/forgetful").repo_id
    api.upload_file(repo_id=name, path_or_fileobj=b"keep" * 100, path_in_repo="keep.bin")
    api.upload_file(repo_id=name, path_or_fileobj=b"lose" * 100, path_in_repo="deep/lose.bin")
    api.upload_file(repo_id=name, path_or_fileobj=b"t", path_in_repo="after.txt")
    before = api.repo_info(name).sha
    found = {file.filename: file for file in api.list_lfs_files(name)}
    assert set(found) == {"keep.bin", "deep/lose.bin"}
    api.permanently_delete_lfs_files(name, [found["deep/lose.bin"]])
    assert sorted(api.list_repo_files(name)) == [".gitattributes", "after.txt", "keep.bin"]
    assert [file.filename for file in api.list_lfs_files(name)] == ["keep.bin"]
    assert len(api.list_repo_commits(name)) == 4
    assert httpx.get(hf_hub_url(name, "deep/lose.bin", revision=before, endpoint=live_app.url)).status_code == 404
    with pytest.raises(HfHubHTTPError):
        list(live_app.hf("bob").list_lfs_files(name))


def test_a_snapshot_of_many_files_is_one_download(live_app, api, tmp_path):
    name = api.create_repo("ada/counted").repo_id
    api.create_commit(name, [CommitOperationAdd(f"{n}.txt", b"%d" % n) for n in range(3)], commit_message="Three")
    live_app.hf("eve").snapshot_download(name, cache_dir=tmp_path / "one")
    # Each of the server's processes counts for itself, so at most one for each of them.
    wait_for(lambda: 1 <= (api.model_info(name, expand=["downloads"]).downloads or 0) <= 2, what="a count of one")


def test_odd_names_come_through_a_long_listing(api):
    name = api.create_repo("ada/odd").repo_id
    paths = ['say "so".txt', "back\\slash.txt", "页 一.txt", "tab-é.txt", "zwj\u200d.txt"]
    paths = [path for path in paths if _is_taken(api, name, path)]
    assert len(paths) >= 3
    listed = [item.path for item in api.list_repo_tree(name, recursive=True)]
    assert sorted(listed) == sorted([".gitattributes", *paths])


def _is_taken(api, name, path):
    """Whether the server lets a file be called so; what it refuses cannot be listed either."""
    try:
        api.create_commit(name, [CommitOperationAdd(path, b"x")], commit_message="One")
    except HfHubHTTPError:
        return False
    return True
