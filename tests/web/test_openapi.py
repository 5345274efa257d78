"""The published description of the API: it is valid, it names every call, and what the server answers is as it says."""

from __future__ import annotations

import re
import zlib

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from openapi_spec_validator import validate as validate_openapi
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from headwater import server
from headwater.hub.huggingface import unserved
from headwater.web.openapi import ADDRESS, describe, described
from tests.conftest import LiveApp

SHAPES, _ = server._shapes_of_calls()
UNSERVED = {id(route) for route in unserved.ROUTES}
CALLS = [route for route in described(server.routes()) if id(route) not in UNSERVED]
DESCRIPTION = describe(CALLS, SHAPES, "http://127.0.0.1")
# What the address may be besides anything at all: else nearly every call would stop at "there is no such repository".
REAL = {
    "type": "models", "ns": "eve", "name": "described", "rev": "main", "path": "README.md", "branch": "main", "num": "1",
    "user": "eve", "org": "lab", "status": "pending",
}  # fmt: skip
# Bodies that are no JSON, and a witness's answers in plain text, are driven by tests of their own.
SCHEMA = schemathesis.openapi.from_dict(DESCRIPTION).exclude(path_regex=r"/commit/\{rev\}$|^/uploads$|^/log/witness/")


def test_it_is_published_and_valid(live_app: LiveApp):
    answer = httpx.get(live_app.url + ADDRESS)
    assert answer.status_code == 200
    told = answer.json()
    assert told["openapi"] == "3.1.0"
    assert told["servers"] == [{"url": live_app.url}]
    validate_openapi(told)
    assert told["paths"] == DESCRIPTION["paths"]


def test_every_call_is_in_it_and_says_what_it_is_sent():
    n_operations = sum(len(methods) for methods in DESCRIPTION["paths"].values())
    assert n_operations == len(CALLS) > 100
    names = [operation["operationId"] for methods in DESCRIPTION["paths"].values() for operation in methods.values()]
    assert len(set(names)) == len(names)
    routes = {f"{route.method} {route.pattern}" for route in server.routes()}
    assert set(SHAPES) <= routes
    silent = {
        f"{route.method} {route.pattern}"
        for route in CALLS
        if route.method in ("POST", "PUT", "PATCH")
        and route.dialect == "hf"
        and SHAPES.get(f"{route.method} {route.pattern}") is None
    }
    assert silent == set()
    for methods in DESCRIPTION["paths"].values():
        for operation in methods.values():
            assert re.match(r"\S", operation["summary"])
            for parameter in operation["parameters"]:
                jsonschema.Draft202012Validator.check_schema(parameter["schema"])


@pytest.fixture(scope="module")
def described_app(live_app: LiveApp) -> LiveApp:
    eve = live_app.hf("eve")
    eve.create_repo("eve/described")
    eve.upload_file(path_or_fileobj=b"# described\n", path_in_repo="README.md", repo_id="eve/described")
    eve.create_discussion("eve/described", "A talk")
    return live_app


# Ends the very things that the other calls are asked of; its own tests drive it.
ENDING = ("/api/repos/delete", "/api/repos/move")


@SCHEMA.parametrize()
@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_what_is_answered_is_as_described(case: schemathesis.Case, described_app: LiveApp):
    if case.operation.path in ENDING:
        pytest.skip("ends what is asked of")
    given = dict(case.path_parameters or {})
    if (
        zlib.crc32(repr(sorted(map(str, given.values()))).encode()) % 4 and case.method != "DELETE"
    ):  # three of four ask of what is there
        case.path_parameters = {name: REAL.get(name, value) for name, value in given.items()}
    case.path_parameters = {
        **(case.path_parameters or {}),
        **{name: "models" for name in ("type", "kind") if name in given},
    }
    case.headers = {**(case.headers or {}), "Authorization": f"Bearer {described_app.token('eve')}"}
    response = case.call(base_url=described_app.url, timeout=60, allow_redirects=False)
    if 300 <= response.status_code < 400 or response.status_code == 501:  # led on, or honestly not served
        return
    case.validate_response(response, checks=[not_a_server_error, content_type_conformance, response_schema_conformance])
