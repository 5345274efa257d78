"""Commits through the real client and, where it would never send such a thing, through plain HTTP."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RevisionNotFoundError

from tests.gate.files import safetensors

WRITES = "/api/models/{}/commit/main"


def post(app, repo, *items, user="ada", query="", raw=None):
    body = raw if raw is not None else b"".join(orjson.dumps(item) + b"\n" for item in items)
    return httpx.post(
        app.url + WRITES.format(repo) + query,
        content=body,
        headers={"Authorization": f"Bearer {app.token(user)}", "Content-Type": "application/x-ndjson"},
        timeout=60,
    )


def header(title="Change", **more):
    return {"key": "header", "value": {"summary": title, "description": "", **more}}


def inline(path, data=b"x"):
    return {"key": "file", "value": {"path": path, "content": base64.b64encode(data).decode(), "encoding": "base64"}}


def head(api, repo):
    return api.repo_info(repo).sha


@pytest.fixture(scope="module")
def api(live_app):
    return live_app.hf("ada")


@pytest.fixture
def repo(api, request):
    name = "ada/" + request.node.name.split("[")[0].removeprefix("test_")[:80].strip("_").replace("__", "_")
    api.delete_repo(name, missing_ok=True)
    return api.create_repo(name).repo_id


def test_files_of_all_ways_arrive_and_come_back(api, repo, tmp_path):
    folder = tmp_path / "in"
    (folder / "子 目录").mkdir(parents=True)
    contents = {
        "README.md": b"---\nlicense: mit\n---\n# Hello\n",
        "子 目录/数据 一.txt": "你好".encode(),
        "weights.safetensors": safetensors(bytes(range(256)) * 2000),
        "empty.txt": b"",
        "nested/deep/er.json": b"{}",
    }
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    api.upload_folder(repo_id=repo, folder_path=folder)
    out = Path(api.snapshot_download(repo, cache_dir=tmp_path / "cache"))
    assert {path: (out / path).read_bytes() for path in contents} == contents
    large = {f.rfilename: f.lfs for f in api.repo_info(repo, files_metadata=True).siblings}
    assert large["weights.safetensors"].sha256 == hashlib.sha256(contents["weights.safetensors"]).hexdigest()
    assert large["README.md"] is None


def test_a_commit_adds_copies_and_deletes(api, repo):
    api.upload_file(repo_id=repo, path_or_fileobj=b"large" * 100, path_in_repo="w.bin")
    api.upload_file(repo_id=repo, path_or_fileobj=b"one", path_in_repo="dir/1.txt")
    api.create_commit(
        repo,
        [
            CommitOperationAdd("new.txt", b"new"),
            CommitOperationCopy("w.bin", "copy/of w.bin"),
            CommitOperationDelete("w.bin"),
            CommitOperationDelete("dir/"),
        ],
        commit_message="All at once",
        commit_description="with a description",
    )
    assert sorted(api.list_repo_files(repo)) == [".gitattributes", "copy/of w.bin", "new.txt"]
    last = api.list_repo_commits(repo)[0]
    assert (last.title, last.message) == ("All at once", "with a description")


def test_deleting_what_is_not_there_is_refused(api, repo):
    with pytest.raises(EntryNotFoundError, match="A file with this name doesn't exist"):
        api.delete_file("nothing.txt", repo)
    with pytest.raises(EntryNotFoundError):
        api.delete_folder("nothing", repo)


def test_the_same_content_again_makes_no_commit(api, live_app, repo):
    first = post(live_app, repo, header(), inline("a.txt")).json()["commitOid"]
    assert post(live_app, repo, header(), inline("a.txt")).json()["commitOid"] == first
    assert post(live_app, repo, header("Nothing at all")).json()["commitOid"] == first
    assert head(api, repo) == first


def test_a_commit_whose_answer_was_lost_can_be_sent_again(api, live_app, repo):
    start = head(api, repo)
    first = post(live_app, repo, header(parentCommit=start), inline("a.txt"))
    again = post(live_app, repo, header(parentCommit=start), inline("a.txt"))
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert len(api.list_repo_commits(repo)) == 2


def test_a_moved_parent_is_refused_with_412(api, live_app, repo):
    start = head(api, repo)
    assert post(live_app, repo, header(parentCommit=start[:7]), inline("a.txt")).status_code == 200
    answer = post(live_app, repo, header(parentCommit=start), inline("b.txt"))
    assert answer.status_code == 412
    assert "Please refresh and try again" in answer.json()["error"]
    assert "b.txt" not in api.list_repo_files(repo)


def test_racing_commits_without_a_parent_all_land(api, live_app, repo):
    answers: list[int] = []

    def send(n: int) -> None:
        answers.append(post(live_app, repo, header(f"Commit {n}"), inline(f"{n}.txt")).status_code)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 4
    assert len(api.list_repo_files(repo)) == 5
    assert len(api.list_repo_commits(repo)) == 5


def test_of_racing_commits_on_one_parent_exactly_one_wins(api, live_app, repo):
    start = head(api, repo)
    answers: list[int] = []

    def send(n: int) -> None:
        answers.append(
            post(live_app, repo, header(f"Commit {n}", parentCommit=start), inline("same.txt", b"%d" % n)).status_code
        )

    threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 412, 412, 412]
    assert len(api.list_repo_commits(repo)) == 2


@pytest.mark.parametrize(
    ("items", "status", "why"),
    [
        ([inline("a")], 400, "first line must be the header"),
        ([header(), {"key": "copyFile", "value": {}}], 400, "not known"),
        ([header(), {"key": "file", "value": {"path": "a", "content": "!", "encoding": "base64"}}], 400, "base64"),
        ([header(), inline("../a")], 422, "cannot be a file's path"),
        ([header(), inline("a\\b")], 422, "backslash"),
        ([header(), inline("a/.git/config")], 422, "reserved"),
        ([header(), inline("a/" * 2048 + "b")], 422, "4097 bytes"),
        ([header(), {"key": "lfsFile", "value": {"path": "w", "oid": "ab" * 32, "size": 3}}], 400, "was not uploaded"),
        ([header(), {"key": "lfsFile", "value": {"path": "w", "oid": "nonsense"}}], 400, "sha256"),
        ([header(), inline("a"), inline("a/b")], 400, "cannot be written"),
        ([header(parentCommit="xyz")], 400, "hex"),
    ],
)
def test_bad_commits_are_refused_and_leave_nothing(api, live_app, repo, items, status, why):
    before = head(api, repo)
    answer = post(live_app, repo, *items)
    assert (answer.status_code, why in answer.json()["error"]) == (status, True), answer.text
    assert head(api, repo) == before


def test_a_body_that_breaks_off_changes_nothing(api, live_app, repo):
    before = head(api, repo)
    whole = orjson.dumps(header()) + b"\n" + orjson.dumps(inline("a.txt", b"x" * 1000)) + b"\n"
    assert post(live_app, repo, raw=whole[:-20]).status_code == 400
    target = urlsplit(live_app.url)
    with socket.create_connection((target.hostname, target.port), timeout=20) as sock:
        sock.sendall(
            f"POST {WRITES.format(repo)} HTTP/1.1\r\nHost: {target.netloc}\r\nAuthorization: Bearer {live_app.token('ada')}\r\n"
            f"Content-Length: {len(whole)}\r\n\r\n".encode()
            + whole[:-20]
        )
        sock.shutdown(socket.SHUT_WR)
        assert b" 200 " not in sock.recv(1000).split(b"\r\n")[0]
    assert head(api, repo) == before


def test_a_large_file_of_somebody_elses_private_repository_cannot_be_named(live_app, api, repo):
    data = b"secret weights" * 1000
    digest = hashlib.sha256(data).hexdigest()
    api.create_repo("ada/vault", private=True, exist_ok=True)
    api.upload_file(repo_id="ada/vault", path_or_fileobj=data, path_in_repo="w.bin")
    bob = live_app.hf("bob")
    bob.create_repo("bob/thief", exist_ok=True)
    stolen = post(
        live_app,
        "bob/thief",
        header(),
        {"key": "lfsFile", "value": {"path": "w.bin", "oid": digest, "size": len(data)}},
        user="bob",
    )
    unknown = post(
        live_app,
        "bob/thief",
        header(),
        {"key": "lfsFile", "value": {"path": "w.bin", "oid": "0" * 64, "size": len(data)}},
        user="bob",
    )
    assert stolen.status_code == unknown.status_code == 400
    assert stolen.json()["error"].replace(digest, "") == unknown.json()["error"].replace("0" * 64, "")


def test_who_may_not_write_is_told_so(live_app, api, repo):
    assert post(live_app, repo, header(), inline("a"), user="bob").status_code == 403
    reader = httpx.post(
        live_app.url + WRITES.format(repo),
        content=orjson.dumps(header()),
        headers={"Authorization": f"Bearer {live_app.token('ada', 'read')}"},
    )
    assert reader.status_code == 403
    assert httpx.post(live_app.url + WRITES.format(repo), content=orjson.dumps(header())).status_code == 401


def test_many_small_files_pass_in_one_commit(api, repo):
    """More than the memory a commit may take; the suite of the client sends 100 MB in this way."""
    operations = [CommitOperationAdd(f"f/{n}.txt", bytes([65 + n % 26]) * 1_000_000) for n in range(12)]
    api.create_commit(repo, operations, commit_message="Many")
    assert len(api.list_repo_files(repo)) == 13
    assert Path(api.hf_hub_download(repo, "f/11.txt")).read_bytes() == b"L" * 1_000_000


def test_a_stranger_proposes_a_pull_request_and_commits_to_it(live_app, api, repo):
    bob = live_app.hf("bob")
    made = bob.create_commit(
        repo,
        [CommitOperationAdd("idea.txt", b"better"), CommitOperationAdd("idea.bin", b"large" * 100)],
        commit_message="An idea",
        create_pr=True,
    )
    assert made.pr_num == 1
    assert "idea.txt" not in api.list_repo_files(repo)
    assert "idea.txt" in api.list_repo_files(repo, revision="refs/pr/1")
    bob.upload_file(repo_id=repo, path_or_fileobj=b"even better", path_in_repo="idea.txt", revision="refs/pr/1")
    assert Path(api.hf_hub_download(repo, "idea.txt", revision="refs/pr/1")).read_bytes() == b"even better"
    assert Path(api.hf_hub_download(repo, "idea.bin", revision="refs/pr/1")).read_bytes() == b"large" * 100
    with pytest.raises(HfHubHTTPError):
        live_app.hf("eve").upload_file(
            repo_id=repo, path_or_fileobj=b"no", path_in_repo="idea.txt", revision="refs/pr/1"
        )
    assert [ref.ref for ref in api.list_repo_refs(repo, include_pull_requests=True).pull_requests] == ["refs/pr/1"]


def test_a_pull_request_needs_a_branch_to_start_from(live_app, api, repo):
    for revision in ("missing", head(api, repo)):
        with pytest.raises(RevisionNotFoundError):
            api.create_commit(
                repo, [CommitOperationAdd("a", b"a")], commit_message="x", revision=revision, create_pr=True
            )


def test_rules_of_the_repository_decide_what_is_large_and_what_is_ignored(api, repo):
    png = b"\x89PNG tiny"
    api.upload_file(repo_id=repo, path_or_fileobj=png, path_in_repo="plain.png")
    api.create_commit(
        repo,
        [
            CommitOperationAdd(".gitattributes", b"*.png filter=lfs diff=lfs merge=lfs -text\n"),
            CommitOperationAdd(".gitignore", b"*.tmp\n"),
        ],
        commit_message="Rules",
    )
    api.create_commit(
        repo,
        [
            CommitOperationAdd("large.png", png),
            CommitOperationAdd("a.tmp", b"x"),
            CommitOperationAdd("w.bin", b"plain"),
        ],
        commit_message="Follow them",
    )
    files = {f.rfilename: f.lfs is not None for f in api.repo_info(repo, files_metadata=True).siblings}
    assert files == {
        ".gitattributes": False,
        ".gitignore": False,
        "plain.png": False,
        "large.png": True,
        "w.bin": False,
    }
