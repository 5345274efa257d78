"""A site without a server, with everything that commits need; the same worlds as the git store's own tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.git.conftest import ada, repo, site, work
from tests.storage import Storage, make_storage

__all__ = ["ada", "repo", "site", "storage", "work"]


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    made = make_storage(tmp_path / "storage", hub=True)
    yield made
    made.site.close()
