"""The real clients against a server whose objects lie in a real S3-compatible store."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
from pathlib import Path

import httpx

from tests.conftest import clean_env, wait_for
from tests.operation.reading import Scrape
from tests.servers.seaweed import seaweed


def keys_of(app, prefix=""):
    with app.opened() as site:
        return [found.key for found in site.blobs.iter_keys(prefix)]


def put_by_lfs(app, repo, data):
    """An open file goes by LFS, and not by Xet, with huggingface_hub."""
    api = app.hf("ada")
    api.create_repo(repo, exist_ok=True)
    api.upload_file(repo_id=repo, path_or_fileobj=io.BytesIO(data), path_in_repo="w.bin")
    return api


def test_upload_and_download_by_xet_and_by_plain_requests(store_app, tmp_path):
    app = store_app()
    data = os.urandom(3_000_000)
    api = app.hf("ada")
    api.create_repo("ada/m")
    api.upload_file(repo_id="ada/m", path_or_fileobj=data, path_in_repo="w.bin")
    assert any(key.startswith("xet/") for key in keys_of(app))
    found = api.hf_hub_download("ada/m", "w.bin", cache_dir=tmp_path / "hf")
    assert Path(found).read_bytes() == data
    answer = httpx.get(f"{app.url}/ada/m/resolve/main/w.bin", headers={"range": "bytes=1000-1999999"})
    assert (answer.status_code, answer.content) == (206, data[1000:2000000])


def test_large_files_come_straight_from_the_store(store_app, tmp_path):
    app = store_app()
    data = os.urandom(2_000_000)
    api = put_by_lfs(app, "ada/m", data)
    url = f"{app.url}/ada/m/resolve/main/w.bin"
    head = httpx.head(url)
    assert head.status_code == 302
    assert head.headers["x-linked-size"] == str(len(data))
    assert head.headers["x-linked-etag"].strip('"') == hashlib.sha256(data).hexdigest()
    assert head.headers["location"].startswith(seaweed().url)
    there = httpx.get(head.headers["location"], headers={"range": "bytes=5-104"})
    assert (there.status_code, there.content) == (206, data[5:105])
    assert 'filename="w.bin"' in there.headers["content-disposition"]
    found = api.hf_hub_download("ada/m", "w.bin", cache_dir=tmp_path / "hf")
    assert Path(found).read_bytes() == data
    # Inside our own pages bytes come from here: their policy lets nothing else in.
    shown = httpx.get(url, headers={"sec-fetch-dest": "image", "range": "bytes=0-9"})
    assert (shown.status_code, shown.content) == (206, data[:10])
    assert httpx.head(url, headers={"if-none-match": head.headers["etag"]}).status_code == 304
    batch = httpx.post(
        f"{app.url}/ada/m.git/info/lfs/objects/batch",
        json={"operation": "download", "objects": [{"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}]},
    ).json()
    assert httpx.get(batch["objects"][0]["actions"]["download"]["href"]).content == data


def test_private_files_need_the_hubs_leave_and_links_end(store_app):
    app = store_app()
    data = os.urandom(100_000)
    api = put_by_lfs(app, "ada/m", data)
    api.update_repo_settings("ada/m", private=True)
    assert httpx.head(f"{app.url}/ada/m/resolve/main/w.bin").status_code in (401, 404)
    with app.opened() as site:
        key = next(key for key in keys_of(app, "sha256/"))
        forged = site.blobs.signed_url(key, expires_s=60).replace("X-Amz-Expires=360", "X-Amz-Expires=3600")
        assert httpx.get(forged).status_code == 403


def test_bytes_pass_through_the_hub_where_clients_do_not_reach_the_store(store_app):
    app = store_app(direct=False, lfs={"multipart_from_bytes": 6 << 20, "part_size_bytes": 5 << 20})
    data = os.urandom(12_000_000)
    put_by_lfs(app, "ada/m", data)
    answer = httpx.get(f"{app.url}/ada/m/resolve/main/w.bin")
    assert (answer.status_code, answer.content) == (200, data)
    answer = httpx.get(f"{app.url}/ada/m/resolve/main/w.bin", headers={"range": "bytes=1-3,9000000-"})
    assert answer.status_code == 206
    assert data[9000000:] in answer.content


def test_large_uploads_go_straight_to_the_store_and_are_read_back(store_app):
    app = store_app(lfs={"multipart_from_bytes": 6 << 20, "part_size_bytes": 5 << 20})
    data = os.urandom(12_000_000)
    put_by_lfs(app, "ada/m", data)
    (key,) = keys_of(app, "sha256/")
    assert "." in key  # a key that was this upload's alone
    assert httpx.get(f"{app.url}/ada/m/resolve/main/w.bin", follow_redirects=True).content == data
    # The same again is answered without another upload.
    put_by_lfs(app, "ada/n", data)
    assert keys_of(app, "sha256/") == [key]


def begin(app, oid, size, repo="ada/m"):
    answer = httpx.post(
        f"{app.url}/{repo}.git/info/lfs/objects/batch",
        headers={"authorization": f"Bearer {app.token('ada')}"},
        json={"operation": "upload", "transfers": ["basic", "multipart"], "objects": [{"oid": oid, "size": size}]},
    ).json()
    assert answer["transfer"] == "multipart"
    actions = answer["objects"][0]["actions"]
    header = actions["upload"]["header"]
    return actions, [header[name] for name in sorted(header) if name.isdigit()], int(header["chunk_size"])


def send(links, chunk, data):
    return [
        {"partNumber": n + 1, "etag": httpx.put(link, content=data[n * chunk : (n + 1) * chunk]).headers["etag"]}
        for n, link in enumerate(links)
    ]


def test_wrong_bytes_are_refused_and_gone_and_links_cannot_be_replayed(store_app):
    app = store_app(lfs={"multipart_from_bytes": 6 << 20, "part_size_bytes": 5 << 20})
    app.hf("ada").create_repo("ada/m")
    data = os.urandom(11_000_000)
    oid = hashlib.sha256(data).hexdigest()
    actions, links, chunk = begin(app, oid, len(data))
    wrong = send(links, chunk, os.urandom(11_000_000))
    answer = httpx.post(actions["upload"]["href"], json={"oid": oid, "parts": wrong}, timeout=60)
    assert (answer.status_code, keys_of(app, "sha256/")) == (400, [])
    assert "sha256" in answer.json()["message"]
    assert httpx.post(actions["verify"]["href"], json={"oid": oid, "size": len(data)}).status_code == 404
    assert httpx.put(links[0], content=data[:chunk]).status_code == 404  # that upload is over

    actions, links, chunk = begin(app, oid, len(data))
    missing = httpx.post(actions["upload"]["href"], json={"oid": oid, "parts": []})
    assert missing.status_code == 400
    parts = send(links, chunk, data)
    for _ in range(2):  # a client that missed the answer asks again
        answer = httpx.post(actions["upload"]["href"], json={"oid": oid, "parts": parts}, timeout=60)
        assert (answer.status_code, answer.json()) == (200, {"oid": oid})
    (key,) = keys_of(app, "sha256/")
    assert httpx.put(links[0], content=b"x" * chunk).status_code == 404
    with app.opened() as site:
        assert site.blobs.digest_of(key) == (oid, len(data))
    assert httpx.post(actions["verify"]["href"], json={"oid": oid, "size": len(data)}).status_code == 200


def test_git_and_git_lfs(store_app, tmp_path):
    app = store_app()
    app.hf("ada").create_repo("ada/m")
    url = app.url.replace("http://", f"http://ada:{app.token('ada')}@") + "/ada/m"
    env = {**clean_env(), "GIT_TERMINAL_PROMPT": "0", "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}

    def git(*args, cwd):
        done = subprocess.run(["git", *args], cwd=cwd, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    git("lfs", "install", cwd=tmp_path)
    git("clone", url, "one", cwd=tmp_path)
    one = tmp_path / "one"
    data, noise = os.urandom(3_000_000), os.urandom(300_000)
    (one / "big.bin").write_bytes(data)
    (one / "noise.txt").write_bytes(noise)
    git("lfs", "track", "*.bin", cwd=one)
    git("add", "-A", cwd=one)
    git("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-m", "x", cwd=one)
    git("push", "origin", "HEAD:main", cwd=one)
    assert {key.rpartition(".")[2] for key in keys_of(app, "git/")} == {"pack", "idx"}
    subprocess.run(["rm", "-rf", app.data / "cache"], check=True)
    git("clone", url, "two", cwd=tmp_path)
    assert (tmp_path / "two/big.bin").read_bytes() == data
    assert (tmp_path / "two/noise.txt").read_bytes() == noise
    git("fsck", "--strict", cwd=tmp_path / "two")


def test_a_store_that_is_away_is_noticed_and_redirects_are_counted(store_app, faulty):
    app = store_app(url=faulty.url)
    data = os.urandom(1_000_000)
    put_by_lfs(app, "ada/m", data)
    before = Scrape(app.url)
    url = f"{app.url}/ada/m/resolve/main/w.bin"
    httpx.head(url)
    httpx.get(url)
    httpx.get(url, headers={"range": "bytes=100-299"})
    after = Scrape(app.url)
    for name, more in (("redirects_to_store", 2), ("redirected_bytes", len(data) + 200)):
        assert after(f"headwater_{name}_total") - before(f"headwater_{name}_total") == more
    assert httpx.get(f"{app.url}/readyz").status_code == 200
    for kind in ("503", "slow"):
        faulty.fail(kind)
        answer = wait_for(lambda: (a := httpx.get(f"{app.url}/readyz")).status_code == 503 and a)
        assert answer.json()["checks"]["store"]["problem"] == "object_store_away"
        assert answer.json()["checks"]["store"]["took_ms"] < 2000
        assert httpx.get(f"{app.url}/healthz").status_code == 200
        faulty.heal()
        wait_for(lambda: httpx.get(f"{app.url}/readyz").status_code == 200)
