"""Changes that a page of another site sends along, and values that nobody asked for: H10, H24."""

from __future__ import annotations

import contextlib
import re
from urllib.parse import quote

import httpx
import orjson
import pytest

from headwater import server
from headwater.web.routing import path_for
from tests.attacks.asking import ask, bearer, connected
from tests.conftest import LiveApp
from tests.review.browser import sign_in

VALUES = {
    "type": "models", "kind": "model", "ns": "bob", "name": "h10", "rev": "main", "path": "a.txt", "branch": "b",
    "num": "1", "comment": "0" * 24, "org": "lab", "user": "eve", "id": "0" * 24, "act": "enable", "slug": "x-1",
    "item": "1", "range": "x", "secret": "x", "call": "runtime", "rest": "x", "link": "x", "status": "pending",
    "prefix": "default", "hash": "0" * 64, "site": "s", "owner": "1", "epoch": "1", "format": "csv", "index": "0",
    "subject": "owner",
}  # fmt: skip


def changing() -> list[tuple[str, str]]:
    """Every address that changes something for whoever comes with a cookie."""
    return [
        (route.method, path_for(route.pattern, **VALUES))
        for route in server.routes()
        if route.method not in ("GET", "HEAD") and route.access.value != "signed_link"
    ]


def state(app: LiveApp) -> object:
    told = ask(app, "bob", "GET", "/api/models/bob/h10").json()
    refs = ask(app, "bob", "GET", "/api/models/bob/h10/refs").json()
    talks = ask(app, "bob", "GET", "/api/models/bob/h10/discussions").json()["count"]
    whoami = ask(app, "bob", "GET", "/api/whoami-v2").json()
    return told["sha"], told["private"], told.get("likes"), refs, talks, whoami["orgs"], whoami["fullname"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
        {},
    ],
)
@pytest.mark.parametrize(
    "media", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "application/json"]
)
def test_h10_nothing_is_changed_by_a_page_of_another_site(live_app: LiveApp, headers: dict[str, str], media: str):
    live_app.hf("bob").create_repo("bob/h10", exist_ok=True)
    before = state(live_app)
    bodies = {
        "application/x-www-form-urlencoded": b"act=visibility&visibility=private&title=t&text=x&like=1&name=n&follow=1",
        "text/plain": b'{"title": "t", "private": true, "tag": "t"}',
        "application/json": b'{"title": "t", "private": true, "tag": "t"}',
    }
    body = bodies.get(media, b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\nt\r\n--x--\r\n')
    done = []
    # A strict browser keeps its cookie back here; these bring it along all the same.
    with contextlib.closing(sign_in(live_app, "bob")) as bob:
        for method, address in changing():
            answer = bob.request(method, address, content=body, headers={**headers, "Content-Type": media})
            if answer.status_code not in (400, 401, 403, 404, 405, 410, 415, 501):
                done.append((method, address, answer.status_code, answer.headers.get("location")))
    # What takes no session at all (a program's first step, the sign-in itself, a preview of YAML) changes nothing of bob's.
    harmless = {"/login", "/join", "/oauth/device", "/oauth/token", "/api/validate-yaml"}
    assert [each for each in done if each[1] not in harmless] == []
    assert state(live_app) == before


def test_h10_a_forged_sign_out_or_sign_in_is_refused(live_app: LiveApp):
    with contextlib.closing(sign_in(live_app, "bob")) as bob:
        evil = {"Origin": "https://evil.example"}
        assert bob.post("/logout", headers=evil).status_code == 403
        answer = bob.post("/login", data={"name": "eve", "password": "seven calm herons drink"}, headers=evil)
        assert answer.status_code == 403
        assert bob.get("/settings/profile").status_code == 200


def test_h10_other_sites_are_told_nothing_by_cors(live_app: LiveApp):
    with contextlib.closing(sign_in(live_app, "bob")) as bob:
        for path in ("/api/whoami-v2", "/api/models", "/settings/tokens"):
            answer = bob.get(path, headers={"Origin": "https://evil.example"})
            allowed = answer.headers.get("access-control-allow-origin")
            assert allowed in (None, "*"), path
            assert answer.headers.get("access-control-allow-credentials") is None, path
            preflight = bob.request(
                "OPTIONS", path, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
            )
            assert preflight.headers.get("access-control-allow-credentials") is None


def word_of(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]*)"', page)
    assert found is not None
    return found[1]


def test_h24_values_that_no_form_has_are_ignored(live_app: LiveApp):
    extra = {
        "is_admin": "1", "is_site_admin": "1", "owner_id": "1", "owner": "ada", "id": "1", "account_id": "1",
        "created_by": "1", "role": "admin", "suspended_at": "", "name": "ada",
    }  # fmt: skip
    with contextlib.closing(sign_in(live_app, "eve")) as eve:
        csrf = word_of(eve.get("/settings/profile").text)
        assert eve.post("/settings/profile", data={**extra, "full_name": "Eve", "csrf": csrf}).status_code == 303
        assert eve.get("/admin/people").status_code == 403
    assert ask(live_app, "eve", "GET", "/api/whoami-v2").json()["name"] == "eve"
    body = {
        **extra,
        "name": "h24",
        "organization": "eve",
        "owner_id": 1,
        "created_by": 1,
        "gated": "auto",
        "downloads": 10**6,
    }
    assert ask(live_app, "eve", "POST", "/api/repos/create", json=body).status_code == 200
    made = ask(live_app, "eve", "GET", "/api/models/eve/h24").json()
    assert made["author"] == "eve"
    assert not made["gated"]
    assert made["downloads"] == 0
    settings = {"private": True, "owner": "bob", "ns": "bob", "likes": 10**6, "is_disabled": False, "id": 1}
    assert ask(live_app, "eve", "PUT", "/api/models/eve/h24/settings", json=settings).status_code == 200
    made = ask(live_app, "eve", "GET", "/api/models/eve/h24").json()
    assert (made["author"], made["likes"], made["private"]) == ("eve", 0, True)
    commit = [
        {
            "key": "header",
            "value": {"summary": "s", "author": "ada", "committer": "ada", "email": "ada@x.org", "date": "1970"},
        },
        {"key": "file", "value": {"path": "a.txt", "content": "a", "encoding": "utf-8"}},
    ]
    ask(live_app, "eve", "POST", "/api/models/eve/h24/commit/main", content=b"\n".join(map(orjson.dumps, commit)))
    latest = ask(live_app, "eve", "GET", "/api/models/eve/h24/commits/main").json()[0]
    assert [author["user"] for author in latest["authors"]] == ["eve"]
    assert not latest["date"].startswith("1970")


def test_h24_numbers_of_others_things_are_nobodys(live_app: LiveApp):
    """Ids that count up: each is looked for together with whose it is."""
    app = live_app
    app.hf("bob").create_repo("bob/h24", exist_ok=True)
    app.hf("eve").create_repo("eve/h24-own", exist_ok=True)
    talk = ask(app, "bob", "POST", "/api/models/bob/h24/discussions", json={"title": "bob's"}).json()
    ask(app, "eve", "POST", "/api/models/eve/h24-own/discussions", json={"title": "eve's"})
    comment = ask(app, "bob", "GET", f"/api/models/bob/h24/discussions/{talk['num']}").json()["events"][0]["id"]
    # A comment of bob's, named through a discussion that is eve's.
    for act in ("edit", "hide"):
        path = f"/api/models/eve/h24-own/discussions/1/comment/{comment}/{act}"
        assert ask(app, "eve", "POST", path, json={"content": "mine"}).status_code == 404
    body = {
        "url": "https://example.com/",
        "watched": [{"type": "user", "name": "bob"}],
        "domains": ["repo"],
        "secret": "s",
    }
    hook = ask(app, "bob", "POST", "/api/settings/webhooks", json=body).json()["webhook"]["id"]
    for method, tail in (("GET", ""), ("POST", ""), ("DELETE", ""), ("POST", "/disable"), ("GET", "/deliveries")):
        answer = ask(app, "eve", method, f"/api/settings/webhooks/{hook}{tail}", json={"secret": "mine"})
        assert answer.status_code == 404, (method, tail)
    assert ask(app, "bob", "GET", f"/api/settings/webhooks/{hook}").json()["webhook"]["secret"] == "s"
    app.add_person("h24-mole")
    with contextlib.closing(sign_in(app, "h24-mole")) as mole:
        csrf = word_of(mole.get("/settings/profile").text)
        for number in range(1, 12):
            mole.post("/settings/tokens", data={"act": "revoke", "token": str(number), "csrf": csrf})
            mole.post("/settings/sign-in", data={"act": "end", "session": str(number), "csrf": csrf})
    assert ask(app, "bob", "GET", "/api/whoami-v2").status_code == 200
    begun = ask(app, "bob", "POST", "/bob/h24/upload-session", json={"files": [{"path": "a", "size": 3, "stamp": 0}]})
    upload = begun.json()["files"][0]["id"]
    assert ask(app, "eve", "PUT", f"/-/uploads/{upload}?offset=0", content=b"abc").status_code == 404
    assert ask(app, "eve", "GET", f"/-/uploads/{upload}").status_code == 404


def test_h24_a_line_of_the_log_stays_one_line(live_app: LiveApp):
    forged = '{"event": "request.answered", "forged": true}'
    with connected(live_app) as connection:
        connection.ask("GET", "/bob/" + quote(f"a\n{forged}"))
        connection.ask("GET", "/bob/" + quote(quote(f"a\n{forged}")))
        connection.ask("GET", "/bob/x", b"", f"User-Agent: a\\n{forged}", f"X-Request-Id: {'a' * 8}%0A{'b' * 8}")
    ask(live_app, "eve", "POST", "/api/repos/create", json={"name": f"x\n{forged}"})
    ask(live_app, "eve", "GET", "/api/models", params={"search": f"\r\n{forged}\u2028{forged}"})
    httpx.post(f"{live_app.url}/login", data={"name": f"bob\n{forged}", "password": f"\n{forged}"}, timeout=60)
    httpx.get(f"{live_app.url}/api/whoami-v2", headers={"Authorization": f"Bearer hw_{'x' * 30}"})
    for line in live_app.log().splitlines():
        if line.startswith("{"):
            assert "forged" not in orjson.loads(line), line


def test_h24_a_header_takes_no_line_of_its_own(live_app: LiveApp):
    app = live_app
    for path in (
        "/-/theme/dark?next=/%0d%0aSet-Cookie:%20forged=1",
        "/login?next=/%0d%0aX-Forged:%201",
        "/-/language/en?next=//evil.example/",
        "/-/language/en?next=https:evil.example",
        "/-/language/en?next=/%5cevil.example",
    ):
        answer = httpx.get(app.url + path)
        assert "forged" not in " ".join(answer.headers).lower(), path
        assert "forged" not in answer.headers.get("set-cookie", ""), path
        target = answer.headers.get("location", "/")
        assert target.startswith("/"), (path, target)
        assert not target.startswith(("//", "/\\")), (path, target)
    name = "a\r\nX-Forged: 1.txt"
    app.hf("bob").create_repo("bob/h24-names", exist_ok=True)
    lines = [
        {"key": "header", "value": {"summary": "s"}},
        {"key": "file", "value": {"path": name, "content": "a", "encoding": "utf-8"}},
    ]
    answer = ask(
        app, "bob", "POST", "/api/models/bob/h24-names/commit/main", content=b"\n".join(map(orjson.dumps, lines))
    )
    assert answer.status_code in (400, 422)
    assert "x-forged" not in answer.headers
    got = httpx.get(f"{app.url}/api/models/bob/h24-names", headers=bearer(app, "bob") | {"X-Request-Id": "a" * 8})
    assert got.headers["x-request-id"] == "a" * 8
