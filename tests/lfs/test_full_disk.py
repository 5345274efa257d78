"""A disk that fills up in the middle of an upload."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import LiveApp, app_on_small_disk

MIB = 1 << 20


@pytest.fixture
def small_app(tmp_path: Path) -> Iterator[LiveApp]:
    with app_on_small_disk(tmp_path / "data", size_mib=4) as app:
        yield app


def test_the_sender_is_told_and_nothing_stays(small_app: LiveApp, tmp_path: Path) -> None:
    small_app.hf("ada").create_repo("ada/m")
    for size, status in ((20 * MIB, 507), (3 * MIB, 200)):
        data = os.urandom(size)
        named = {"oid": hashlib.sha256(data).hexdigest(), "size": size}
        answer = httpx.post(
            f"{small_app.url}/ada/m.git/info/lfs/objects/batch",
            json={"operation": "upload", "objects": [named]},
            headers={"Authorization": f"Bearer {small_app.token('ada')}"},
        )
        link = answer.json()["objects"][0]["actions"]["upload"]["href"]
        (tmp_path / "file").write_bytes(data)
        whole = ["-T", str(tmp_path / "file")]
        chunked = [*whole, "-H", "Transfer-Encoding: chunked"]
        for how in (whole, chunked):
            done = subprocess.run(["curl", "-s", "-w", "%{http_code}", *how, link], capture_output=True, check=False)
            assert done.stdout.endswith(str(status).encode())
        kept = [p for p in (small_app.data / "blobs").rglob("*") if p.is_file() and p.stat().st_size]
        assert [p.name for p in kept] == ([named["oid"]] if status == 200 else [])
