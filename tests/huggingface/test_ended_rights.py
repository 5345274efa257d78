"""No remembered answer outlives the right to it, however often and by whichever process it was given before."""

from __future__ import annotations

import secrets
from datetime import timedelta

import httpx
import pytest
from huggingface_hub import CommitOperationAdd

from headwater.accounts.models import Role
from headwater.accounts.service import organisations, people, tokens
from headwater.kernel import SYSTEM, utcnow
from tests.conftest import LiveApp, wait_for

TIMES = 6  # so often that every worker has answered, and answers again from memory


@pytest.fixture
def person(live_app: LiveApp) -> str:
    name = f"p{secrets.token_hex(4)}"
    live_app.add_person(name)
    live_app.add_member("lab", name, Role.READ)
    return name


@pytest.fixture
def paths(live_app: LiveApp) -> list[tuple[str, str]]:
    """Of a private repository of the organisation, and of who asks."""
    api = live_app.hf("ada")
    repo = api.create_repo(f"lab/ended-{secrets.token_hex(4)}", private=True).repo_id
    api.create_commit(repo, [CommitOperationAdd("config.json", b"{}")], commit_message="One")
    return [("GET", "/api/whoami-v2"), ("GET", f"/api/models/{repo}"), ("HEAD", f"/{repo}/resolve/main/config.json")]


def make_token(app: LiveApp, person: str, lives: timedelta | None = None) -> tokens.NewToken:
    with app.opened() as site:
        return site.db.write(
            tokens.create_token,
            SYSTEM,
            owner=person,
            name="for tests",
            role="read",
            grants=[],
            expires_at=None if lives is None else utcnow() + lives,
            now=utcnow(),
        )


def statuses(app: LiveApp, token: str, paths: list[tuple[str, str]]) -> list[set[int]]:
    """Each time on a connection of its own, so that every worker answers some."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return [
        {httpx.request(method, app.url + path, headers=headers, timeout=30).status_code for _ in range(TIMES)}
        for method, path in paths
    ]


@pytest.mark.parametrize("end", ["revoke", "suspend"])
def test_an_ended_credential_is_refused_at_once(live_app, person, paths, end):
    token = make_token(live_app, person)
    assert statuses(live_app, token.secret, paths) == [{200}] * 3
    with live_app.opened() as site:
        if end == "revoke":
            site.db.write(tokens.revoke_token, SYSTEM, token.info.id, now=utcnow())
        else:
            site.db.write(people.suspend, SYSTEM, person, now=utcnow())
    assert statuses(live_app, token.secret, paths) == [{401}] * 3


def test_a_token_expires_though_nobody_commits_anything(live_app, person, paths):
    for life_s in (3, 10, 40):  # on a busy machine it may be over before everybody was asked
        token = make_token(live_app, person, timedelta(seconds=life_s))
        told = statuses(live_app, token.secret, paths[:1])
        assert token.info.expires_at is not None
        if utcnow() < token.info.expires_at:
            assert told == [{200}]
            break
    else:
        pytest.fail("a few requests take longer than forty seconds here")
    ended = [{401}]
    wait_for(lambda: statuses(live_app, token.secret, paths[:1]) == ended, timeout_s=90, what="the end of the token")
    assert statuses(live_app, token.secret, paths) == [{401}] * 3


def test_who_leaves_an_organisation_sees_its_private_things_no_more(live_app, person, paths):
    token = make_token(live_app, person)
    assert statuses(live_app, token.secret, paths) == [{200}] * 3
    with live_app.opened() as site:
        site.db.write(organisations.remove_member, SYSTEM, "lab", person, now=utcnow())
    assert statuses(live_app, token.secret, paths) == [{200}, {404}, {404}]
    headers = {"Authorization": f"Bearer {token.secret}"}
    assert httpx.get(f"{live_app.url}/api/whoami-v2", headers=headers).json()["orgs"] == []
    live_app.add_member("lab", person, Role.READ)
    assert statuses(live_app, token.secret, paths) == [{200}] * 3


def test_what_one_may_read_is_not_told_to_another(live_app, person, paths):
    token = make_token(live_app, person)
    assert statuses(live_app, token.secret, paths[1:]) == [{200}] * 2
    assert statuses(live_app, live_app.token("eve"), paths[1:]) == [{404}] * 2
    assert statuses(live_app, "", paths[1:]) == [{401}] * 2
    assert statuses(live_app, token.secret, paths[1:]) == [{200}] * 2
    headers = {"Authorization": f"Bearer {live_app.token('eve')}"}
    for _ in range(TIMES):
        assert httpx.get(f"{live_app.url}/api/whoami-v2", headers=headers).json()["name"] == "eve"
