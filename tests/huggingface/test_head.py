"""HEAD says what GET says, without its body: one connection goes on with the next answer."""

from __future__ import annotations

import itertools
import re
import socket
from urllib.parse import urlsplit

import pytest

from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub import access, cards
from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import SYSTEM
from headwater.server import routes
from tests.conftest import wait_for
from tests.web.raw import Connection

FILLED = {"ns": ["ada"], "name": ["headed"], "rev": ["main"], "path": ["README.md"]}
_PARAM = re.compile(r"\{(\w+)\*?(?::([^}]+))?\}")


def addresses() -> list[str]:
    """Of every route that answers at once, with each of the words it takes."""
    found = []
    for route in routes():
        if route.at_once is None:
            continue
        # A parameter that nothing is said of here fails, so that a new route cannot be left out.
        choices = [words.split("|") if words else FILLED[name] for name, words in _PARAM.findall(route.pattern)]
        for chosen in itertools.product(*choices):
            values = iter(chosen)
            found.append(_PARAM.sub(lambda _, values=values: next(values), route.pattern))
    return found


@pytest.fixture(scope="module")
def token(live_app):
    api = live_app.hf("ada")
    for kind, more in (("model", {}), ("dataset", {}), ("space", {"space_sdk": "static"})):
        api.create_repo("ada/headed", repo_type=kind, **more)
        api.upload_file(
            path_or_fileobj=b"---\nlicense: mit\n---\n# Headed\n",
            path_in_repo="README.md",
            repo_id="ada/headed",
            repo_type=kind,
        )
    with live_app.opened() as site:
        for kind in RepoKind:
            wait_for(lambda kind=kind: site.db.read(is_indexed, kind), what="the card's index")
    return live_app.token("ada")


def is_indexed(tx: Tx, kind: RepoKind) -> bool:
    """Only then is a repository told from memory."""
    repo = access.get_repository(tx, SYSTEM, kind, RepoName("ada", "headed"), Action.READ)
    stamp = cards.find_stamp(tx, repo.id)
    return stamp is not None and stamp[0] == repo.head_commit


@pytest.mark.parametrize("address", addresses())
def test_no_body_follows_the_head_of_a_head(live_app, token, address):
    where = urlsplit(live_app.url)
    connection = Connection(socket.create_connection((where.hostname, where.port), timeout=20))
    as_ada = f"Authorization: Bearer {token}"
    methods = ("GET", "GET", "HEAD", "GET", "HEAD", "HEAD")  # the first may be answered the long way
    answers = [connection.ask(method, address, b"", as_ada) for method in methods]
    answers.append(connection.ask("GET", address, b"", as_ada, "Connection: close"))
    assert connection.is_at_end()
    connection.close()
    assert [answer.status for answer in answers] == [200] * 7
    assert {answer.headers["content-length"] for answer in answers} == {str(len(answers[0].body))}
    assert [answer.body for answer in answers] == [answers[0].body] * 2 + [
        b"",
        answers[0].body,
        b"",
        b"",
        answers[0].body,
    ]
    told = [{k: v for k, v in answer.headers.items() if k not in ("date", "x-request-id")} for answer in answers[:-1]]
    assert all(headers == told[0] for headers in told)


def test_every_route_that_answers_at_once_is_asked():
    asked = {"/api/whoami-v2", "/api/models/ada/headed", "/spaces/ada/headed/raw/main/README.md"}
    assert asked <= set(addresses())
