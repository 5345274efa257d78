"""The API of runs, as a program would call it."""

from __future__ import annotations

from typing import Any

import httpx

from tests.conftest import LiveApp, wait_for

OVER = ("succeeded", "failed", "cancelled", "lost")


class RunsClient:
    def __init__(self, app: LiveApp, user: str | None, scope: str = "write", *, token: str | None = None) -> None:
        token = token or (None if user is None else app.token(user, scope))
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.http = httpx.Client(base_url=f"{app.url}/api/v1", headers=headers, timeout=30)

    def submit(self, recipe: str, **more: Any) -> dict[str, Any]:
        answer = self.http.post("/runs", json={"recipe": recipe, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def show(self, run_id: int) -> dict[str, Any]:
        answer = self.http.get(f"/runs/{run_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def log(self, run_id: int) -> str:
        return self.http.get(f"/runs/{run_id}/logs").text

    def wait(self, run_id: int, *, timeout_s: float = 180.0) -> dict[str, Any]:
        """Until it is over."""

        def look() -> dict[str, Any] | None:
            found = self.show(run_id)
            return found if found["state"] in OVER else None

        over: dict[str, Any] = wait_for(look, timeout_s=timeout_s, what=f"the end of run {run_id}")
        return over

    def wait_for_log(self, run_id: int, text: str, *, timeout_s: float = 90.0) -> None:
        wait_for(lambda: text in self.log(run_id), timeout_s=timeout_s, what=f"{text!r} in the log of run {run_id}")


def act(name: str, what: str, *, resources: str = "", retries: int = 0, **own: Any) -> str:
    """A recipe of the kind ``act``."""
    lines = "".join(f"  {key}: {value}\n" for key, value in {"act": what, **own}.items())
    held = f"resources: {{cpus: 0.5, memory_gb: 0.5{', ' + resources if resources else ''}}}\n"
    return f"kind: act\nname: {name}\nretries: {retries}\n{held}with:\n{lines}"
