from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.blobs.s3 import S3Store
from headwater.blobs.settings import S3Settings
from tests.conftest import LiveApp
from tests.servers.faulty import FaultyStore
from tests.servers.seaweed import KEY_ID, SECRET_KEY, seaweed


@pytest.fixture(scope="session")
def bucket() -> str:
    return seaweed().new_bucket()


@pytest.fixture
def place(bucket: str, request: pytest.FixtureRequest) -> str:
    """A prefix of this test's own."""
    return f"s3://{bucket}/t{abs(hash(request.node.nodeid))}"


@pytest.fixture
def faulty() -> Iterator[FaultyStore]:
    made = FaultyStore(seaweed().url)
    yield made
    made.close()


def s3_settings(url: str, **changed: Any) -> S3Settings:
    given: dict[str, Any] = {"endpoint": url, "key_id": KEY_ID, "secret_key": SECRET_KEY, "timeout_s": 3.0}
    return S3Settings(**{**given, **changed})


@pytest.fixture
def store(place: str, tmp_path: Path) -> S3Store:
    return S3Store(place, s3_settings(seaweed().url), tmp_path / "cache")


@pytest.fixture
def shaky(place: str, tmp_path: Path, faulty: FaultyStore) -> S3Store:
    """The same store, reached through ``faulty``."""
    return S3Store(place, s3_settings(faulty.url, timeout_s=2.0), tmp_path / "shaky")


def write_toml(data: Path, place: str, url: str, **settings: Any) -> None:
    given = {"endpoint": url, "key_id": KEY_ID, "secret_key": SECRET_KEY, **settings}
    lines = [f'blobs = "{place}"']
    for section, values in (("s3", given), ("lfs", given.pop("lfs", {}))):
        lines.append(f"[{section}]")
        for name, value in values.items():
            lines.append(f"{name} = {str(value).lower() if isinstance(value, bool | int) else repr(value)}")
    data.mkdir(parents=True, exist_ok=True)
    (data / "headwater.toml").write_text("\n".join(lines) + "\n")


@pytest.fixture
def store_app(tmp_path: Path, place: str) -> Iterator[Callable[..., LiveApp]]:
    """Makes servers whose objects lie in the store: ``store_app(url=..., direct=False, lfs={...})``."""
    made: list[LiveApp] = []

    def make(name: str = "data", *, url: str | None = None, people: bool = True, **settings: Any) -> LiveApp:
        data = tmp_path / name
        write_toml(data, place, url or seaweed().url, **settings)
        app = LiveApp(data, options={"workers": 1})
        made.append(app)
        if people:
            app.add_people()
        return app

    yield make
    for app in made:
        app.stop()
    for app in made:
        app.check_clean()
