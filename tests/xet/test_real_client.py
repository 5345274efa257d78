"""Uploads and downloads by the real hf_xet against a real server."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from tests import growth
from tests.clients import routes_called, run_client, stored_bytes
from tests.conftest import LiveApp

MIB = 1 << 20
UPLOAD = "api.upload_file(path_or_fileobj=args[1], path_in_repo=args[2], repo_id=args[0])"


def material(kind: str, size: int) -> bytes:
    rng = np.random.default_rng(len(kind) + size)
    if kind == "random":
        return rng.bytes(size)
    if kind == "floats":  # compresses after byte grouping, as weights do
        return (rng.standard_normal(size // 4).astype(np.float32) * 0.02).tobytes()
    words = ["模型", "weights", "data", "数据", "open", "licence", "\n"]
    return " ".join(random.Random(size).choices(words, k=size // 5)).encode()[:size]


def get_plain(app: LiveApp, path: str, user: str = "ada", headers: dict[str, str] | None = None):
    import httpx

    auth = {"Authorization": f"Bearer {app.token(user)}"}
    return httpx.get(f"{app.url}/{path}", headers={**auth, **(headers or {})}, follow_redirects=True)


@pytest.mark.parametrize("kind", ["random", "floats", "text"])
def test_a_file_comes_back_through_xet_and_as_plain_bytes(live_app: LiveApp, tmp_path: Path, kind: str) -> None:
    api, repo = live_app.hf("ada"), f"ada/xet-{kind}"
    api.create_repo(repo)
    data = material(kind, 9 * MIB + 12_345)
    (tmp_path / "w.bin").write_bytes(data)
    api.upload_file(path_or_fileobj=str(tmp_path / "w.bin"), path_in_repo="w.bin", repo_id=repo)
    assert any("/v1/xorbs/" in route for route in routes_called(live_app))

    before = len(routes_called(live_app))
    code = "print(hf_hub_download(args[0], 'w.bin'))"
    found = run_client(live_app, "ada", code, repo, home=tmp_path / "xet").strip()
    assert Path(found).read_bytes() == data
    # In a store clients fetch ranges of xorbs straight from there.
    passed_here = any(route.startswith("GET /xet/range/") for route in routes_called(live_app, before))
    assert passed_here is not growth.ON_GROWTH

    found = run_client(live_app, "ada", code, repo, home=tmp_path / "plain", HF_HUB_DISABLE_XET="1").strip()
    assert Path(found).read_bytes() == data
    for start, end in ((0, 10), (65_000, 66_000), (8 * MIB, 8 * MIB + 70_000), (len(data) - 5, len(data))):
        answer = get_plain(live_app, f"{repo}/resolve/main/w.bin", headers={"Range": f"bytes={start}-{end - 1}"})
        assert (answer.status_code, answer.content) == (206, data[start:end])


def test_bytes_and_several_files_at_once(live_app: LiveApp, tmp_path: Path) -> None:
    api, repo = live_app.hf("ada"), "ada/xet-folder"
    api.create_repo(repo, repo_type="dataset", private=True)
    for n in range(4):
        (tmp_path / f"part-{n}.bin").write_bytes(material("random", (n + 1) * MIB))
    api.upload_folder(folder_path=tmp_path, repo_id=repo, repo_type="dataset")
    api.upload_file(path_or_fileobj=b"x" * MIB, path_in_repo="x.bin", repo_id=repo, repo_type="dataset")
    for n in range(4):
        path = hf_hub_download(
            repo, f"part-{n}.bin", repo_type="dataset", endpoint=live_app.url, token=live_app.token("ada")
        )
        assert Path(path).read_bytes() == (tmp_path / f"part-{n}.bin").read_bytes()


def changed(data: bytes, share: float, places: int) -> bytes:
    out, rng = bytearray(data), random.Random(3)
    run = int(len(data) * share / places)
    for place in range(places):
        at = rng.randrange(place * len(data) // places, (place + 1) * len(data) // places - run)
        out[at : at + run] = rng.randbytes(run)
    return bytes(out)


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["same", "fresh"])
def test_a_second_version_is_stored_by_its_difference(new_app, tmp_path: Path, cache: str) -> None:
    app = new_app(workers=1)
    data = material("random", 160 * MIB)
    (tmp_path / "1.bin").write_bytes(data)
    (tmp_path / "2.bin").write_bytes(changed(data, 0.01, 3))
    app.hf("ada").create_repo("ada/grows")
    run_client(app, "ada", UPLOAD, "ada/grows", str(tmp_path / "1.bin"), "w.bin", home=tmp_path / "home")
    first = stored_bytes(app)
    home = tmp_path / ("home" if cache == "same" else "other")
    run_client(app, "ada", UPLOAD, "ada/grows", str(tmp_path / "2.bin"), "w.bin", home=home)
    assert stored_bytes(app) - first <= 0.03 * first
    digest = hashlib.sha256(get_plain(app, "ada/grows/resolve/main/w.bin").content).digest()
    assert digest == hashlib.sha256((tmp_path / "2.bin").read_bytes()).digest()


def test_chunks_of_a_public_repository_of_someone_else_need_not_be_sent(live_app: LiveApp, tmp_path: Path) -> None:
    data = material("random", 6 * MIB)
    (tmp_path / "w.bin").write_bytes(data)
    (tmp_path / "v.bin").write_bytes(data[: 5 * MIB] + os.urandom(MIB // 8))
    live_app.hf("ada").create_repo("ada/xet-base")
    live_app.hf("bob").create_repo("bob/xet-tuned")
    run_client(live_app, "ada", UPLOAD, "ada/xet-base", str(tmp_path / "w.bin"), "w.bin", home=tmp_path / "a")
    before = stored_bytes(live_app)
    run_client(live_app, "bob", UPLOAD, "bob/xet-tuned", str(tmp_path / "v.bin"), "v.bin", home=tmp_path / "b")
    assert stored_bytes(live_app) - before < MIB
    live_app.hf("ada").update_repo_settings("ada/xet-base", private=True)
    assert get_plain(live_app, "bob/xet-tuned/resolve/main/v.bin", "bob").content == (tmp_path / "v.bin").read_bytes()
    # What was promised once holds: the client's cache names those chunks for weeks.
    (tmp_path / "u.bin").write_bytes(data[: 4 * MIB] + os.urandom(MIB // 8))
    run_client(live_app, "bob", UPLOAD, "bob/xet-tuned", str(tmp_path / "u.bin"), "u.bin", home=tmp_path / "b")
    assert get_plain(live_app, "bob/xet-tuned/resolve/main/u.bin", "bob").content == (tmp_path / "u.bin").read_bytes()


def test_chunks_of_a_private_repository_are_sent_in_full_by_anyone_else(live_app: LiveApp, tmp_path: Path) -> None:
    data = material("random", 5 * MIB + 77)
    (tmp_path / "w.bin").write_bytes(data)
    live_app.hf("ada").create_repo("ada/xet-secret", private=True)
    live_app.hf("bob").create_repo("bob/xet-own")
    run_client(live_app, "ada", UPLOAD, "ada/xet-secret", str(tmp_path / "w.bin"), "w.bin", home=tmp_path / "a")
    before = len(live_app.log_lines("request.answered"))
    run_client(live_app, "bob", UPLOAD, "bob/xet-own", str(tmp_path / "w.bin"), "w.bin", home=tmp_path / "b")
    answered = live_app.log_lines("request.answered")[before:]
    asked = [line["status"] for line in answered if "/v1/chunks/" in (line["route"] or "")]
    assert asked
    assert set(asked) == {404}
    assert any("/v1/xorbs/" in (line["route"] or "") for line in answered)
    assert get_plain(live_app, "bob/xet-own/resolve/main/w.bin", "bob").content == data


def test_a_stranger_uploads_into_a_pull_request_only(live_app: LiveApp, tmp_path: Path) -> None:
    live_app.hf("ada").create_repo("ada/xet-open")
    bob = live_app.hf("bob")
    data = material("random", MIB + 9)
    with pytest.raises(HfHubHTTPError):
        bob.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id="ada/xet-open")
    done = bob.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id="ada/xet-open", create_pr=True)
    revision = f"refs%2Fpr%2F{done.pr_num}"
    assert get_plain(live_app, f"ada/xet-open/resolve/{revision}/w.bin", "eve").content == data
    assert get_plain(live_app, "ada/xet-open/resolve/main/w.bin", "eve").status_code == 404


def test_tokens_of_hidden_repositories_are_not_given(live_app: LiveApp) -> None:
    live_app.hf("ada").create_repo("ada/xet-hidden", private=True)
    texts = set()
    for name in ("xet-hidden", "xet-missing"):
        answer = get_plain(live_app, f"api/models/ada/{name}/xet-read-token/main", "bob")
        assert answer.status_code == 404
        texts.add((answer.text, answer.headers["X-Error-Code"]))
    assert len(texts) == 1
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("ada/xet-hidden", "w.bin", endpoint=live_app.url, token=live_app.token("bob"))
