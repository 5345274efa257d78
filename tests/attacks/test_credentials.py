"""Who is asking, in every place a credential may stand: H04, H05, H11, H12, H18."""

from __future__ import annotations

import base64
import contextlib
import re
import statistics
import time
from datetime import timedelta

import httpx
import pytest

from headwater.accounts.models import Role
from headwater.accounts.service import links, organisations, people, sessions, tokens
from headwater.kernel import SYSTEM, Grant, utcnow
from tests.attacks.asking import ask, bearer, hide
from tests.conftest import PASSWORD, LiveApp
from tests.review.browser import sign_in

REFS = "/bob/h04.git/info/refs?service=git-upload-pack"
ADDRESSES = (
    "/api/models/bob/h04",
    "/bob/h04/resolve/main/README.md",
    "/bob/h04/raw/main/README.md",
    "/api/models/bob/h04/tree/main",
    REFS,
    "/bob/h04",
)


@pytest.fixture(scope="module", autouse=True)
def repository(live_app: LiveApp) -> None:
    hide(live_app, "bob/h04")


def basic(secret: str, user: str = "anyone") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


def test_h04_a_token_opens_the_same_as_bearer_and_as_basic(live_app: LiveApp):
    for user, opens in (("bob", True), ("eve", False)):
        secret = live_app.token(user, "read")
        for path in ADDRESSES:
            found = {
                httpx.get(live_app.url + path, headers=headers).status_code
                for headers in ({"Authorization": f"Bearer {secret}"}, basic(secret), basic(secret, "bob"))
            }
            assert len(found) == 1, (user, path, found)
            assert (found == {200}) is opens, (user, path, found)


def test_h04_a_token_in_the_address_or_elsewhere_is_no_credential(live_app: LiveApp):
    secret = live_app.token("bob")
    for path in ADDRESSES:
        sign = "&" if "?" in path else "?"
        for name in ("token", "access_token", "private_token", "api_key", "authorization"):
            assert httpx.get(f"{live_app.url}{path}{sign}{name}={secret}").status_code in (303, 401, 404), (path, name)
        for headers in (
            {"X-Token": secret},
            {"Private-Token": secret},
            {"Authorization": f"token {secret}"},
            {"Authorization": secret},
            {"Cookie": f"token={secret}; hw_session={secret}"},
        ):
            assert httpx.get(live_app.url + path, headers=headers).status_code in (303, 400, 401, 404), (path, headers)
    authority = live_app.url.replace("://", f"://{secret}:@")
    # What a client makes of an address with a user in it is Basic, whose password is empty here.
    assert httpx.get(authority + ADDRESSES[0]).status_code == 401


def test_h04_a_session_reads_by_git_and_never_pushes_without_its_word(live_app: LiveApp):
    with contextlib.closing(sign_in(live_app, "eve")) as eve:
        assert eve.get(REFS).status_code in (401, 404)
    with contextlib.closing(sign_in(live_app, "bob")) as bob:
        assert bob.get(REFS).status_code == 200
        push = bob.post("/bob/h04.git/git-receive-pack", content=b"0000")
        assert push.status_code in (401, 403), push.text
        assert "did not come from a page of this site" in push.text


def test_h05_a_read_token_writes_nothing(live_app: LiveApp):
    headers = bearer(live_app, "bob", "read")
    for method, path, body in (
        ("POST", "/api/repos/create", {"name": "h05-new"}),
        ("DELETE", "/api/repos/delete", {"name": "h04"}),
        ("POST", "/api/models/bob/h04/branch/x", {}),
        ("PUT", "/api/models/bob/h04/settings", {"private": False}),
        ("POST", "/api/models/bob/h04/discussions", {"title": "t"}),
        (
            "POST",
            "/bob/h04.git/info/lfs/objects/batch",
            {"operation": "upload", "objects": [{"oid": "a" * 64, "size": 1}]},
        ),
        ("GET", "/api/models/bob/h04/xet-write-token/main", None),
        ("GET", "/bob/h04.git/info/refs?service=git-receive-pack", None),
        ("POST", "/bob/h04.git/git-receive-pack", None),
        ("POST", "/api/settings/webhooks", {"url": "https://example.com/", "watched": [], "domains": ["repo"]}),
    ):
        answer = httpx.request(method, live_app.url + path, headers=headers, json=body)
        assert answer.status_code == 403, (method, path, answer.status_code, answer.text)


def test_h05_a_token_of_one_repository_opens_no_other(live_app: LiveApp):
    live_app.hf("bob").create_repo("bob/h05-own", private=True)
    with live_app.opened() as site:
        from headwater.hub.access import find_by_name
        from headwater.hub.models import RepoKind, RepoName

        own = site.db.read(find_by_name, RepoKind.MODEL, RepoName("bob", "h05-own"))
        assert own is not None
        made = site.db.write(
            tokens.create_token, SYSTEM, owner="bob", name="one", role="fine",
            grants=[Grant("write", None, own.id)], expires_at=None, now=utcnow(),
        )  # fmt: skip
    headers = {"Authorization": f"Bearer {made.secret}"}
    assert httpx.get(f"{live_app.url}/api/models/bob/h05-own", headers=headers).status_code == 200
    for path in ADDRESSES:
        assert httpx.get(live_app.url + path, headers=headers).status_code == 404, path
    assert b"h04" not in httpx.get(f"{live_app.url}/api/models?author=bob", headers=headers).content
    assert httpx.get(f"{live_app.url}/settings/tokens", headers=headers).status_code == 403


def test_h05_expired_revoked_and_suspended_are_no_credentials(live_app: LiveApp):
    live_app.add_person("h05-mole")
    now, day = utcnow(), timedelta(days=1)
    with live_app.opened() as site:

        def token(owner: str, **more: object) -> tokens.NewToken:
            given = {"grants": (), "expires_at": None, "now": now} | more
            return site.db.write(tokens.create_token, SYSTEM, owner=owner, name="x", role="write", **given)  # type: ignore[arg-type]

        dead = [token("bob", now=now - 2 * day, expires_at=now - day), token("bob"), token("h05-mole")]
        site.db.write(tokens.revoke_token, SYSTEM, dead[1].info.id, now=now)
        with contextlib.closing(sign_in(live_app, "h05-mole")) as mole:
            assert mole.get("/settings/tokens").status_code == 200
            site.db.write(people.suspend, SYSTEM, "h05-mole", now=now)
            assert mole.get("/settings/tokens").status_code in (303, 401)
    for made in dead:
        for path in (*ADDRESSES, "/api/whoami-v2", "/api/models"):
            answer = httpx.get(live_app.url + path, headers={"Authorization": f"Bearer {made.secret}"})
            if path == "/api/models":  # open to all: such a token makes a stranger, who sees nothing private
                assert b"h04" not in answer.content
            else:
                assert answer.status_code in ((303,) if path == "/bob/h04" else (401,)), (path, answer.status_code)


def login(app: LiveApp, name: str, password: str, client: httpx.Client | None = None) -> httpx.Response:
    client = client or httpx.Client(base_url=app.url, timeout=60)
    return client.post("/login", data={"name": name, "password": password})


def test_h11_guessing_a_password_ends_soon_and_the_right_one_waits_too(new_app):
    app = new_app(workers=1)
    statuses = [login(app, "bob", f"guess number {n}").status_code for n in range(10)]
    assert statuses[:8] == [401] * 8
    assert statuses[8:] == [429] * 2
    told = login(app, "bob", PASSWORD)
    assert told.status_code == 429
    assert int(told.headers["Retry-After"]) > 0
    assert login(app, "eve", PASSWORD).status_code == 303  # nobody else is locked out
    # And from one address no more than so many, whatever the names: those that there are and those that there are not.
    told = [login(app, f"name-{n}", "a guess").status_code for n in range(sessions.ADDRESS_LIMIT)]
    n_taken = told.index(429)
    assert set(told[:n_taken]) == {401}
    assert set(told[n_taken:]) == {429}
    assert login(app, "eve", "a guess").status_code == 429


def test_h11_an_unknown_name_is_answered_as_a_wrong_password_is(new_app):
    app = new_app(workers=1)
    took: dict[str, list[float]] = {"bob": [], "nobody-of-this-name": []}
    texts = set()
    for n in range(5):
        for name, times in took.items():
            begun = time.perf_counter()
            answer = login(app, name, f"wrong {n}")
            times.append(time.perf_counter() - begun)
            assert answer.status_code == 401
            text = re.sub(r'value="[^"]*"|[0-9a-f]{16}', "", answer.text).replace(name, "NAME")
            texts.add(text)
    assert len(texts) == 1
    middle = [statistics.median(times) for times in took.values()]
    assert max(middle) < 2.5 * min(middle)


def test_h11_a_link_for_a_new_password_works_once(live_app: LiveApp):
    live_app.add_person("h11-lost")
    with live_app.opened() as site:
        path = site.db.write(links.make_reset_link, SYSTEM, "h11-lost", now=utcnow())
    first = httpx.post(live_app.url + path, data={"act": "reset", "password": "another calm heron"}, timeout=60)
    assert first.status_code == 303, first.text
    second = httpx.post(live_app.url + path, data={"act": "reset", "password": "yet another heron"}, timeout=60)
    assert second.status_code == 410
    assert login(live_app, "h11-lost", "yet another heron").status_code == 401
    assert login(live_app, "h11-lost", "another calm heron").status_code == 303


def test_h12_a_cookie_that_somebody_planted_is_replaced_by_signing_in(live_app: LiveApp):
    planted = "A" * 43
    with httpx.Client(base_url=live_app.url, cookies={"hw_session": planted}, timeout=60) as client:
        assert login(live_app, "eve", PASSWORD, client).status_code == 303
        mine = [cookie.value for cookie in client.cookies.jar if cookie.name == "hw_session"]
        assert mine
        assert mine[-1] != planted
    assert httpx.get(f"{live_app.url}/settings/profile", cookies={"hw_session": planted}).status_code in (303, 401)


def test_h12_a_session_goes_with_the_password_and_with_signing_out(live_app: LiveApp):
    live_app.add_person("h12-heron")
    with (
        contextlib.closing(sign_in(live_app, "h12-heron")) as here,
        contextlib.closing(sign_in(live_app, "h12-heron")) as there,
    ):
        page = here.get("/settings/sign-in").text
        word = re.search(r'name="csrf" value="([^"]*)"', page)
        assert word is not None
        changed = here.post(
            "/settings/sign-in",
            data={"act": "password", "old": PASSWORD, "password": "a heron of another kind", "csrf": word[1]},
        )
        assert changed.status_code == 303, changed.text
        assert there.get("/settings/profile").status_code in (303, 401)
        assert here.get("/settings/profile").status_code == 200
        kept = dict(here.cookies)
        assert here.post("/logout", data={"csrf": word[1]}).status_code == 303
        assert httpx.get(f"{live_app.url}/settings/profile", cookies=kept).status_code in (303, 401)


def test_h18_who_had_rights_through_the_former_owner_has_none_after_a_move(live_app: LiveApp):
    live_app.add_person("h18-hand")
    with live_app.opened() as site:
        site.db.write(organisations.create_organisation, SYSTEM, "h18-org", owner="bob", now=utcnow())
    live_app.add_member("h18-org", "h18-hand", Role.WRITE)
    live_app.hf("bob").create_repo("h18-org/thing", private=True)
    with live_app.opened() as site:
        from headwater.hub.access import find_by_name
        from headwater.hub.models import RepoKind, RepoName

        found = site.db.read(find_by_name, RepoKind.MODEL, RepoName("h18-org", "thing"))
        assert found is not None
        fine = site.db.write(
            tokens.create_token, SYSTEM, owner="h18-hand", name="fine", role="fine",
            grants=[Grant("write", None, found.id)], expires_at=None, now=utcnow(),
        ).secret  # fmt: skip
    fine_headers = {"Authorization": f"Bearer {fine}"}
    xet = ask(live_app, "h18-hand", "GET", "/api/models/h18-org/thing/xet-write-token/main")
    assert xet.status_code == 200
    assert httpx.get(f"{live_app.url}/api/models/h18-org/thing", headers=fine_headers).status_code == 200
    live_app.hf("bob").move_repo("h18-org/thing", "bob/h18-thing")
    for path in (
        "/api/models/h18-org/thing",
        "/api/models/bob/h18-thing",
        "/bob/h18-thing.git/info/refs?service=git-upload-pack",
    ):
        for headers in (fine_headers, bearer(live_app, "h18-hand")):
            assert httpx.get(live_app.url + path, headers=headers, follow_redirects=True).status_code == 404, path
    granted = httpx.post(
        f"{xet.json()['casUrl']}/v1/shards",
        headers={"Authorization": f"Bearer {xet.json()['accessToken']}"},
        content=b"x" * 100,
    )
    # The token was for a place that is no longer theirs; 400 would be a word about the bytes, from somebody who let it in.
    assert granted.status_code in (401, 403, 404), granted.text


def test_h18_a_new_owner_sees_a_moved_repository_and_the_gate_stays_shut(live_app: LiveApp):
    live_app.hf("bob").create_repo("bob/h18-gated")
    live_app.hf("bob").update_repo_settings("bob/h18-gated", gated="manual")
    live_app.hf("bob").upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id="bob/h18-gated")
    live_app.hf("bob").move_repo("bob/h18-gated", "bob/h18-renamed")
    for name in ("h18-gated", "h18-renamed"):
        got = httpx.get(
            f"{live_app.url}/bob/{name}/resolve/main/a.txt", headers=bearer(live_app, "eve"), follow_redirects=True
        )
        # The program leaves the credential behind where it is led on by a redirect; without one it is to sign in.
        assert got.status_code in (401, 403), name
