"""LFS by the real clients: huggingface_hub without Xet, and git-lfs."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from huggingface_hub import hf_hub_download

from tests.clients import routes_called, run_client, stored_bytes
from tests.conftest import LiveApp
from tests.growth import ON_GROWTH, only_on_one_machine

MIB = 1 << 20
UPLOAD = "api.upload_file(path_or_fileobj=args[1], path_in_repo=args[2], repo_id=args[0])"


def batch(app: LiveApp, repo: str, user: str | None, operation: str, objects: list[dict], **more) -> httpx.Response:
    headers = {"Accept": "application/vnd.git-lfs+json"}
    if user is not None:
        headers["Authorization"] = f"Bearer {app.token(user)}"
    body = {"operation": operation, "transfers": ["basic", "multipart"], "objects": objects, **more}
    return httpx.post(f"{app.url}/{repo}/info/lfs/objects/batch", json=body, headers=headers)


def named(data: bytes) -> dict:
    return {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}


def test_a_file_object_goes_by_lfs_even_where_xet_is_there(live_app: LiveApp) -> None:
    api, data = live_app.hf("ada"), os.urandom(2 * MIB)
    api.create_repo("ada/lfs-object")
    before = len(routes_called(live_app))
    api.upload_file(path_or_fileobj=io.BytesIO(data), path_in_repo="w.bin", repo_id="ada/lfs-object")
    assert "PUT /lfs/objects/{link}" in routes_called(live_app, before)
    path = hf_hub_download("ada/lfs-object", "w.bin", endpoint=live_app.url, token=live_app.token("ada"))
    assert Path(path).read_bytes() == data


def test_a_large_file_without_xet(live_app: LiveApp, tmp_path: Path) -> None:
    data = os.urandom(20 * MIB + 3)
    (tmp_path / "w.bin").write_bytes(data)
    live_app.hf("ada").create_repo("ada/lfs-plain", repo_type="dataset")
    code = UPLOAD.replace("repo_id=args[0]", "repo_id=args[0], repo_type='dataset'")
    run_client(
        live_app, "ada", code, "ada/lfs-plain", str(tmp_path / "w.bin"), "w.bin", home=tmp_path, HF_HUB_DISABLE_XET="1"
    )
    got = httpx.get(f"{live_app.url}/datasets/ada/lfs-plain/resolve/main/w.bin", follow_redirects=True)
    assert got.content == data


def test_a_file_in_parts(new_app, tmp_path: Path) -> None:
    app = new_app(
        env={"HEADWATER_LFS_MULTIPART_FROM_BYTES": str(4 * MIB), "HEADWATER_LFS_PART_SIZE_BYTES": str(2 * MIB)},
        workers=1,
    )
    data = os.urandom(7 * MIB + 11)
    (tmp_path / "w.bin").write_bytes(data)
    app.hf("ada").create_repo("ada/parts")
    run_client(app, "ada", UPLOAD, "ada/parts", str(tmp_path / "w.bin"), "w.bin", home=tmp_path, HF_HUB_DISABLE_XET="1")
    called = routes_called(app)
    assert called.count("PUT /lfs/parts/{link}") == (0 if ON_GROWTH else 4)  # to a store they go straight
    assert "POST /lfs/uploads/{link}" in called
    assert httpx.get(f"{app.url}/ada/parts/resolve/main/w.bin", follow_redirects=True).content == data
    assert not [left for tmp in app.data.rglob("tmp") for left in tmp.iterdir()]


def test_what_is_here_already_is_not_asked_for(live_app: LiveApp) -> None:
    data = os.urandom(MIB)
    for user in ("ada", "bob"):
        live_app.hf(user).create_repo(f"{user}/lfs-twice")
    live_app.hf("ada").upload_file(path_or_fileobj=io.BytesIO(data), path_in_repo="w.bin", repo_id="ada/lfs-twice")
    answer = batch(live_app, "bob/lfs-twice.git", "bob", "upload", [named(data)]).json()
    assert answer["objects"] == [named(data)]
    before = stored_bytes(live_app)
    live_app.hf("bob").upload_file(path_or_fileobj=io.BytesIO(data), path_in_repo="v.bin", repo_id="bob/lfs-twice")
    assert stored_bytes(live_app) - before < MIB // 2
    got = httpx.get(f"{live_app.url}/bob/lfs-twice/resolve/main/v.bin", follow_redirects=True)
    assert got.content == data


def test_a_digest_out_of_a_private_repository_looks_like_an_unknown_one(live_app: LiveApp) -> None:
    data = os.urandom(MIB)
    live_app.hf("ada").create_repo("ada/lfs-secret", private=True)
    live_app.hf("bob").create_repo("bob/lfs-own")
    live_app.hf("ada").upload_file(path_or_fileobj=io.BytesIO(data), path_in_repo="w.bin", repo_id="ada/lfs-secret")
    hidden, unknown = named(data), named(os.urandom(MIB))
    down = batch(live_app, "bob/lfs-own.git", "bob", "download", [hidden, unknown]).json()["objects"]
    assert [o["error"] for o in down] == [{"code": 404, "message": "Object does not exist on the server"}] * 2
    up = batch(live_app, "bob/lfs-own", "bob", "upload", [hidden, unknown]).json()["objects"]
    assert all(set(o["actions"]) == {"upload", "verify"} for o in up)
    # Only who really has the bytes gets further.
    link = up[0]["actions"]["upload"]["href"]
    assert httpx.put(link, content=os.urandom(MIB)).status_code == 400
    assert httpx.put(link, content=data).status_code == 200


def test_bytes_that_are_not_what_was_announced_are_refused(live_app: LiveApp) -> None:
    live_app.hf("ada").create_repo("ada/lfs-bad")
    data = os.urandom(MIB)
    before = stored_bytes(live_app)
    up = batch(live_app, "ada/lfs-bad.git", "ada", "upload", [named(data)]).json()["objects"][0]["actions"]
    for body in (data[:-1], data + b"x", os.urandom(MIB)):
        answer = httpx.put(up["upload"]["href"], content=body)
        assert answer.status_code == 400
        assert "message" in answer.json()
    assert httpx.post(up["verify"]["href"], json=named(data)).status_code == 404
    forged = up["upload"]["href"][:-3] + "abc"
    assert httpx.put(forged, content=data).status_code == 403
    assert stored_bytes(live_app) - before < 1000
    assert httpx.put(up["upload"]["href"], content=data).status_code == 200
    assert httpx.put(up["upload"]["href"], content=data).status_code == 200
    assert httpx.post(up["verify"]["href"], json=named(data)).status_code == 200
    assert httpx.post(up["verify"]["href"], json={**named(data), "size": 5}).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"objects": []},
        {"objects": "x"},
        {"objects": [{"oid": 5, "size": 1}]},
        {"objects": [{"oid": "a" * 64, "size": "1"}]},
        {"objects": [{"oid": "a" * 64, "size": 1}] * 1001},
        {"operation": "steal", "objects": [{"oid": "a" * 64, "size": 1}]},
        {"hash_algo": "md5", "objects": [{"oid": "a" * 64, "size": 1}]},
    ],
)
def test_a_batch_that_makes_no_sense_is_refused_in_the_clients_words(live_app: LiveApp, body: dict) -> None:
    live_app.hf("ada").create_repo("ada/lfs-sense", exist_ok=True)
    headers = {"Authorization": f"Bearer {live_app.token('ada')}"}
    url = f"{live_app.url}/ada/lfs-sense.git/info/lfs/objects/batch"
    answer = httpx.post(url, json={"operation": "upload", **body}, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["message"]


def test_each_object_has_its_own_error(live_app: LiveApp) -> None:
    live_app.hf("ada").create_repo("ada/lfs-each")
    wanted = [{"oid": "A" * 64, "size": 1}, {"oid": "../x", "size": 1}, {"oid": "b" * 64, "size": -1}, named(b"fine")]
    found = batch(live_app, "ada/lfs-each", "ada", "upload", wanted).json()["objects"]
    assert [o.get("error", {}).get("code") for o in found] == [422, 422, 422, None]


def test_who_may_not_is_told_so_that_git_lfs_asks_for_a_password(live_app: LiveApp) -> None:
    live_app.hf("ada").create_repo("ada/lfs-private", private=True)
    live_app.hf("ada").create_repo("ada/lfs-public")
    texts = set()
    for repo in ("ada/lfs-private", "ada/lfs-missing"):
        answer = batch(live_app, f"{repo}.git", None, "download", [named(b"x")])
        assert (answer.status_code, "LFS-Authenticate" in answer.headers) == (401, True)
        texts.add(answer.json()["message"])
        assert batch(live_app, f"{repo}.git", "bob", "download", [named(b"x")]).status_code == 404
    assert len(texts) == 1
    answer = batch(live_app, "ada/lfs-public.git", None, "upload", [named(b"x")])
    assert (answer.status_code, "LFS-Authenticate" in answer.headers) == (401, True)


def git(folder: Path, *arguments: str, **env: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "HOME": str(folder), **env},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("suffix", ["", ".git"])
def test_git_lfs_pushes_and_pulls(live_app: LiveApp, tmp_path: Path, suffix: str) -> None:
    name = f"ada/git-lfs{suffix[1:]}"
    live_app.hf("ada").create_repo(name)
    remote = live_app.url.replace("http://", f"http://ada:{live_app.token('ada')}@") + f"/{name}{suffix}"
    work, data = tmp_path / "work", os.urandom(3 * MIB)
    git(tmp_path, "clone", "-q", remote, "work", GIT_LFS_SKIP_SMUDGE="1")
    git(work, "lfs", "install", "--local")
    git(work, "lfs", "track", "*.bin")
    (work / "w.bin").write_bytes(data)
    git(work, "add", ".")
    git(work, "commit", "-qm", "weights")
    git(work, "push", "-q", "origin", "HEAD:main")
    got = httpx.get(f"{live_app.url}/{name}/resolve/main/w.bin", follow_redirects=True)
    assert got.content == data
    git(tmp_path, "clone", "-q", remote, "again", GIT_LFS_SKIP_SMUDGE="1")
    git(tmp_path / "again", "lfs", "install", "--local")
    git(tmp_path / "again", "lfs", "pull")
    assert (tmp_path / "again" / "w.bin").read_bytes() == data


def test_what_came_by_xet_is_pulled_by_git_lfs(live_app: LiveApp, tmp_path: Path) -> None:
    api, data = live_app.hf("ada"), os.urandom(2 * MIB)
    api.create_repo("ada/xet-to-git")
    api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id="ada/xet-to-git")
    git(tmp_path, "clone", "-q", f"{live_app.url}/ada/xet-to-git", "work", GIT_LFS_SKIP_SMUDGE="1")
    git(tmp_path / "work", "lfs", "install", "--local")
    git(tmp_path / "work", "lfs", "pull")
    assert (tmp_path / "work" / "w.bin").read_bytes() == data


def test_git_lfs_sends_in_parts_with_the_hub_clients_agent(new_app, tmp_path: Path) -> None:
    app = new_app(
        env={"HEADWATER_LFS_MULTIPART_FROM_BYTES": str(4 * MIB), "HEADWATER_LFS_PART_SIZE_BYTES": str(2 * MIB)},
        workers=1,
    )
    app.hf("ada").create_repo("ada/agent")
    remote = app.url.replace("http://", f"http://ada:{app.token('ada')}@") + "/ada/agent"
    work = tmp_path / "work"
    git(tmp_path, "clone", "-q", remote, "work", GIT_LFS_SKIP_SMUDGE="1")
    git(work, "lfs", "install", "--local")
    git(work, "config", "lfs.customtransfer.multipart.path", str(Path(sys.executable).with_name("hf")))
    git(work, "config", "lfs.customtransfer.multipart.args", "lfs-multipart-upload")
    git(work, "lfs", "track", "*.bin")
    contents = {"large.bin": os.urandom(5 * MIB + 7), "small.bin": os.urandom(1000)}
    for name, data in contents.items():
        (work / name).write_bytes(data)
    git(work, "add", ".")
    git(work, "commit", "-qm", "weights")
    git(work, "push", "-q", "origin", "HEAD:main")
    assert routes_called(app).count("PUT /lfs/parts/{link}") == (0 if ON_GROWTH else 4)  # to a store they go straight
    for name, data in contents.items():
        assert httpx.get(f"{app.url}/ada/agent/resolve/main/{name}", follow_redirects=True).content == data


def test_a_stranger_sends_what_a_pull_request_names(live_app: LiveApp) -> None:
    live_app.hf("ada").create_repo("ada/lfs-open")
    data = os.urandom(MIB)
    done = live_app.hf("bob").upload_file(
        path_or_fileobj=io.BytesIO(data), path_in_repo="w.bin", repo_id="ada/lfs-open", create_pr=True
    )
    got = httpx.get(f"{live_app.url}/ada/lfs-open/resolve/refs%2Fpr%2F{done.pr_num}/w.bin", follow_redirects=True)
    assert got.content == data


@only_on_one_machine  # tests/blobs/test_live.py has it for a store
def test_parts_that_are_missing_short_or_changed_make_nothing(new_app) -> None:
    app = new_app(
        env={"HEADWATER_LFS_MULTIPART_FROM_BYTES": str(2 * MIB), "HEADWATER_LFS_PART_SIZE_BYTES": str(MIB)}, workers=1
    )
    app.hf("ada").create_repo("ada/parts")
    data = os.urandom(3 * MIB)

    def begin() -> tuple[str, list[str]]:
        found = batch(app, "ada/parts", "ada", "upload", [named(data)]).json()["objects"][0]["actions"]["upload"]
        return found["href"], [found["header"][f"{n:05d}"] for n in (1, 2, 3)]

    def send(link: str, body: bytes) -> str:
        answer = httpx.put(link, content=body)
        assert answer.status_code == 200, answer.text
        return answer.headers["ETag"]

    def complete(href: str, etags: dict[int, str]) -> httpx.Response:
        parts = [{"partNumber": n, "etag": etag} for n, etag in etags.items()]
        return httpx.post(href, json={"oid": named(data)["oid"], "parts": parts})

    href, links = begin()
    etags = {n: send(links[n - 1], data[(n - 1) * MIB : n * MIB]) for n in (1, 2)}
    assert complete(href, etags).json()["message"].startswith("Not every part")
    assert complete(href, {**etags, 3: etags[2]}).status_code == 400
    assert httpx.put(links[2], content=data[: MIB - 1]).status_code == 400
    assert httpx.put(links[2], content=data[: MIB + 1]).status_code == 400
    etags[3] = send(links[2], os.urandom(MIB))
    assert "sha256" in complete(href, etags).json()["message"]
    assert not list((app.data / "blobs/tmp").iterdir())
    assert complete(href, etags).status_code == 400

    href, links = begin()
    etags = {n: send(links[n - 1], data[(n - 1) * MIB : n * MIB]) for n in (3, 1, 2)}
    assert httpx.post(href, json={"oid": "0" * 64, "parts": []}).status_code == 422
    assert complete(href, etags).status_code == 200
    assert complete(href, etags).status_code == 200
    # A part that comes again after the end changes nothing.
    assert httpx.put(links[0], content=os.urandom(MIB)).json()["message"].startswith("Not every part")
    assert not list((app.data / "blobs/tmp").iterdir())
    answer = batch(app, "ada/parts", "ada", "upload", [named(data)]).json()["objects"]
    assert answer == [named(data)]
    stored = next((app.data / "blobs/sha256").glob(f"*/*/{named(data)['oid']}"))
    assert stored.read_bytes() == data
