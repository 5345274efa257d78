"""A browser's session without a browser."""

from __future__ import annotations

import re

import httpx

from tests.conftest import PASSWORD, LiveApp


def sign_in(app: LiveApp, user: str) -> httpx.Client:
    """A client that carries the cookie of ``user``."""
    client = httpx.Client(base_url=app.url, timeout=60)
    word = re.search(r'name="csrf" value="([^"]*)"', client.get("/login").text)
    assert word is not None
    answer = client.post("/login", data={"name": user, "password": PASSWORD, "csrf": word[1]})
    assert answer.status_code in (302, 303), answer.text
    return client
