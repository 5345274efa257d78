"""Private things through every window: H06 (each route by itself), H07 (lists, counts, searches, records)."""

from __future__ import annotations

import httpx
import pytest

from headwater import server
from headwater.web.routing import path_for
from tests.attacks.asking import Hidden, ask, bearer, hide
from tests.conftest import LiveApp, wait_for

NAME = "h06-zirconium"  # a word that nothing else on the site has
VALUES = {
    "ns": "bob", "name": NAME, "rev": "main", "path": "README.md", "num": "1", "status": "pending", "comment": "0" * 24,
    "range": "main", "branch": "main", "type": "models", "kind": "model", "user": "bob", "org": "bob", "id": "1",
    "rest": f"bob/{NAME}", "call": "runtime", "file": f"{NAME}.svg", "slug": NAME, "item": "1", "link": NAME,
    "secret": NAME, "tag": "en", "theme": "dark", "prefix": "default", "hash": "0" * 64, "site": "s", "owner": "1",
    "epoch": "1", "format": "csv", "index": "0",
}  # fmt: skip


@pytest.fixture(scope="module")
def hidden(live_app: LiveApp) -> Hidden:
    found = hide(live_app, f"bob/{NAME}")
    bob = live_app.hf("bob")
    bob.create_tag(found.name, tag="v-zirconium")
    bob.create_discussion(found.name, "zirconium talk")
    bob.like(found.name) if hasattr(bob, "like") else ask(live_app, "bob", "POST", f"/api/models/{found.name}/like")
    made = bob.create_collection("Light metals", namespace="bob")
    bob.add_collection_item(made.slug, item_id=found.name, item_type="model")
    # Until it is found by who may, not being found by others would mean nothing.
    wait_for(
        lambda: NAME in ask(live_app, "bob", "GET", "/api/models?search=zirconium").text, what="the index of search"
    )
    return found


def readable(kind: str) -> list[tuple[str, str]]:
    """Every GET route, with this repository wherever a repository is named; and each view of it, for each file in it."""
    found = []
    for route in server.routes():
        if route.method != "GET":
            continue
        values = {name: VALUES.get(name, "x") for name in VALUES} | {"type": kind}
        for path in ("README.md", "large.bin", "rows.csv", "page.html"):
            try:
                address = path_for(route.pattern, **(values | {"path": path}))
            except KeyError:
                continue
            if (route.pattern, address) not in found:
                found.append((route.pattern, address))
    return found


@pytest.mark.parametrize("user", [None, "eve"])
def test_h06_no_address_gives_a_private_repository_away(live_app: LiveApp, hidden: Hidden, user: str | None):
    telling = []
    addresses = readable("models")
    assert len(addresses) > 200
    with httpx.Client(base_url=live_app.url, headers=bearer(live_app, user), timeout=60) as client:
        for pattern, address in addresses:
            query = {"service": "git-upload-pack"} if pattern.endswith("/info/refs") else {}
            answer = client.get(address, params=query, headers={"Accept": "text/html, */*"})
            # The address itself may come back, as where to sign in or what was not found; what lies behind it may not.
            text = answer.text.replace(address, "").replace(NAME, "").lower()
            if "quicksilver" in text or "zirconium" in text or hidden.oid in text or hidden.commit in text:
                telling.append((pattern, address, answer.status_code))
            if answer.is_success and "{name}" in pattern and "bob/" in address and NAME in address:
                telling.append((pattern, address, answer.status_code, "succeeds"))
    assert not telling, "\n".join(map(str, telling))


SEARCHES = (
    "/api/models?search=zirconium",
    "/api/models?author=bob&limit=1000",
    "/api/models?filter=quicksilver",
    "/api/models?search=quicksilver&full=true&expand=siblings",
    "/api/models?sort=createdAt&direction=-1&limit=1000&full=true",
    "/api/models?sort=likes&limit=1000",
    "/api/models-tags-by-type",
    "/models?search=zirconium",
    "/models?author=bob",
    "/models?sort=created",
    "/",
    "/bob",
    "/api/users/bob/overview",
    "/api/users/bob/likes",
    "/api/users/bob/followers",
    "/api/collections?owner=bob",
    "/collections",
    "/sitemap.xml",
    "/robots.txt",
    "/metrics",
    "/api/v1/openapi.json",
    "/-/health",
    "/bob/feed",
    "/status",
    "/log",
    "/admin/people",
)


@pytest.mark.parametrize("user", [None, "eve"])
def test_h07_no_list_search_count_or_record_names_it(live_app: LiveApp, hidden: Hidden, user: str | None):
    for path in SEARCHES:
        answer = ask(live_app, user, "GET", path, follow_redirects=True)
        assert answer.status_code < 500, path
        text = answer.text.replace("search=zirconium", "").replace('value="zirconium"', "").lower()
        text = text.replace("“zirconium”", "").replace("filter=quicksilver", "")
        assert NAME not in text, path
        assert "quicksilver" not in text.replace("search=quicksilver", ""), path
        assert hidden.oid not in text, path
    slug = ask(live_app, "bob", "GET", "/api/collections?owner=bob").json()[0]["slug"]
    for path in (f"/api/collections/{slug}", f"/collections/{slug}"):
        answer = ask(live_app, user, "GET", path)
        assert answer.status_code == 200
        assert NAME not in answer.text, path


def test_h07_counts_are_of_what_may_be_seen(live_app: LiveApp, hidden: Hidden):
    def shown(user: str | None) -> list[str]:
        return [one["id"] for one in ask(live_app, user, "GET", "/api/models?author=bob&limit=1000").json()]

    assert hidden.name in shown("bob")
    assert hidden.name not in shown("eve")
    assert hidden.name not in shown(None)


def test_h07_answers_of_a_private_repository_are_not_kept_on_the_way(live_app: LiveApp, hidden: Hidden):
    for path in (f"/{hidden.name}/resolve/main/README.md", f"/api/models/{hidden.name}", f"/{hidden.name}"):
        answer = ask(live_app, "bob", "GET", path)
        assert answer.status_code == 200
        kept = answer.headers.get("Cache-Control", "")
        assert "public" not in kept, path
        assert "s-maxage" not in kept, path
