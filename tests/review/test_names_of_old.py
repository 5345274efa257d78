"""Who once saw a repository learns nothing new of it after it has become private."""

from __future__ import annotations

import contextlib
import re

import httpx

from tests.conftest import LiveApp
from tests.review.browser import sign_in


def test_a_webhook_does_not_tell_the_new_name_of_what_became_private(live_app: LiveApp):
    bob = live_app.hf("bob")
    bob.create_repo("bob/once-open")
    headers = {"Authorization": f"Bearer {live_app.token('eve')}"}
    watched = [{"type": "model", "name": "bob/once-open"}, {"type": "user", "name": "bob"}]
    body = {"url": "http://example.org/hook", "watched": watched}
    made = httpx.post(f"{live_app.url}/api/settings/webhooks", headers=headers, json=body)
    assert made.is_success, made.text
    bob.update_repo_settings("bob/once-open", private=True)
    bob.move_repo("bob/once-open", "bob/unspoken-plan")
    for address in (
        "/api/settings/webhooks",
        f"/api/settings/webhooks/{made.json()['webhook']['id']}",
        "/settings/webhooks",
    ):
        answer = httpx.get(live_app.url + address, headers=headers)
        assert answer.status_code == 200
        assert "unspoken-plan" not in answer.text
        assert "bob" in answer.text


def test_a_tokens_page_does_not_tell_the_new_name_of_what_became_private(live_app: LiveApp):
    bob = live_app.hf("bob")
    bob.create_repo("bob/token-open")
    with contextlib.closing(sign_in(live_app, "eve")) as client:
        word = re.search(r'name="csrf" value="([^"]*)"', client.get("/settings/tokens").text)
        assert word is not None
        form = {"csrf": word[1], "act": "create", "name": "narrow", "role": "fine", "life": "30"}
        form |= {"repo_1": "bob/token-open", "repo_action_1": "read"}
        made = client.post("/settings/tokens", data=form)
        assert "bob/token-open" in made.text, made.text
        bob.update_repo_settings("bob/token-open", private=True)
        bob.move_repo("bob/token-open", "bob/unspoken-token")
        answer = client.get("/settings/tokens")
        assert answer.status_code == 200
        assert "narrow" in answer.text
        assert "unspoken-token" not in answer.text
