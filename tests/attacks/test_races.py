"""Two at once for one thing, and names that were somebody's: H16, H17."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import re
import threading

import httpx
import orjson
import pytest

from headwater.accounts.service import people
from headwater.kernel import SYSTEM, utcnow
from tests.attacks.asking import ask, batch, bearer
from tests.conftest import PASSWORD, LiveApp
from tests.review.browser import sign_in


def at_once(n: int, act) -> list[httpx.Response]:  # type: ignore[no-untyped-def]
    """``act(i)`` from ``n`` threads that begin together."""
    ready = threading.Barrier(n)

    def run(i: int) -> httpx.Response:
        ready.wait(30)
        found: httpx.Response = act(i)
        return found

    with concurrent.futures.ThreadPoolExecutor(n) as pool:
        return list(pool.map(run, range(n)))


def commit(app: LiveApp, repo: str, parent: str, text: str) -> httpx.Response:
    lines = [
        {"key": "header", "value": {"summary": text, "parentCommit": parent}},
        {"key": "file", "value": {"path": "a.txt", "content": text, "encoding": "utf-8"}},
    ]
    return ask(app, "bob", "POST", f"/api/models/{repo}/commit/main", content=b"\n".join(map(orjson.dumps, lines)))


def test_h16_of_commits_on_one_parent_exactly_one_wins(live_app: LiveApp):
    live_app.hf("bob").create_repo("bob/h16")
    for turn in range(3):
        parent = ask(live_app, "bob", "GET", "/api/models/bob/h16").json()["sha"]
        answers = at_once(6, lambda i, parent=parent, turn=turn: commit(live_app, "bob/h16", parent, f"{turn}-{i}"))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200] + [412] * 5
        won = next(answer for answer in answers if answer.status_code == 200).json()["commitOid"]
        assert ask(live_app, "bob", "GET", "/api/models/bob/h16").json()["sha"] == won


def test_h16_one_name_is_given_once(live_app: LiveApp):
    answers = at_once(6, lambda i: ask(live_app, "bob", "POST", "/api/repos/create", json={"name": "h16-once"}))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5
    answers = at_once(6, lambda i: ask(live_app, "bob", "POST", "/api/models/bob/h16-once/branch/b", json={}))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5


def test_h16_many_at_once_get_no_more_than_the_quota(new_app):
    app = new_app(workers=2)
    app.hf("eve").create_repo("eve/h16")
    app.cli("quota", "set", "eve", "--bytes", "1MB")
    size = 300_000
    objects = [bytes([i]) * size for i in range(8)]

    def send(i: int) -> httpx.Response:
        oid = hashlib.sha256(objects[i]).hexdigest()
        planned = batch(app, "eve", "eve/h16", "upload", oid, size)
        link = orjson.loads(planned.content)["objects"][0].get("actions", {}).get("upload")
        if link is None:
            return httpx.Response(507)
        sent = httpx.put(link["href"], content=objects[i], headers=link.get("header") or {}, timeout=60)
        if not sent.is_success:
            return sent
        lines = [
            {"key": "header", "value": {"summary": "s"}},
            {"key": "lfsFile", "value": {"path": f"{i}.bin", "algo": "sha256", "oid": oid, "size": size}},
        ]
        return ask(app, "eve", "POST", "/api/models/eve/h16/commit/main", content=b"\n".join(map(orjson.dumps, lines)))

    answers = at_once(8, send)
    done = [answer for answer in answers if answer.status_code == 200]
    assert 1 <= len(done) <= 3  # three times 300 kB is what a megabyte holds
    assert {answer.status_code for answer in answers} <= {200, 413, 507}
    kept = ask(app, "eve", "GET", "/api/models/eve/h16/lfs-files").json()
    assert sum(each["size"] for each in kept) == len(done) * size <= 1_000_000


def test_h17_the_name_of_a_deleted_repository_is_nobody_elses(live_app: LiveApp):
    bob = live_app.hf("bob")
    bob.create_repo("bob/h17")
    bob.upload_file(path_or_fileobj=b"trusted", path_in_repo="a.txt", repo_id="bob/h17")
    bob.delete_repo("bob/h17")
    for user, status in (("eve", 403), (None, 401)):
        body = {"name": "h17", "organization": "bob"}
        assert ask(live_app, user, "POST", "/api/repos/create", json=body).status_code == status
    body = {"fromRepo": "eve/h17-bait", "toRepo": "bob/h17"}
    live_app.hf("eve").create_repo("eve/h17-bait")
    assert ask(live_app, "eve", "POST", "/api/repos/move", json=body).status_code == 403
    assert ask(live_app, "eve", "GET", "/bob/h17/resolve/main/a.txt").status_code == 404


def test_h17_what_its_owner_makes_under_the_name_is_another_repository(live_app: LiveApp):
    """Who pinned a revision of the former one gets no other bytes, and its tokens and links lead nowhere."""
    bob = live_app.hf("bob")
    bob.create_repo("bob/h17-again")
    made = bob.upload_file(path_or_fileobj=b"trusted", path_in_repo="a.txt", repo_id="bob/h17-again").oid
    was = ask(live_app, "bob", "GET", "/api/models/bob/h17-again").json()["_id"]
    bob.delete_repo("bob/h17-again")
    bob.create_repo("bob/h17-again")
    bob.upload_file(path_or_fileobj=b"another", path_in_repo="a.txt", repo_id="bob/h17-again")
    assert ask(live_app, "bob", "GET", "/api/models/bob/h17-again").json()["_id"] != was
    for path in (f"/bob/h17-again/resolve/{made}/a.txt", f"/api/models/bob/h17-again/tree/{made}"):
        assert ask(live_app, "bob", "GET", path).status_code == 404, path


def test_h17_a_redirect_is_not_taken_over(live_app: LiveApp):
    bob = live_app.hf("bob")
    bob.create_repo("bob/h17-old")
    bob.upload_file(path_or_fileobj=b"trusted", path_in_repo="a.txt", repo_id="bob/h17-old")
    bob.move_repo("bob/h17-old", "bob/h17-new")
    for method, path, body in (
        ("POST", "/api/repos/create", {"name": "h17-old"}),
        ("POST", "/api/repos/create", {"name": "H17-OLD"}),
        ("POST", "/api/models/bob/h17-new/duplicate", {"repository": "bob/h17-old"}),
    ):
        answer = ask(live_app, "bob", method, path, json=body)
        assert answer.status_code == 409, (path, body, answer.text)
    got = httpx.get(f"{live_app.url}/bob/h17-old/resolve/main/a.txt", follow_redirects=True)
    assert got.content == b"trusted"


def test_h17_the_name_of_a_person_who_is_gone_is_never_given_again(new_app):
    app = new_app(workers=1)
    app.add_person("h17-gone")
    with app.opened() as site:
        site.db.write(people.suspend, SYSTEM, "h17-gone", now=utcnow())
    with contextlib.closing(sign_in(app, "eve")) as eve:
        word = re.search(r'name="csrf" value="([^"]*)"', eve.get("/organizations/new").text)
        assert word is not None
        for name in ("h17-gone", "H17-Gone", "h17-GONE"):
            for path, data in (
                ("/organizations/new", {"name": name, "full_name": "x"}),
                ("/join", {"name": name, "password": PASSWORD, "full_name": "", "email": ""}),
            ):
                answer = eve.post(path, data={**data, "csrf": word[1]})
                assert answer.status_code in (400, 403, 409, 410), (path, name, answer.status_code)
                assert "hw_session" not in answer.headers.get("set-cookie", "")
            answer = ask(app, "eve", "POST", "/api/repos/create", json={"name": "x", "organization": name})
            assert answer.status_code in (403, 404)
    assert httpx.get(f"{app.url}/api/users/h17-gone/overview", headers=bearer(app, "eve")).status_code in (200, 404)


@pytest.mark.parametrize("name", ["api", "admin", "login", "-", "settings", "models", "datasets", "log", "status"])
def test_h17_no_name_stands_before_a_page_of_ours(live_app: LiveApp, name: str):
    answer = ask(live_app, "eve", "POST", "/api/repos/create", json={"name": "x", "organization": name})
    assert answer.status_code in (400, 403, 404), answer.text
