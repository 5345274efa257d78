"""People's own pages in a real Chromium: nothing breaks the content policy, nothing runs over a phone's width."""

from __future__ import annotations

import os

import pytest

from tests.conftest import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("windows_closed")]

OWN = [
    "/settings/profile",
    "/settings/sign-in",
    "/settings/second-factor",
    "/settings/confirm?next=/settings/tokens",
    "/settings/log",
    "/settings/tokens",
    "/settings/organisations",
    "/organizations/new",
    "/organizations/lab/settings",
    "/organizations/lab/members",
    "/organizations/lab/audit",
    "/admin/people",
    "/admin/sign-up",
]


@pytest.mark.parametrize(("locale", "scheme"), [("en-GB", "light"), ("zh-CN", "dark")])
def test_every_page_fits_and_keeps_the_content_policy(live_app, chromium, locale, scheme, tmp_path):
    context = chromium.new_context(
        base_url=live_app.url, locale=locale, color_scheme=scheme, viewport={"width": 1280, "height": 800}
    )
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/login")
    page.fill("#f-name", "ada")
    page.fill("#f-password", PASSWORD)
    page.press("#f-password", "Enter")
    page.wait_for_url(live_app.url + "/")
    shots = os.environ.get("TEST_SHOTS")
    for address in OWN:
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(address)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{address} is {wide} px wide on a screen of {width}"
            unlabelled = page.evaluate(
                "[...document.querySelectorAll('main input:not([type=hidden]), main select, main textarea')]"
                ".filter(e => !e.labels.length && !e.getAttribute('aria-label')).map(e => e.outerHTML)"
            )
            assert unlabelled == [], address
            if shots:
                name = f"{address.strip('/').replace('/', '_').partition('?')[0]}-{width}-{scheme}.png"
                page.screenshot(path=f"{shots}/{name}", full_page=True)
    assert complaints == []
    context.close()


def test_a_person_makes_a_token_by_hand_and_signs_out(live_app, chromium):
    live_app.add_person("yara")
    context = chromium.new_context(base_url=live_app.url, locale="en-GB")
    page = context.new_page()
    page.goto("/settings/tokens")
    page.fill("#f-name", "yara")
    page.fill("#f-password", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/settings/tokens")
    page.fill("#f-name", "notebook")
    page.click("text=Fine-grained >> nth=0")
    page.click("summary:has-text('What a fine-grained token may do')")
    page.select_option("select[name^=on_]", "write")
    page.click("text=Create the token")
    secret = page.inner_text(".note.good code")
    assert secret.startswith("hw_")
    page.reload()
    assert secret not in page.content()
    page.click(".person")
    page.click("text=Sign out")
    page.wait_for_url(live_app.url + "/")
    assert "You are signed out" in page.content()
    page.goto("/settings/tokens")
    assert "/login" in page.url
    context.close()
