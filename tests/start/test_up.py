"""Starting, ending and asking after the platform, as an operator or a script does."""

from __future__ import annotations

import httpx


def test_it_answers_and_its_people_have_tokens(live_app):
    answer = httpx.get(f"{live_app.url}/api/whoami-v2", headers={"Authorization": f"Bearer {live_app.token('ada')}"})
    assert answer.headers["x-request-id"]
