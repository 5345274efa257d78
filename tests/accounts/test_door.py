"""Who a request comes from, asked of a real server; and the commands of operators while it runs and while it does not."""

from __future__ import annotations

import base64
import subprocess
import sys
from http.cookies import SimpleCookie

import httpx
import pytest

from headwater.accounts import credentials
from headwater.accounts.service import sessions
from headwater.accounts.service.sessions import Browser
from headwater.kernel import ANONYMOUS, utcnow
from tests.conftest import PASSWORD, LiveApp, clean_env, wait_for


def whoami(app: LiveApp, authorization: str | None = None, **kwargs) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return httpx.get(f"{app.url}/api/whoami-v2", headers=headers, trust_env=False, **kwargs)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_token_is_taken_alike_as_bearer_and_as_basic_password(live_app):
    token = live_app.token("bob", "read")
    for authorization in (f"Bearer {token}", f"bearer  {token}", basic("bob", token), basic("anyone", token)):
        answer = whoami(live_app, authorization)
        assert answer.status_code == 200
        assert answer.json()["name"] == "bob"
        assert answer.json()["auth"]["accessToken"]["role"] == "read"


def test_a_wrong_token_is_refused_in_the_words_that_the_client_knows(live_app):
    good = live_app.token("bob", "read")
    never_given = credentials.new_token()
    for wrong in (never_given, good[:-1] + ("0" if good[-1] != "0" else "1"), "hf_abcdef", "hw_"):
        for authorization in (f"Bearer {wrong}", basic("bob", wrong)):
            answer = whoami(live_app, authorization)
            assert answer.status_code == 401
            assert answer.headers["X-Error-Message"] == "Invalid credentials in Authorization header"
    for nothing in ("Digest x", "Bearer", "Basic", basic("bob", "")):
        assert whoami(live_app, nothing).status_code == 401
    assert whoami(live_app, basic("bob", PASSWORD)).status_code == 401  # a password is no token


def test_revoking_and_suspending_take_effect_on_the_next_request(live_app):
    live_app.add_person("tom")
    made = live_app.cli("token", "create", "--user", "tom", "--scope", "write")
    assert made["token"].startswith("hw_")
    other = live_app.cli("token", "create", "--user", "tom", "--scope", "read", "--expires-days", "1")
    assert whoami(live_app, f"Bearer {made['token']}").status_code == 200
    live_app.cli("token", "revoke", str(made["id"]))
    assert whoami(live_app, f"Bearer {made['token']}").status_code == 401
    assert whoami(live_app, f"Bearer {other['token']}").status_code == 200
    live_app.cli("user", "suspend", "tom")
    assert whoami(live_app, f"Bearer {other['token']}").status_code == 401
    live_app.cli("user", "reinstate", "tom")
    assert whoami(live_app, f"Bearer {other['token']}").status_code == 200


def test_the_last_use_of_a_token_is_noted_aside(live_app):
    live_app.add_person("uma")
    made = live_app.cli("token", "create", "--user", "uma")

    def last_used():
        (info,) = live_app.cli("token", "list", "--user", "uma")
        return info["last_used_at"]

    assert last_used() is None
    whoami(live_app, f"Bearer {made['token']}")
    first = wait_for(last_used, what="the note of the first use")
    whoami(live_app, f"Bearer {made['token']}")
    assert last_used() == first


@pytest.fixture
def browser(live_app):
    """A signed-in browser: its cookies, and the word its forms carry."""
    with live_app.opened() as site:
        signed_in = sessions.sign_in(
            site, ANONYMOUS, name="bob", password=PASSWORD, browser=Browser("192.0.2.1"), now=utcnow()
        )
        from headwater.accounts.service import identify

        session = site.db.read(identify.identify_session, signed_in.secret, now=utcnow()).session
    with httpx.Client(base_url=live_app.url, cookies={"hw_session": signed_in.secret}, trust_env=False) as client:
        client.csrf = session.csrf
        yield client


def test_a_cookie_makes_the_person_and_an_old_one_a_stranger(live_app, browser):
    assert browser.get("/api/whoami-v2").json()["name"] == "bob"
    answer = whoami(live_app, cookies={"hw_session": "made up"})
    assert answer.status_code == 401


def test_a_change_with_a_cookie_needs_the_sessions_word_and_our_origin(live_app, browser):
    def create(name, **headers):
        return browser.post("/api/repos/create", json={"name": name, "type": "model"}, headers=headers)

    own = {"Origin": live_app.url}
    assert create("x").status_code == 403
    assert create("x", **own).status_code == 403
    assert create("x", **own, **{"X-CSRF-Token": "wrong"}).status_code == 403
    assert create("x", **{"Origin": "https://evil.example", "X-CSRF-Token": browser.csrf}).status_code == 403
    assert create("x", **{"Sec-Fetch-Site": "cross-site", "X-CSRF-Token": browser.csrf}).status_code == 403
    forged = browser.post("/api/repos/create", data={"name": "x"}, headers={"Origin": "null"})
    assert forged.status_code == 403
    plain = browser.post("/api/repos/create", content=b'{"name":"x"}', headers={"Content-Type": "text/plain", **own})
    assert plain.status_code == 403
    assert create("with-word", **own, **{"X-CSRF-Token": browser.csrf}).status_code == 200
    token = live_app.token("bob", "write")
    with_token = create("with-token", Authorization=f"Bearer {token}", Origin="https://elsewhere.example")
    assert with_token.status_code == 200  # a token is never sent by a browser on its own


# ---- the commands


def headwater(data, *arguments, stdin=""):
    return subprocess.run(
        [sys.executable, "-m", "headwater", *arguments, f"--data={data}"],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=clean_env(),
    )


def test_the_commands_work_on_a_folder_that_no_server_has_seen(tmp_path):
    import json

    data = tmp_path / "fresh"
    done = headwater(data, "user", "create", "ada", "--admin", "--password-stdin", stdin="long enough\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert headwater(data, "org", "create", "lab", "--owner", "ada").returncode == 0
    made = json.loads(headwater(data, "token", "create", "--user", "ada", "--scope", "write", "--json").stdout)
    assert credentials.is_token(made["token"])
    assert made["scope"] == "write"
    weak = headwater(data, "user", "create", "bob", "--password-stdin", stdin="weak")
    assert weak.returncode == 0
    assert "at least 8" in weak.stderr
    taken = headwater(data, "user", "create", "Lab", "--json", "--password-stdin", stdin="long enough")
    assert taken.returncode == 1
    assert json.loads(taken.stderr)["code"] == "account_name_taken"
    assert "no account named 'zoe'" in headwater(data, "token", "create", "--user", "zoe").stderr
    assert "holds no password" in headwater(data, "user", "create", "zoe", "--password-stdin").stderr
    assert headwater(data, "org", "add", "lab", "bob", "--role", "read").returncode == 0
    members = json.loads(headwater(data, "org", "list", "lab", "--json").stdout)
    assert [(m["name"], m["role"]) for m in members] == [("ada", "admin"), ("bob", "read")]
    assert "without an administrator" in headwater(data, "org", "remove", "lab", "ada").stderr
    assert headwater(data, "org", "remove", "lab", "bob").returncode == 0
    assert headwater(data, "user", "admin", "bob").returncode == 0
    people = json.loads(headwater(data, "user", "list", "--json").stdout)
    assert [(p["name"], p["admin"]) for p in people] == [("ada", True), ("bob", True)]
    assert headwater(data, "user", "admin", "bob", "--revoke").returncode == 0
    assert "suspended" in headwater(data, "user", "suspend", "bob").stdout
    assert "suspended" in headwater(data, "user", "list").stdout
    link = json.loads(headwater(data, "user", "reset-password", "ada", "--json").stdout)["link"]
    assert "/link/" in link
    fine = json.loads(headwater(data, "token", "create", "--user", "ada", "--on", "lab", "--json").stdout)
    assert fine["scope"] == "fine"


def test_cookies_are_closed_to_scripts_and_other_sites(live_app):
    from starlette.responses import Response

    from headwater.accounts import door

    with live_app.opened() as site:
        for base_url, name, secure in (
            ("http://hub.test", "hw_session", False),
            ("https://hub.test", "__Host-hw_session", True),
        ):
            site.base_url = base_url
            response = Response()
            door.set_session_cookie(response, site, "secret")
            cookie = SimpleCookie(response.headers["set-cookie"])[name]
            assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "lax", "/")
            assert bool(cookie["secure"]) == secure
