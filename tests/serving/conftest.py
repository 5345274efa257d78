"""One server with one tiny model, served by the engine that is part of the product."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headwater.serving import store
from headwater.serving.processes import Running
from tests.conftest import LiveApp, wait_for
from tests.serving.tiny import make_tiny


class Serving:
    """A running site on which ada serves ``ada/tiny``."""

    def __init__(self, app: LiveApp) -> None:
        self.app = app
        self._client = httpx.Client(timeout=120)

    def api(self, method: str, path: str, user: str = "ada", scope: str = "write", **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.app.token(user, scope)}"}
        return self._client.request(method, f"{self.app.url}{path}", headers=headers, **more)

    def create(self, **wish: Any) -> dict[str, Any]:
        answer = self.api("POST", "/api/v1/endpoints", json=wish)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def get(self, model: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api("GET", f"/api/v1/endpoints/{model}").json()
        return found

    def wait(self, model: str, state: str, *, timeout_s: float = 120) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.get(model)
            return found if found["state"] == state else None

        try:
            found: dict[str, Any] = wait_for(look, timeout_s=timeout_s, what=f"{model} being {state}")
        except AssertionError as exc:
            raise AssertionError(f"{exc}: {self.get(model)}") from None
        return found

    def client(self, user: str = "ada", scope: str = "infer", **more: Any) -> Any:
        from openai import OpenAI

        given = {"max_retries": 0, "timeout": 120, **more}
        return OpenAI(base_url=f"{self.app.url}/v1", api_key=self.app.token(user, scope), **given)


def engine_of(site: Serving, model: str) -> Running | None:
    with site.app.opened() as opened:
        owner, _, name = model.partition("/")
        found = opened.db.read(store.find_by_name, owner, name)
        assert found is not None
        if found.standing.pid is None:
            return None
        return Running(found.standing.pid, found.standing.pid_started or 0)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Iterator[Serving]:
    env = {
        "HEADWATER_SERVING_HEALTH_EVERY_S": "0.5",
        "HEADWATER_SERVING_STALL_S": "20",
        "HEADWATER_SERVING_THREADS": "1",
    }
    app = LiveApp(tmp_path_factory.mktemp("serving") / "data", env=env)
    try:
        app.add_people()
        hf = app.hf("ada")
        hf.create_repo("ada/tiny")
        hf.upload_folder(repo_id="ada/tiny", folder_path=tiny_folder)
        made = Serving(app)
        made.create(model="ada/tiny", engine="transformers", access="everyone", context_tokens=8192)
        made.wait("ada/tiny", "ready")
        yield made
    finally:
        app.stop()
    app.check_clean()
