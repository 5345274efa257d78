"""Every route of the server, asked by a stranger for a private repository, answers as if it were absent."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest
from huggingface_hub import CommitOperationAdd

from headwater import server
from headwater.web.routing import Route, path_for
from tests.conftest import LiveApp
from tests.review.browser import sign_in

HIDDEN, ABSENT = "veiled-kettle", "absent-kettle"  # equally long, so that even lengths must agree
LARGE = b"\x00large\xff" * 4000
CHANGING = {"date"}

# What a route is sent; the access table must reach the service, not stop at a malformed body.
BODIES: dict[str, Any] = {
    "/move": {"fromRepo": "bob/{name}", "toRepo": "bob/elsewhere", "type": "{kind}"},
    "/delete": {"name": "{name}", "organization": "bob", "type": "{kind}"},
    "/settings": {"private": False},
    "/duplicate": {"repository": "eve/copy-{name}"},
    "/paths-info/{rev}": {"paths": ["README.md"]},
    "/preupload/{rev}": {"files": [{"path": "a.txt", "size": 3, "sample": "YWJj"}]},
    "/branch/{branch}": {},
    "/tag/{rev}": {"tag": "v2"},
    "/super-squash/{branch}": {"message": "squash"},
    "/lfs-files/batch": {"deletions": {"sha": ["0" * 64], "rewriteHistory": False}},
    "/lfs-files/duplicate": {"files": [{"sha256": "{oid}"}], "target": {"type": "model", "name": "eve/own"}},
    "/discussions": {"title": "A title", "description": "text", "pullRequest": False},
    "/comment": {"comment": "hello"},
    "/edit": {"content": "hello"},
    "/title": {"title": "Another title"},
    "/status": {"status": "closed"},
    "/merge": {},
    "/user-access-request/handle": {"user": "eve", "status": "accepted"},
    "/user-access-request/grant": {"user": "eve"},
    "/objects/batch": {"operation": "download", "transfers": ["basic"], "objects": [{"oid": "{oid}", "size": 28000}]},
    "/upload-session": {"files": [{"path": "a.bin", "size": 3, "stamp": 0}]},
    "/upload-commit/{rev}/{path*}": {"ids": [], "title": "t", "description": ""},
}
COMMIT = (
    b'{"key":"header","value":{"summary":"s","description":""}}\n'
    b'{"key":"file","value":{"path":"a.txt","content":"YWJj","encoding":"base64"}}\n'
)
FORM = {"title": "A title", "text": "text", "act": "comment", "name": "x", "csrf": ""}


@dataclass(frozen=True)
class Place:
    """The private repositories of one app and what lies in them."""

    app: LiveApp
    kind: str
    commit: str
    oid: str


@pytest.fixture(scope="module", params=["model", "dataset", "space"])
def place(request: pytest.FixtureRequest, live_app: LiveApp) -> Place:
    kind = request.param
    bob = live_app.hf("bob")
    extra = {"space_sdk": "static"} if kind == "space" else {}
    bob.create_repo(f"bob/{HIDDEN}", repo_type=kind, private=True, **extra)
    done = bob.create_commit(
        f"bob/{HIDDEN}",
        [
            CommitOperationAdd("README.md", b"---\nlicense: mit\n---\n# Quite secret\n"),
            CommitOperationAdd("large.bin", io.BytesIO(LARGE)),
        ],
        commit_message="A secret commit",
        repo_type=kind,
    )
    bob.create_tag(f"bob/{HIDDEN}", tag="v1", repo_type=kind)
    bob.create_discussion(f"bob/{HIDDEN}", "A secret talk", repo_type=kind)
    found = bob.get_paths_info(f"bob/{HIDDEN}", ["large.bin"], repo_type=kind)[0]
    assert found.lfs is not None
    live_app.hf("eve").create_repo("eve/own", exist_ok=True)
    return Place(live_app, kind, done.oid, found.lfs.sha256)


def concerned(kind: str) -> list[Route]:
    """The routes through which a repository of this kind is named."""
    found = []
    for route in server.routes():
        if "{name}" not in route.pattern and route.pattern not in ("/api/repos/move", "/api/repos/delete"):
            continue
        typed = re.search(r"\{type:([^}]*)\}", route.pattern)
        head = route.pattern.split("/")[1]
        if typed is not None:
            fits = f"{kind}s" in typed[1].split("|")
        elif head in ("datasets", "spaces"):
            fits = head == f"{kind}s"
        else:
            fits = kind == "model" or "{ns}" not in route.pattern
        if fits:
            found.append(route)
    return found


def ask(place: Place, client: httpx.Client, route: Route, name: str, headers: dict[str, str]) -> httpx.Response:
    values = {
        "type": f"{place.kind}s",
        "ns": "bob",
        "name": name,
        "rev": place.commit if "commit/" in route.pattern and route.method == "GET" else "main",
        "path": "README.md" if not re.search("/(tree|upload|new|upload-commit)/", route.pattern) else "",
        "branch": "main",
        "num": "1",
        "comment": "0" * 24,
        "range": f"main..{place.commit}",
        "status": "pending",
        "call": "runtime",
        "rest": "x",
        "id": "1",
        "subject": "owner",
    }
    address = path_for(route.pattern, **values)
    query: dict[str, str] = {}
    if route.pattern.endswith("/info/refs"):
        query["service"] = "git-upload-pack"
    sent = {**headers, "Accept": "text/html, */*", "Accept-Encoding": "identity", "X-Request-Id": "the-same-each-time"}
    client.cookies.pop("hw_flash", None)  # what an earlier form left to be said once
    body = _body(place, route, name, headers.get("X-CSRF-Token", ""))
    return client.request(route.method, address, params=query, headers=sent, **body)


def _body(place: Place, route: Route, name: str, csrf: str) -> dict[str, Any]:
    if route.method == "GET" or (route.method == "DELETE" and route.pattern != "/api/repos/delete"):
        return {}
    if route.pattern.endswith("/commit/{rev}"):
        return {"content": COMMIT}
    if route.pattern.endswith(("/git-upload-pack", "/git-receive-pack")):
        return {"content": b"0000"}
    ending = max((end for end in BODIES if route.pattern.endswith(end)), key=len, default=None)
    if ending is not None and (route.dialect != "page" or route.pattern.startswith("/api")):
        text = orjson.dumps(BODIES[ending]).decode()
        for key, value in {"name": name, "kind": place.kind, "oid": place.oid}.items():
            text = text.replace("{" + key + "}", value)
        return {"content": text.encode()}
    return {"data": FORM | {"csrf": csrf}} if route.dialect == "page" else {"content": b"{}"}


def told(answer: httpx.Response, name: str) -> tuple[Any, ...]:
    """Everything a caller learns, with the name taken out."""
    headers = {k: v.replace(name, "NAME") for k, v in answer.headers.items() if k not in CHANGING}
    return answer.status_code, headers, answer.text.replace(name, "NAME")


WHO = ["anonymous", "token", "read token", "session"]


@pytest.mark.parametrize("who", WHO)
def test_a_private_repository_is_absent_through_every_route(place: Place, who: str):
    headers: dict[str, str] = {}
    client = httpx.Client(base_url=place.app.url)
    if who == "token":
        headers["Authorization"] = f"Bearer {place.app.token('eve')}"
    elif who == "read token":
        headers["Authorization"] = f"Bearer {place.app.token('eve', 'read')}"
    elif who == "session":
        client = sign_in(place.app, "eve")
        page = client.get("/new/model").text
        csrf = re.search(r'name="csrf" value="([^"]*)"', page)
        assert csrf is not None
        headers |= {"X-CSRF-Token": csrf[1], "Origin": place.app.url}
    wrong = []
    routes = concerned(place.kind)
    assert len(routes) > 60
    for route in routes:
        hidden = ask(place, client, route, HIDDEN, headers)
        absent = ask(place, client, route, ABSENT, headers)
        if told(hidden, HIDDEN) != told(absent, ABSENT):
            differing = [
                pair for pair in zip(told(hidden, HIDDEN), told(absent, ABSENT), strict=True) if pair[0] != pair[1]
            ]
            wrong.append((route.method, route.pattern, differing))
        elif hidden.is_success and not route.pattern.endswith("/upload-discard"):  # names no repository's thing
            wrong.append((route.method, route.pattern, hidden.status_code, "both succeed", hidden.text[:300]))
    client.close()
    assert not wrong, "\n".join(map(str, wrong))
