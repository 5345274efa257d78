"""Every route × every credential × public, private and gated: the site answers as the table says, and the table is whole.

The table is ``table.toml``; docs/access.md is made from it.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from headwater import server
from headwater.web.routing import Access, Route, Router
from tests.access import acts  # noqa: F401 -- registers what forms of several acts are sent
from tests.access.sending import call_for
from tests.access.table import OPEN, Rule, Table, read_table
from tests.access.world import DEAD, KINDS, NAMES, SECRET, WHO, World, make_world
from tests.conftest import LiveApp
from tests.servers.issuer import Issuer

NO_LIMITS = {"HEADWATER_RATE_API": "0", "HEADWATER_RATE_FILES": "0", "HEADWATER_RATE_PAGES": "0"}
TABLE = read_table()
NO_ACTS = ("",)


def name_of(route: Route, act: str) -> str:
    """A route's line in the table; each act of a form that takes several has one of its own."""
    name = f"{route.method} {route.pattern}"
    return name if route.acts == NO_ACTS else f"{name} act={act}"


ROUTES = {name_of(route, act): (route, act) for route in server.routes() for act in route.acts}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Issuer() as issuer:
        other_site = {f"HEADWATER_OIDC_{name.upper()}": value for name, value in issuer.settings().items()}
        app = LiveApp(tmp_path_factory.mktemp("matrix") / "data", env={**NO_LIMITS, **other_site})
        try:
            app.add_people()
            made = make_world(app)
            yield made
            made.close()
        finally:
            app.stop()
        app.check_clean()


def expected(table: Table, rule: Rule, name: str, visibility: str, who: str) -> list[int]:
    """The statuses that this cell's word has where this route writes its refusals."""
    word, (route, _) = rule.answers[visibility][who], ROUTES[name]
    if word == "yes":
        return [rule.routes[name]]
    if route.dialect != "page":
        return table.statuses[route.dialect][word]
    return table.statuses["page GET" if route.method == "GET" else "page POST"][word]


@pytest.mark.parametrize("rule", TABLE.rules, ids=lambda rule: rule.name)
def test_every_route_answers_everybody_as_the_table_says(world: World, rule: Rule):
    wrong = []
    for name in rule.routes:
        if name not in ROUTES:
            continue  # the next test tells
        route, act = ROUTES[name]
        for visibility, answers in rule.answers.items():
            for who, word in answers.items():
                call = call_for(world, world.askers[who], route, visibility, act)
                answer = call.send()
                if answer.status_code not in expected(TABLE, rule, name, visibility, who):
                    wrong.append((name, visibility, who, word, answer.status_code, answer.text[:200]))
                elif word != "yes" and (SECRET in answer.text or call.world.oid in answer.text):
                    wrong.append((name, visibility, who, word, answer.status_code, "tells what it should not"))
    assert not wrong, "\n".join(map(str, wrong))


def test_the_table_names_every_route_once_and_no_other():
    named = [name for rule in TABLE.rules for name in rule.routes]
    assert sorted(named) == sorted(set(named))
    assert set(named) == set(ROUTES)


def test_the_table_is_as_strict_as_what_the_routes_declare():
    """Whoever needs nothing, or less than the route says it needs, is not let in by the table."""
    for rule in TABLE.rules:
        for name in rule.routes:
            access = ROUTES[name][0].access
            for visibility, answers in rule.answers.items():
                if access not in OPEN:
                    assert answers["nobody"] != "yes", (name, visibility)
                if access is not Access.SIGNED_LINK and access is not Access.UNASKED and "{name}" in name:
                    assert visibility != "private" or answers["nobody"] != "yes" or access is Access.PUBLIC, name
                if access in (Access.WRITE, Access.ADMIN, Access.SITE_ADMIN):
                    assert answers["read"] != "yes", (name, visibility)
                if access not in (Access.PUBLIC, Access.UNASKED, Access.SIGNED_LINK):
                    assert all(answers[who] == "bad" for who in DEAD), (name, visibility)


def test_everybody_in_the_table_is_asked_for():
    assert TABLE.who == WHO
    assert len(WHO) == 10
    rows = [visibility for rule in TABLE.rules for visibility in rule.answers]
    assert {"any", "public", "private", "gated"} == set(rows)
    n_cells = sum(len(rule.answers) * len(WHO) * len(rule.routes) for rule in TABLE.rules)
    assert n_cells > 5000


@pytest.mark.parametrize("kind", KINDS)
def test_the_world_is_as_the_table_assumes(world: World, kind: str):
    def told(who: str, visibility: str) -> int:
        asker = world.askers[who]
        path = f"/api/{kind}s/works/{NAMES[visibility]}"
        answer: httpx.Response = asker.client.get(path, headers=asker.headers)
        return answer.status_code

    assert [told("write", visibility) for visibility in NAMES] == [200, 200, 200]
    assert [told("stranger", visibility) for visibility in NAMES] == [200, 404, 200]
    assert [told(who, "public") for who in DEAD] == [401, 401, 401]


def test_a_route_that_declares_no_access_does_not_start():
    undeclared = Route("GET", "/x", ROUTES["GET /healthz"][0].endpoint, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="declares no access"):
        Router([*server.routes(), undeclared])


def test_an_act_that_no_route_declares_is_not_done(world: World):
    """So an act that is added to a form cannot be done before it has a line in the table."""
    asker = world.askers["admin"]
    for name, (route, act) in ROUTES.items():
        if route.method != "POST" or route.dialect != "page" or act != route.acts[0]:
            continue
        call = call_for(world, asker, route, "public", act)
        if call.files is None and call.asker is asker and route.pattern != "/settings/confirm":
            call.form = (call.form or {}) | {"act": "an act of tomorrow"}
            assert call.send().status_code == 404, name
