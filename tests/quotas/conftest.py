from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage import Storage, make_storage


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    made = make_storage(tmp_path / "data")
    yield made
    made.site.db.close()
