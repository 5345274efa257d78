"""Addresses that this server is told to call: H08 (where they lead), H09 (what is sent cannot be forged or used again)."""

from __future__ import annotations

import hashlib
import hmac
import time

import pytest

from tests.attacks.asking import ask
from tests.conftest import LiveApp, wait_for
from tests.servers.receiver import Receiver

INSIDE = (
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://[::1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://0.0.0.0:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "http://[fd00::1]/",
    "http://[64:ff9b::7f00:1]:{port}/",
)
NOT_EVEN_AN_ADDRESS = (
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_GET",
    "ftp://127.0.0.1/",
    "http://user:password@127.0.0.1:{port}/",
    "dict://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "http:///path",
    "http://127.0.0.1:{port}@example.com:99999/",
    "http://exa\nmple.com/",
    "javascript:alert(1)",
)


@pytest.fixture
def receiver():
    made = Receiver().start()
    yield made
    made.stop()


def port_of(receiver: Receiver) -> str:
    return receiver.url.rsplit(":", 1)[1].split("/")[0]


def hook(app: LiveApp, url: str, name: str, secret: str | None = None) -> dict[str, object]:
    body = {
        "url": url,
        "watched": [{"type": "model", "name": name}],
        "domains": ["discussion", "repo"],
        "secret": secret,
    }
    answer = ask(app, "bob", "POST", "/api/settings/webhooks", json=body)
    return {"status": answer.status_code, **(answer.json().get("webhook") or {})}


def deliveries(app: LiveApp, hook_id: object) -> list[dict[str, object]]:
    found: list[dict[str, object]] = ask(app, "bob", "GET", f"/api/settings/webhooks/{hook_id}/deliveries").json()
    return found


@pytest.mark.parametrize("template", NOT_EVEN_AN_ADDRESS)
def test_h08_what_is_no_address_of_the_web_is_refused_at_once(live_app: LiveApp, receiver: Receiver, template: str):
    live_app.hf("bob").create_repo("bob/h08", exist_ok=True)
    assert hook(live_app, template.format(port=port_of(receiver)), "bob/h08")["status"] == 400
    assert receiver.received == []


def test_h08_no_address_inside_is_ever_connected_to(live_app: LiveApp, receiver: Receiver):
    live_app.hf("bob").create_repo("bob/h08", exist_ok=True)
    port = port_of(receiver)
    made = [hook(live_app, template.format(port=port), "bob/h08") for template in INSIDE]
    kept = [each["id"] for each in made if each["status"] == 200]
    assert kept, made  # names are looked up when they are called
    ask(live_app, "bob", "POST", "/api/models/bob/h08/discussions", json={"title": "listen"})
    for one in kept:
        tried = wait_for(
            lambda one=one: [each for each in deliveries(live_app, one) if each["attempts"]], what="an attempt"
        )
        assert all(each["status"] is None for each in tried), tried
    assert receiver.received == []
    for one in kept:
        ask(live_app, "bob", "DELETE", f"/api/settings/webhooks/{one}")


def test_h08_a_redirect_is_an_answer_and_not_followed(new_app, receiver: Receiver):
    inside = Receiver().start()
    try:
        receiver.location = inside.url
        app = new_app(workers=1, env={"HEADWATER_WEBHOOK_ALLOW": "127.0.0.1"})
        app.hf("bob").create_repo("bob/h08")
        made = hook(app, receiver.url, "bob/h08")
        assert made["status"] == 200, made
        ask(app, "bob", "POST", "/api/models/bob/h08/discussions", json={"title": "listen"})
        wait_for(lambda: receiver.received, what="the call")
        wait_for(lambda: [each for each in deliveries(app, made["id"]) if each["attempts"]], what="its outcome")
        assert inside.received == []
    finally:
        inside.stop()


def test_h09_a_delivery_is_signed_with_its_time(new_app, receiver: Receiver):
    app = new_app(workers=1, env={"HEADWATER_WEBHOOK_ALLOW": "127.0.0.1"})
    app.hf("bob").create_repo("bob/h09")
    assert hook(app, receiver.url, "bob/h09", secret="between us")["status"] == 200
    ask(app, "bob", "POST", "/api/models/bob/h09/discussions", json={"title": "listen"})
    got = wait_for(lambda: receiver.received, what="the call")[0]
    headers = {name.lower(): value for name, value in got.headers.items()}
    stamp, given = headers["x-headwater-timestamp"], headers["x-headwater-signature"].removeprefix("v1=")
    assert abs(time.time() - int(stamp)) < 300  # so that an old one can be refused
    assert headers["x-headwater-delivery"]  # and one that was seen already
    good = hmac.new(b"between us", f"{stamp}.".encode() + got.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(given, good)
    for secret, when, body in (
        ("another", stamp, got.body),
        ("between us", str(int(stamp) + 1), got.body),
        ("between us", stamp, got.body + b" "),
    ):
        assert hmac.new(secret.encode(), f"{when}.".encode() + body, hashlib.sha256).hexdigest() != given
