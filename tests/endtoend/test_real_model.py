"""A real model and real text, pushed by every way in and pulled by every way out, byte for byte."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import PASSWORD
from tests.endtoend.conftest import Material

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def sha256_of(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """What a person put there; repositories' own files and caches left out."""
    skipped = {".git", ".cache", ".gitattributes"}
    return {
        str(p.relative_to(folder)): sha256_of(p)
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not skipped & set(p.relative_to(folder).parts)
    }


class Client:
    """A user's own machine: an environment, a cache of its own, processes of its own."""

    def __init__(self, live_app, home: Path) -> None:
        self.url, self.home, self.token = live_app.url, home, live_app.token("ada", scope="write")
        home.mkdir(parents=True, exist_ok=True)
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "GIT_"))},
            "HOME": str(home),
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.token,
            "HF_HOME": str(home / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def python(self, code: str) -> str:
        return self.run(sys.executable, "-c", code)

    def run(self, *args: str, cwd: Path | None = None) -> str:
        done = subprocess.run(args, cwd=cwd, env=self.env, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, f"{args[:3]}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout

    def git_url(self, repo: str) -> str:
        return f"{self.url.replace('://', f'://ada:{self.token}@')}/{repo}"


@pytest.fixture(scope="module")
def client(live_app, tmp_path_factory) -> Client:
    return Client(live_app, tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def pushed(client: Client, material: Material) -> Client:
    """The model by ``upload_folder`` over Xet, and the text as a dataset."""
    client.python(
        "from huggingface_hub import HfApi; api = HfApi()\n"
        f"for kind, name, folder in (('model', 'ada/smol', {str(material.model)!r}),\n"
        f"        ('dataset', 'ada/manuals', {str(material.dataset)!r}),\n"
        f"        ('dataset', 'ada/manuals-columns', {str(material.columns)!r})):\n"
        "    api.create_repo(name, repo_type=kind)\n"
        "    api.upload_folder(repo_id=name, repo_type=kind, folder_path=folder)\n"
    )
    return client


def test_snapshot_download_gives_back_every_byte(pushed: Client, material: Material, tmp_path: Path):
    other = Client.__new__(Client)
    other.__dict__ = {**pushed.__dict__, "env": {**pushed.env, "HF_HOME": str(tmp_path / "hf")}}
    other.python(
        "from huggingface_hub import snapshot_download as get\n"
        f"get('ada/smol', local_dir={str(tmp_path / 'model')!r})\n"
        f"get('ada/manuals', repo_type='dataset', local_dir={str(tmp_path / 'data')!r})\n"
    )
    assert digests(tmp_path / "model") == digests(material.model)
    assert digests(tmp_path / "data") == digests(material.dataset)


def test_snapshot_download_without_xet_gives_the_same(pushed: Client, material: Material, tmp_path: Path):
    other = Client.__new__(Client)
    other.__dict__ = {
        **pushed.__dict__,
        "env": {**pushed.env, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"},
    }
    other.python(
        f"from huggingface_hub import snapshot_download as get; get('ada/smol', local_dir={str(tmp_path / 'm')!r})"
    )
    assert digests(tmp_path / "m") == digests(material.model)


def test_git_clone_with_lfs_gives_back_every_byte(pushed: Client, material: Material, tmp_path: Path):
    pushed.run("git", "lfs", "install", "--skip-repo")
    pushed.run("git", "clone", "-q", pushed.git_url("ada/smol"), str(tmp_path / "clone"))
    assert digests(tmp_path / "clone") == digests(material.model)


def test_git_push_with_lfs_is_readable_by_the_hub_client(client: Client, material: Material, tmp_path: Path):
    client.python("from huggingface_hub import HfApi; HfApi().create_repo('ada/smol-git')")
    work = tmp_path / "work"
    client.run("git", "lfs", "install", "--skip-repo")
    client.run("git", "clone", "-q", client.git_url("ada/smol-git"), str(work))
    for path in material.model.iterdir():
        (work / path.name).write_bytes(path.read_bytes())
    client.run("git", "lfs", "track", "*.gguf", cwd=work)
    client.run("git", "add", ".", cwd=work)
    client.run("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-qm", "the model", cwd=work)
    client.run("git", "push", "-q", cwd=work)
    client.python(
        f"from huggingface_hub import snapshot_download as get; get('ada/smol-git', local_dir={str(tmp_path / 'm')!r})"
    )
    assert digests(tmp_path / "m") == digests(material.model)


def test_a_file_system_reads_ranges(pushed: Client, material: Material):
    out = pushed.python(
        "from huggingface_hub import HfFileSystem; fs = HfFileSystem()\n"
        f"f = fs.open('ada/smol/{material.gguf.name}', block_size=1 << 16)\n"
        "f.seek(50_000_000); print(f.read(64).hex(), fs.info('ada/smol/README.md')['size'])"
    )
    with material.gguf.open("rb") as f:
        f.seek(50_000_000)
        assert out.split() == [f.read(64).hex(), str((material.model / "README.md").stat().st_size)]


@pytest.mark.parametrize("name", ["manuals", "manuals-columns"])
@pytest.mark.parametrize("streaming", [False, True])
def test_load_dataset_gives_every_row(pushed: Client, material: Material, name: str, streaming: bool):
    out = pushed.python(
        "import hashlib, json; from datasets import load_dataset\n"
        f"rows = load_dataset('ada/{name}', split='train', streaming={streaming})\n"
        "text = json.dumps([dict(r) for r in rows], sort_keys=True)\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    expected = json.dumps(material.rows, sort_keys=True)
    assert out.split()[-1] == hashlib.sha256(expected.encode()).hexdigest()


@pytest.mark.models
def test_transformers_reads_the_model_from_here(pushed: Client, material: Material):
    out = pushed.python(
        "from transformers import AutoConfig, AutoTokenizer\n"
        f"gguf = {material.gguf.name!r}\n"
        "config = AutoConfig.from_pretrained('ada/smol', gguf_file=gguf)\n"
        "tokenizer = AutoTokenizer.from_pretrained('ada/smol', gguf_file=gguf)\n"
        "text = 'The source of the Yangtze 长江的源头'\n"
        "print(config.model_type, config.num_hidden_layers, tokenizer.decode(tokenizer(text)['input_ids']) == text)"
    )
    assert out.split()[-3:] == ["llama", "30", "True"]


def test_curl_reads_a_range(pushed: Client, material: Material):
    url = f"{pushed.url}/ada/smol/resolve/main/{material.gguf.name}"
    done = subprocess.run(["curl", "-sSf", "-r", "1000-1999", url], capture_output=True, check=True, timeout=60)
    with material.gguf.open("rb") as f:
        f.seek(1000)
        assert done.stdout == f.read(1000)


def test_a_commit_made_by_either_way_is_the_same_objects(pushed: Client, tmp_path: Path):
    pushed.run("git", "-c", "filter.lfs.smudge=", "-c", "filter.lfs.required=false", "clone", "-q", "--bare",
               pushed.git_url("ada/smol"), str(tmp_path / "bare"))  # fmt: skip
    head = pushed.run("git", "rev-parse", "main", cwd=tmp_path / "bare").strip()
    assert pushed.python(
        f"from huggingface_hub import HfApi; print(HfApi().model_info('ada/smol').sha == {head!r})"
    ) == ("True\n")
    pushed.run("git", "fsck", "--strict", "--full", cwd=tmp_path / "bare")


@pytest.mark.browser
def test_the_page_takes_the_model_and_the_hub_client_gives_it_back(
    client: Client, material: Material, chromium: Browser, tmp_path: Path
):
    """Sign in, make a repository, choose the files, commit: all by the page, in Chromium."""
    with chromium.new_context(locale="en-GB") as context:
        page = context.new_page()
        page.goto(f"{client.url}/login")
        page.fill("#f-name", "ada")
        page.fill("#f-password", PASSWORD)
        page.press("#f-password", "Enter")
        page.wait_for_url(f"{client.url}/")
        page.goto(f"{client.url}/new/model")
        page.fill("#f-name", "smol-page")
        page.get_by_role("button", name="Create").click()
        page.wait_for_url("**/ada/smol-page**")
        page.goto(f"{client.url}/ada/smol-page/upload/main")
        page.locator("#f-files").set_input_files(sorted(material.model.iterdir()))
        page.get_by_role("button", name="Upload and commit").click()
        page.wait_for_url(f"{client.url}/ada/smol-page/tree/main", timeout=180_000)
    client.python(
        f"from huggingface_hub import snapshot_download as get; get('ada/smol-page', local_dir={str(tmp_path / 'm')!r})"
    )
    assert digests(tmp_path / "m") == digests(material.model)
