"""Links and tokens that were signed for somebody open nothing once that person or their token has lost its power."""

from __future__ import annotations

import hashlib

import httpx
import pytest

from headwater.accounts.service import people, tokens
from headwater.kernel import SYSTEM, utcnow
from tests.conftest import LiveApp

DATA = b"\x00 arrives too late" * 500
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def person(live_app: LiveApp, request: pytest.FixtureRequest) -> str:
    name = "ended-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    live_app.add_person(name)
    live_app.hf(name).create_repo(f"{name}/repo", private=True)
    return name


def suspend(app: LiveApp, person: str) -> None:
    with app.opened() as site:
        site.db.write(people.suspend, SYSTEM, person, now=utcnow())


def test_a_suspended_person_uploads_nothing_through_an_older_link(live_app: LiveApp, person: str):
    headers = {"Authorization": f"Bearer {live_app.token(person)}"}
    wanted = {"operation": "upload", "objects": [{"oid": DIGEST, "size": len(DATA)}]}
    batch = httpx.post(f"{live_app.url}/{person}/repo.git/info/lfs/objects/batch", headers=headers, json=wanted).json()
    suspend(live_app, person)
    answer = httpx.put(batch["objects"][0]["actions"]["upload"]["href"], content=DATA)
    assert answer.status_code in (401, 403, 404), answer.text


@pytest.mark.parametrize("end", ["suspend", "revoke"])
def test_a_xet_token_ends_with_what_it_was_made_from(live_app: LiveApp, person: str, end: str):
    live_app.hf(person).upload_file(path_or_fileobj=DATA, path_in_repo="a.bin", repo_id=f"{person}/repo")
    address = f"{live_app.url}/api/models/{person}/repo"
    headers = {"Authorization": f"Bearer {live_app.token(person)}"}
    token = httpx.get(f"{address}/xet-read-token/main", headers=headers).json()
    found = httpx.get(f"{address}/tree/main", headers=headers).json()
    name = next(entry["xetHash"] for entry in found if entry["path"] == "a.bin")
    asked = f"{token['casUrl']}/v1/reconstructions/{name}"
    bearer = {"Authorization": f"Bearer {token['accessToken']}"}
    assert httpx.get(asked, headers=bearer).status_code == 200
    if end == "suspend":
        suspend(live_app, person)
    else:
        with live_app.opened() as site:
            for info in site.db.read(tokens.list_tokens, SYSTEM, owner=person):
                site.db.write(tokens.revoke_token, SYSTEM, info.id, now=utcnow())
    assert httpx.get(asked, headers=bearer).status_code in (401, 403, 404)
