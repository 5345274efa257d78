"""A disk that fills up in the middle of a commit: a clear refusal, nothing half-stored, and reading goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import HfHubHTTPError

from tests.conftest import LiveApp, app_on_small_disk

MIB = 1 << 20


@pytest.fixture
def small_app(tmp_path: Path) -> Iterator[LiveApp]:
    with app_on_small_disk(tmp_path / "data", size_mib=6) as app:
        yield app


def test_a_commit_that_does_not_fit_leaves_nothing(small_app: LiveApp) -> None:
    api = small_app.hf("ada")
    api.create_repo("ada/m")
    before = api.repo_info("ada/m").sha
    noise = [CommitOperationAdd(f"{n}.txt", os.urandom(MIB // 2).hex().encode()) for n in range(20)]
    with pytest.raises(HfHubHTTPError, match="disk of this server is full") as caught:
        api.create_commit("ada/m", noise, commit_message="Too much")
    assert caught.value.response.status_code == 507
    assert api.repo_info("ada/m").sha == before
    assert not [path for path in (small_app.data / "blobs").rglob("*") if path.is_file() and path.stat().st_size]
    api.create_commit("ada/m", noise[:2], commit_message="Enough")
    assert Path(api.hf_hub_download("ada/m", "1.txt")).stat().st_size == MIB
