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

from headwater.accounts.errors import CodeNotFound, TooManyAttempts, TooManyCodes
from headwater.accounts.service import devices, people, sessions
from headwater.kernel import ANONYMOUS, utcnow
from tests.accounts.test_pages import Reader
from tests.conftest import wait_for

HF = Path(sys.executable).with_name("hf")
HERE = "192.0.2.9"
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
        devices.answer(site, ada, made.user_code, approve=True, address=HERE, now=late)
    for _ in range(devices.MAX_WAITING_EACH - 1):
        write(devices.begin, ANONYMOUS, client="x", address="192.0.2.1", now=now)
    with pytest.raises(TooManyCodes):
        write(devices.begin, ANONYMOUS, client="x", address="192.0.2.1", now=now)
    write(devices.begin, ANONYMOUS, client="x", address="192.0.2.2", now=now)
    write(devices.begin, ANONYMOUS, client="x", address="192.0.2.1", now=late + timedelta(seconds=1))
    # Who is suspended between approval and poll gets nothing.
    waiting = write(devices.begin, ANONYMOUS, client="x", address="", now=now)
    devices.answer(site, ada, waiting.user_code, approve=True, address=HERE, now=now)
    assert read(devices.poll, waiting.device_code, now=now).error is None
    assert write(devices.redeem, waiting.device_code, now=now).token.startswith("hw_")


def test_addresses_of_one_ipv6_client_count_as_one(site):
    now = utcnow()
    for n in range(devices.MAX_WAITING_EACH):
        site.db.write(devices.begin, ANONYMOUS, client="x", address=f"2001:db8:0:1::{n:x}", now=now)
    with pytest.raises(TooManyCodes):
        site.db.write(devices.begin, ANONYMOUS, client="x", address="2001:db8:0:1:ffff::1", now=now)
    site.db.write(devices.begin, ANONYMOUS, client="x", address="2001:db8:0:2::1", now=now)


def test_codes_cannot_be_guessed_at_will(site, person):
    ada, bob, now = person("ada"), person("bob"), utcnow()
    made = site.db.write(devices.begin, ANONYMOUS, client="x", address=HERE, now=now)

    def look(actor, code, address=HERE, now=now):
        return devices.find_waiting(site, actor, code, address=address, now=now)

    for n in range(devices.ACCOUNT_GUESSES):
        look(ada, made.user_code)  # a right one costs nothing
        with pytest.raises(CodeNotFound):
            look(ada, f"WRNGCOD{'BCDFGHJKLM'[n]}")
    with pytest.raises(TooManyAttempts):
        look(ada, made.user_code)
    with pytest.raises(TooManyAttempts):
        devices.answer(site, ada, made.user_code, approve=True, address="192.0.2.200", now=now)
    assert look(bob, made.user_code).user_code == made.user_code
    later = now + devices.GUESS_WINDOW + timedelta(seconds=1)
    assert look(ada, made.user_code, now=later).user_code == made.user_code


def test_many_accounts_guess_no_more_from_one_address(site, person):
    now = utcnow()
    for n in range(devices.ADDRESS_GUESSES // devices.ACCOUNT_GUESSES):
        who = person(f"guest{n}")
        for _ in range(devices.ACCOUNT_GUESSES):
            with pytest.raises(CodeNotFound):
                devices.find_waiting(site, who, "WRNGCODB", address=f"2001:db8:0:1::{n:x}", now=now)
    with pytest.raises(TooManyAttempts):
        devices.find_waiting(site, person("last"), "WRNGCODB", address="2001:db8:0:1::ff", now=now)


@pytest.mark.parametrize("how", ["signed out everywhere", "new password"])
def test_an_approval_ends_with_the_sessions(site, person, how):
    ada, admin, now = person("ada"), person("grace", admin=True), utcnow()
    made = site.db.write(devices.begin, ANONYMOUS, client="x", address=HERE, now=now)
    devices.answer(site, ada, made.user_code, approve=True, address=HERE, now=now)
    if how == "new password":
        site.db.write(people.set_password, admin, "ada", password_hash="x", now=now)
    else:
        site.db.write(sessions.sign_out_everywhere, ada)
    assert site.db.write(devices.redeem, made.device_code, now=now).error == "expired_token"


def test_what_is_embedded_somewhere_uses_up_nobodys_guesses(live_app):
    live_app.add_person("reader-of-comments")
    reader = Reader(live_app.url).sign_in("reader-of-comments")
    code = httpx.post(f"{live_app.url}/oauth/device", data={"client_id": "x"}).json()["user_code"]
    for destination in ("image", "iframe", "empty"):
        for guess in ("WRNG-CODE", code):
            for _ in range(devices.ACCOUNT_GUESSES):
                address = f"/oauth/device?user_code={guess}"
                embedded = reader.client.get(address, headers={"Sec-Fetch-Dest": destination})
                assert embedded.status_code == 200
                assert f'value="{guess}"' in embedded.text
                assert "/oauth/device/answer" not in embedded.text
    opened = reader.client.get(f"/oauth/device?user_code={code}", headers={"Sec-Fetch-Dest": "document"})
    assert "/oauth/device/answer" in opened.text


def test_a_guesser_is_told_to_wait(live_app):
    guesser = Reader(live_app.url, "zh-CN").sign_in("eve")
    for _ in range(devices.ACCOUNT_GUESSES):
        assert guesser.open("/oauth/device?user_code=WRNG-CODE").page.status_code == 404
    assert guesser.open("/oauth/device?user_code=WRNG-CODE").page.status_code == 429
    assert guesser.page.headers["retry-after"]
    assert "尝试次数过多" in guesser.text
