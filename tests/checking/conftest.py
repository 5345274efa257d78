from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checking.varied import make_varied
from tests.storage import Storage


@pytest.fixture
def varied(tmp_path: Path) -> Iterator[Storage]:
    made = make_varied(tmp_path / "data")
    yield made
    made.site.close()
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
