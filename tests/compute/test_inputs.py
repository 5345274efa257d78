"""Inputs are what was pinned, byte for byte: large files that git-lfs has pushed, at old commits, while the branch goes on."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tests.clients import routes_called
from tests.compute.client import RunsClient, act
from tests.conftest import LiveApp
from tests.lfs.test_real_client import MIB, git


def _push(work: Path, files: dict[str, bytes]) -> str:
    """Commit these files and no others; the commit's id."""
    for path in work.glob("*.bin"):
        path.unlink()
    for name, data in files.items():
        (work / name).write_bytes(data)
    git(work, "add", "-A")
    git(work, "commit", "-qm", "another")
    git(work, "push", "-q", "origin", "HEAD:main")
    return git(work, "rev-parse", "HEAD").strip()


def _reading(revision: str) -> str:
    return f"{act('reading', 'digests')}inputs:\n  files: {{repo: datasets/ada/lfs-files, revision: {revision!r}}}\n"


def test_files_of_lfs_are_read_as_they_were_at_their_commit(runs_app: LiveApp, ada: RunsClient, tmp_path: Path) -> None:
    runs_app.hf("ada").create_repo("ada/lfs-files", repo_type="dataset")
    remote = runs_app.url.replace("http://", f"http://ada:{runs_app.token('ada')}@") + "/datasets/ada/lfs-files"
    work = tmp_path / "work"
    git(tmp_path, "clone", "-q", remote, "work", GIT_LFS_SKIP_SMUDGE="1")
    git(work, "lfs", "install", "--local")
    git(work, "lfs", "track", "*.bin")
    kept = os.urandom(1000)
    old = {"changed.bin": os.urandom(3 * MIB + 1), "kept.bin": kept, "gone.bin": b"only in the first", "text.md": b"1"}
    new = {"changed.bin": os.urandom(3 * MIB + 2), "kept.bin": kept, "text.md": b"2"}
    n_calls = len(routes_called(runs_app))
    first = _push(work, old)
    assert "PUT /lfs/objects/{link}" in routes_called(runs_app, n_calls)
    holding = ada.submit(act("all", "sleep").replace("cpus: 0.5", "cpus: 4"))
    ada.wait_for_log(holding["id"], "started")
    waiting = ada.submit(_reading("main"))
    second = _push(work, new)
    ada.http.post(f"/runs/{holding['id']}/cancel")
    n_calls = len(routes_called(runs_app))
    runs = {
        "pinned when it was submitted": (waiting, first, old),
        "by its old commit": (ada.submit(_reading(first)), first, old),
        "at the branch": (ada.submit(_reading("main")), second, new),
    }
    for what, (run, commit, files) in runs.items():
        assert run["inputs"]["files"]["commit"] == commit, what
        over = ada.wait(run["id"])
        assert over["state"] == "succeeded", ada.log(run["id"])
        read = {name: digest for name, digest in over["result"].items() if name != ".gitattributes"}
        assert read == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}, what
    called = routes_called(runs_app, n_calls)
    assert not [route for route in called if "xet" in route or "reconstruction" in route], called
