from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.serving import Served

BIG_BYTES = 24 * 1024 * 1024 + 17


@pytest.fixture(scope="session")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``big``, of bytes that nothing repeats, and ``small``."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "big").write_bytes(random.Random(7).randbytes(BIG_BYTES))
    (folder / "small").write_bytes(b"<script>alert(1)</script>")
    (folder / "empty").write_bytes(b"")
    return folder


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def served(request: pytest.FixtureRequest, big: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The small site, on either event loop."""
    folder = tmp_path_factory.mktemp("served")
    for name in ("big", "small", "empty"):
        (folder / name).hardlink_to(big / name)
    site = Served(folder, loop=request.param)
    yield site
    site.stop()
