"""A server with a few repositories, and browsers signed in to it."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest

from headwater.accounts.service import lookup, sessions
from headwater.kernel import utcnow
from tests.conftest import LiveApp, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

MODEL, DATASET, SPACE, PRIVATE, GATED = (
    "lab/pages-model",
    "lab/pages-data",
    "ada/pages-code",
    "ada/pages-private",
    "lab/pages-gated",
)
CARD = """---
license: apache-2.0
language: [zh, en]
library_name: transformers
pipeline_tag: text-generation
base_model: somebody/elsewhere
datasets: [lab/pages-data]
---
# A model for pages

Text with $x^2$, a [script](scripts/run.py), <script>alert(1)</script> and <img src="figures/loss.png" alt="loss" onerror=alert(2)>.

```python
print("hello")
```

| a | b |
|---|---:|
| 1 | 2 |
"""


@dataclass
class Pages:
    """The server, what is in it, and who reads it."""

    app: LiveApp
    cookies: dict[str, str]
    commit: str

    @property
    def url(self) -> str:
        return self.app.url

    def client(self, user: str | None = None, language: str = "en") -> httpx.Client:
        cookies = {"hw_lang": language}
        if user is not None:
            cookies["hw_session"] = self.cookies[user]
        return httpx.Client(base_url=self.url, cookies=cookies, timeout=60)

    def sign_in_anew(self, user: str) -> None:
        """For what asks who sits there: the session of all these tests may be older than that proof holds."""
        with self.app.opened() as site:
            account = site.db.read(lookup.get_account, user)
            self.cookies[user] = site.db.write(sessions.start_session, account, user_agent="tests", now=utcnow())


def safetensors(tensors: dict[str, tuple[int, ...]]) -> bytes:
    header, offset = {}, 0
    for name, shape in tensors.items():
        size = 2
        for n in shape:
            size *= n
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(offset)


def png() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (40, 30), (11, 107, 115)).save(out, "PNG")
    return out.getvalue()


NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "metadata": {}, "source": ["# In the notebook"]},
        {
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {},
            "source": ["print(1)"],
            "outputs": [{"output_type": "stream", "name": "stdout", "text": ["the output\n"]}],
        },
    ],
    "metadata": {"kernelspec": {"language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def fill(app: LiveApp) -> str:
    """Repositories of every kind, by the real client; returns the model's commit."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from huggingface_hub import CommitOperationAdd

    hf = app.hf("ada")

    def commit(name: str, kind: str, files: dict[str, bytes | str], message: str = "Fill") -> str:
        operations = [
            CommitOperationAdd(path, data.encode() if isinstance(data, str) else data) for path, data in files.items()
        ]
        return hf.create_commit(name, operations, commit_message=message, repo_type=kind).oid

    hf.create_repo(MODEL)
    model = commit(
        MODEL,
        "model",
        {
            "README.md": CARD,
            "config.json": '{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 8192}\n',
            "model.safetensors": safetensors({"embed.weight": (64, 16), "layer.0.weight": (16, 16)}),
            "scripts/run.py": "def main() -> None:\n    print('hi <b>')\n",
            "figures/loss.png": png(),
            "look.ipynb": json.dumps(NOTEBOOK),
            "bytes.dat": b"\x00\x01\x02" * 100,
            "中文 名.txt": "你好\n",
        },
    )
    hf.create_tag(MODEL, tag="v1.0")
    hf.create_branch(MODEL, branch="next")
    hf.upload_file(
        path_or_fileobj=b'{"model_type": "llama2"}\n', path_in_repo="config.json", repo_id=MODEL, revision="next"
    )
    table = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(300)), "text": [f"row {i}" for i in range(300)]}), table)
    hf.create_repo(DATASET, repo_type="dataset")
    commit(
        DATASET,
        "dataset",
        {
            "README.md": "---\nlicense: cc-by-4.0\n---\n# Data\n",
            "data/a.csv": "name,n\n" + "".join(f"长江 {i},{i}\n" for i in range(200)),
            "data/b.jsonl": "".join(
                json.dumps({"q": f"问 {i}", "a": {"n": i}}, ensure_ascii=False) + "\n" for i in range(50)
            ),
            "data/c.parquet": table.getvalue(),
        },
    )
    hf.create_repo(SPACE, repo_type="space", space_sdk="static")
    hf.create_repo(PRIVATE, private=True)
    hf.create_repo(GATED)
    hf.update_repo_settings(GATED, gated="manual")
    hf.create_repo("lab/pages-old-name")
    hf.move_repo("lab/pages-old-name", "lab/pages-new-name")
    return model


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """A server of the pages' own, filled once and indexed."""
    app = LiveApp(tmp_path_factory.mktemp("pages") / "data")
    try:
        app.add_people()
        commit = fill(app)
        with app.opened() as site:
            cookies = {
                name: site.db.write(
                    sessions.start_session, site.db.read(lookup.get_account, name), user_agent="tests", now=utcnow()
                )
                for name in ("ada", "bob")
            }
        found = Pages(app, cookies, commit)
        with found.client() as client:
            wait_for(lambda: "LlamaForCausalLM" in client.get(f"/{MODEL}").text, what="the index")
        yield found
    finally:
        app.stop()
    app.check_clean()


@pytest.fixture
def browse(pages: Pages, chromium: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Opens a browser window: ``browse("ada", language="zh-CN", width=390)``."""
    opened = []

    def open_window(
        user: str | None = None, *, language: str = "en", theme: str = "light", width: int = 1280, js: bool = True
    ) -> BrowserContext:
        context = chromium.new_context(viewport={"width": width, "height": 800}, java_script_enabled=js)
        values = {"hw_lang": language, "hw_theme": theme}
        if user is not None:
            values["hw_session"] = pages.cookies[user]
        context.add_cookies([{"name": name, "value": value, "url": pages.url} for name, value in values.items()])
        opened.append(context)
        return context

    yield open_window
    for context in opened:
        context.close()
