"""``hf auth login`` without a token: the real client shows a code, its person approves it on a page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from headwater.accounts.errors import CodeNotFound, TooManyCodes
from headwater.accounts.service import devices
from headwater.kernel import ANONYMOUS, utcnow
from tests.accounts.test_pages import Reader
from tests.conftest import wait_for

HF = Path(sys.executable).with_name("hf")
GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def bob(live_app):
    return Reader(live_app.url).sign_in("bob")


def log_in(app, home: Path) -> tuple[subprocess.Popen[bytes], Path]:
    said = home / "said"
    home.mkdir()
    env = {**os.environ, "HF_ENDPOINT": app.url, "HF_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    with said.open("wb") as out:
        program = subprocess.Popen(
            [HF, "auth", "login"], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env
        )
    return program, said


def code_in(said: Path) -> str:
    found = wait_for(lambda: re.search(r"code:? ([A-Z]{4}-[A-Z]{4})", said.read_text()), what="a code")
    return found.group(1)


def test_the_client_signs_in_by_a_code(live_app, bob, tmp_path):
    program, said = log_in(live_app, tmp_path / "hf")
    try:
        code = code_in(said)
        bob.open(f"/oauth/device?user_code={code}")
        assert "hf auth login" in bob.text
        assert code in bob.text
        bob.send("/oauth/device/answer", act="approve")
        assert "Approved" in bob.text
        assert program.wait(30) == 0, said.read_text()
    finally:
        program.kill()
    stored = (tmp_path / "hf/token").read_text().strip()
    who = httpx.get(f"{live_app.url}/api/whoami-v2", headers={"Authorization": f"Bearer {stored}"}).json()
    assert (who["name"], who["auth"]["accessToken"]["role"]) == ("bob", "write")
    assert "hf auth login (" in bob.open("/settings/tokens").text  # where it can be revoked
    bob.open(f"/oauth/device?user_code={code}")
    assert bob.page.status_code == 404  # once only


def test_the_client_is_told_of_a_refusal(live_app, bob, tmp_path):
    program, said = log_in(live_app, tmp_path / "hf")
    try:
        bob.open("/oauth/device").client.get("/")
        bob.open(f"/oauth/device?user_code={code_in(said).lower().replace('-', ' ')}")
        bob.send("/oauth/device/answer", act="refuse")
        assert program.wait(30) != 0
    finally:
        program.kill()
    assert "denied" in said.read_text()
    assert not (tmp_path / "hf/token").exists()


def test_what_the_protocol_says_while_it_waits(live_app, bob):
    made = httpx.post(f"{live_app.url}/oauth/device", data={"client_id": "x"}).json()
    asked = {"grant_type": GRANT, "device_code": made["device_code"], "client_id": "x"}

    def poll(**changed):
        answer = httpx.post(f"{live_app.url}/oauth/token", data={**asked, **changed})
        return answer.status_code, answer.json().get("error")

    assert poll() == (400, "authorization_pending")
    assert poll(device_code="guessed") == (400, "expired_token")
    assert poll(grant_type="refresh_token") == (400, "unsupported_grant_type")
    stranger = Reader(live_app.url).open(made["verification_uri_complete"].removeprefix(live_app.url))
    assert stranger.page.url.path == "/login"
    # The code alone moves nothing: the answer needs the person's own page.
    forged = bob.client.post("/oauth/device/answer", data={"user_code": made["user_code"], "act": "approve"})
    assert forged.status_code == 403
    assert poll() == (400, "authorization_pending")
    bob.open(f"/oauth/device?user_code={made['user_code']}").send("/oauth/device/answer", act="approve")
    got = httpx.post(f"{live_app.url}/oauth/token", data=asked)
    assert got.json()["token_type"] == "bearer"
    assert got.headers["cache-control"] == "no-store"
    assert poll() == (400, "expired_token")  # a second token is not to be had
    assert bob.open("/oauth/device?user_code=WRNG-CODE").page.status_code == 404
    chinese = Reader(live_app.url, "zh-CN").sign_in("bob").open("/oauth/device?user_code=WRNG-CODE")
    assert "没有程序在等待这个代码" in chinese.text


def test_codes_end_and_are_bounded(site, person):
    ada = person("ada")
    now = utcnow()
    write, read = site.db.write, site.db.read
    made = write(devices.begin, ANONYMOUS, client="x", address="192.0.2.1", now=now)
    late = now + devices.LIFETIME
    assert read(devices.poll, made.device_code, now=late).error == "expired_token"
    with pytest.raises(CodeNotFound):
        write(devices.answer, ada, made.user_code, approve=True, now=late)
    for _ in range(devices.MAX_WAITING_EACH - 1):
        write(devices.begin, ANONYMOUS, client="x", address="192.0.2.1", now=now)
    with pytest.raises(TooManyCodes):
        write(devices.begin, ANONYMOUS, client="x", address="192.0.2.1", now=now)
    write(devices.begin, ANONYMOUS, client="x", address="192.0.2.2", now=now)
    write(devices.begin, ANONYMOUS, client="x", address="192.0.2.1", now=late + timedelta(seconds=1))
    # Who is suspended between approval and poll gets nothing.
    waiting = write(devices.begin, ANONYMOUS, client="x", address="", now=now)
    write(devices.answer, ada, waiting.user_code, approve=True, now=now)
    assert read(devices.poll, waiting.device_code, now=now).error is None
    assert write(devices.redeem, waiting.device_code, now=now).token.startswith("hw_")
