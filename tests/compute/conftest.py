"""A server that knows the tests' own kinds of runs, shared by these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compute.client import RunsClient
from tests.conftest import LiveApp

ROOT = Path(__file__).parents[2]
ENV = {
    "PYTHONPATH": str(ROOT),
    "HEADWATER_COMPUTE_CPUS": "4",
    "HEADWATER_COMPUTE_MEMORY_GB": "4",
}


@pytest.fixture(scope="module")
def runs_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApp]:
    app = LiveApp(
        tmp_path_factory.mktemp("runs") / "data", env=ENV, options={"workers": 1}, module="tests.compute.server"
    )
    try:
        app.add_people()
        yield app
    finally:
        app.stop()
        app.end_runs()
    app.check_clean()


@pytest.fixture
def ada(runs_app: LiveApp) -> RunsClient:
    return RunsClient(runs_app, "ada")
