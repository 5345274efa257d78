"""No request that another site's page can make a browser send changes anything: every unsafe route refuses it."""

from __future__ import annotations

import contextlib
import re

import httpx
import pytest

from headwater import server
from headwater.web.routing import Access, Route, path_for
from tests.conftest import LiveApp
from tests.review.browser import sign_in

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
# What a page elsewhere can make a browser send without asking us first, and what shows that it did.
FORGERIES = {
    "a form without the session's word": ({"Content-Type": "application/x-www-form-urlencoded"}, b"act=delete&name=x"),
    "a form with a wrong word": ({"Content-Type": "application/x-www-form-urlencoded"}, b"csrf=guess&act=delete"),
    "plain text that is JSON": ({"Content-Type": "text/plain"}, b'{"name": "forged"}'),
    "no type at all": ({}, b'{"name": "forged"}'),
    "files from another site": (
        {"Content-Type": "multipart/form-data; boundary=x", "Origin": "https://evil.example"},
        b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\nforged\r\n--x--\r\n',
    ),
    "files from nowhere": (
        {"Content-Type": "multipart/form-data; boundary=x", "Origin": "null"},
        b'--x\r\nContent-Disposition: form-data; name="title"\r\n\r\nforged\r\n--x--\r\n',
    ),
    "files that do not say from where": ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x--\r\n"),
    "files from another site that claim to come from nowhere": (
        {
            "Content-Type": "multipart/form-data; boundary=x",
            "Origin": "https://evil.example",
            "Sec-Fetch-Site": "none",
        },
        b"--x--\r\n",
    ),
    "a neighbour's page": ({"Sec-Fetch-Site": "same-site"}, b"act=delete"),
}


def unsafe_routes() -> list[Route]:
    found = []
    for route in server.routes():
        is_left = "unserved" in route.endpoint.__module__ or route.access in (Access.SIGNED_LINK, Access.PUBLIC)
        if route.method in UNSAFE and not is_left:
            found.append(route)
    return found


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_another_site_sends_with_our_cookie_is_refused(live_app: LiveApp, forgery: str):
    live_app.hf("bob").create_repo("bob/forge-target", exist_ok=True)
    headers, body = FORGERIES[forgery]
    wrong = []
    with contextlib.closing(sign_in(live_app, "bob")) as client:
        for route in unsafe_routes():
            typed = re.search(r"\{type:([^}|]*)", route.pattern)
            values = {"ns": "bob", "name": "forge-target", "rev": "main", "branch": "main", "num": "1", "org": "lab"}
            values |= {
                "path": "a.txt",
                "type": typed[1] if typed else "models",
                "kind": "model",
                "call": "runtime",
                "subject": "owner",
            }
            for name in ("comment", "user", "slug", "item", "status", "id", "act", "secret", "link"):
                values[name] = "enable" if name == "act" else "x"
            answer = client.request(route.method, path_for(route.pattern, **values), headers=headers, content=body)
            if answer.status_code not in (401, 403) or "form did not come" not in answer.text:
                wrong.append((route.method, route.pattern, answer.status_code, answer.text[:200]))
    assert not wrong, "\n".join(map(str, wrong))


def test_signing_in_and_up_by_another_sites_form_is_refused(live_app: LiveApp):
    for address in ("/login", "/join", "/link/x", "/logout"):
        headers = {"Origin": "https://evil.example"}
        answer = httpx.post(live_app.url + address, data={"name": "eve", "password": "x"}, headers=headers)
        assert answer.status_code in (403, 404), (address, answer.status_code)
        assert "set-cookie" not in answer.headers
