"""Passkeys in a real Chromium with a virtual authenticator, on http://localhost."""

from __future__ import annotations

import base64
import os
from urllib.parse import urlsplit

import pytest

from headwater.accounts import totp
from headwater.kernel import utcnow
from tests.accounts.test_second_factor_pages import make_stale
from tests.conftest import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("windows_closed")]


@pytest.fixture
def here(live_app):
    """The site by its name instead of its address."""
    return f"http://localhost:{urlsplit(live_app.url).port}"


def page_with_key(chromium, here, *, verifies=True):
    """A page, its complaints, and the session that holds its authenticator."""
    context = chromium.new_context(base_url=here, locale="en-GB")
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable", {})
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": verifies,
        "automaticPresenceSimulation": True,
    }
    added = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return page, complaints, devtools, added["authenticatorId"]


def sign_in(page, name):
    page.goto("/login")
    page.fill("#f-name", name)
    page.fill("#f-password", PASSWORD)
    page.click("form[action='/login'] >> text=Sign in >> nth=0")


def add_key(page, name="this laptop"):
    page.goto("/settings/second-factor")
    page.fill("#passkeys #f-name", name)
    page.click("#passkeys button:has-text('Add a passkey')")
    page.wait_for_selector("text=Your recovery codes")


def test_a_passkey_is_added_and_signs_in_alone_and_beside_the_password(live_app, here, chromium):
    live_app.add_person("kay")
    page, complaints, devtools, key = page_with_key(chromium, here)
    sign_in(page, "kay")
    page.wait_for_url(f"{here}/")
    add_key(page)
    held = devtools.send("WebAuthn.getCredentials", {"authenticatorId": key})["credentials"]
    assert [each["rpId"] for each in held] == ["localhost"]
    assert "this laptop" in page.content()

    page.click(".person")
    page.click("text=Sign out")
    page.goto("/login?next=/settings/tokens")
    page.click("text=Sign in with a passkey")
    page.wait_for_url(f"{here}/settings/tokens")

    page.click(".person")
    page.click("text=Sign out")
    sign_in(page, "kay")
    page.wait_for_url("**/login/second?*")
    page.click("text=Use a passkey")
    page.wait_for_url(f"{here}/")
    page.goto("/settings/log")
    assert "password + passkey" in page.inner_text("main")
    assert [each for each in complaints if "401" not in each] == []


def test_a_passkey_confirms_and_the_act_goes_on(live_app, here, chromium):
    live_app.add_person("lea")
    live_app.hf("lea").create_repo("lea/gone")
    page, _, _, _ = page_with_key(chromium, here)
    sign_in(page, "lea")
    page.wait_for_url(f"{here}/")
    add_key(page)
    make_stale(live_app, "lea")
    page.goto("/lea/gone/settings")
    page.fill("#danger input[name=confirm]", "lea/gone")
    page.click("#danger button")
    page.wait_for_selector("text=Is it you?")
    assert live_app.hf("lea").repo_exists("lea/gone")
    page.click("text=Use a passkey")
    page.wait_for_url(f"{here}/lea")
    assert not live_app.hf("lea").repo_exists("lea/gone")


def test_a_key_that_cannot_verify_its_person_does_not_sign_in_alone(live_app, here, chromium):
    live_app.add_person("mo")
    page, _, devtools, key = page_with_key(chromium, here)
    sign_in(page, "mo")
    page.wait_for_url(f"{here}/")
    add_key(page)
    devtools.send("WebAuthn.setUserVerified", {"authenticatorId": key, "isUserVerified": False})
    page.context.clear_cookies()
    page.goto("/login")
    page.click("text=Sign in with a passkey")
    page.wait_for_selector("[data-passkey-failed]:visible")
    page.goto("/settings/tokens")
    assert "/login" in page.url


def test_a_passkey_of_the_name_is_not_offered_at_the_address(live_app, here, chromium):
    live_app.add_person("nia")
    page, _, _, _ = page_with_key(chromium, here)
    sign_in(page, "nia")
    page.wait_for_url(f"{here}/")
    add_key(page)
    other = chromium.new_context(base_url=live_app.url, locale="en-GB").new_page()
    sign_in(other, "nia")
    other.wait_for_url("**/login/second?*")
    assert "belong to another address" in other.inner_text("main")
    assert other.locator("[data-passkey]").count() == 0


@pytest.mark.parametrize(("locale", "scheme"), [("en-GB", "light"), ("zh-CN", "dark")])
def test_the_steps_of_setting_up_fit_every_screen(live_app, here, chromium, locale, scheme):
    name = f"pia-{scheme}"
    live_app.add_person(name)
    context = chromium.new_context(base_url=here, locale=locale, color_scheme=scheme)
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    shots = os.environ.get("TEST_SHOTS")

    def look(step):
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{step} is {wide} px wide on a screen of {width}"
            if shots:
                page.screenshot(path=f"{shots}/{step}-{width}-{scheme}.png", full_page=True)

    page.goto("/login")
    look("login")
    page.fill("#f-name", name)
    page.fill("#f-password", PASSWORD)
    page.press("#f-password", "Enter")
    page.wait_for_url(f"{here}/")
    page.goto("/settings/second-factor")
    page.click("#app button")
    page.wait_for_selector("img.qr")
    assert page.evaluate("document.querySelector('img.qr').naturalWidth") > 100
    look("picture")
    spelled = page.inner_text("#app .snippet code").replace(" ", "")
    page.fill("#f-code", totp.code_at(base64.b32decode(spelled), totp.step_of(utcnow())))
    page.click("#app form button.main")
    page.wait_for_selector("#codes")
    look("codes")
    page.click(".person")
    page.click("form[action='/logout'] button")
    page.goto("/login")
    page.fill("#f-name", name)
    page.fill("#f-password", PASSWORD)
    page.press("#f-password", "Enter")
    page.wait_for_url("**/login/second?*")
    look("second")
    page.fill("#f-code", totp.code_at(base64.b32decode(spelled), totp.step_of(utcnow()) + 1))
    page.press("#f-code", "Enter")
    page.wait_for_url(f"{here}/")
    make_stale(live_app, name)
    page.goto("/settings/second-factor")
    page.click("#recovery button")
    page.wait_for_selector("#f-proof_code")
    look("confirm")
    assert [each for each in complaints if "403" not in each] == []
    context.close()
