"""Pages of endpoints, usage and the playground: by forms, and in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from headwater.accounts.service import lookup, sessions
from headwater.kernel import utcnow
from headwater.serving import store, usage_store
from headwater.serving.models import Used
from headwater.serving.tables import gateway_usage
from tests.conftest import wait_for
from tests.pages.test_browser import look
from tests.pages.test_upload import watched
from tests.serving.conftest import Serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

    from headwater.web import Site

pytestmark = pytest.mark.models
Browse = Callable[..., "BrowserContext"]


def cookie_of(serving: Serving, user: str) -> str:
    with serving.app.opened() as site:
        account = site.db.read(lookup.get_account, user)
        made: str = site.db.write(sessions.start_session, account, user_agent="tests", now=utcnow())
    return made


@pytest.fixture(scope="module")
def cookie(serving: Serving) -> str:
    return cookie_of(serving, "ada")


@pytest.fixture(scope="module")
def ada(serving: Serving, cookie: str) -> Iterator[httpx.Client]:
    cookies = {"hw_session": cookie, "hw_lang": "en"}
    with httpx.Client(base_url=serving.app.url, cookies=cookies, timeout=60) as client:
        yield client


def csrf_of(html: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', html)
    assert found
    return found[1]


def post(client: httpx.Client, path: str, **form: str) -> httpx.Response:
    word = csrf_of(client.get("/endpoints/new").text)
    return client.post(path, data={**form, "csrf": word}, headers={"Origin": str(client.base_url).rstrip("/")})


def test_an_endpoint_by_forms(serving: Serving, ada: httpx.Client) -> None:
    refused = post(ada, "/endpoints/new", model="ada/tiny", name="../x", context_tokens="7")
    assert refused.status_code == 400
    assert "context_tokens is a number from 64" in refused.text
    assert 'value="../x"' in refused.text  # what was typed still stands there
    none = post(ada, "/endpoints/new", model="ada/tiny", engine="llama.cpp", name="by-form")
    assert none.status_code == 422
    assert "kind: convert" in none.text  # with the run that makes what llama.cpp reads
    made = post(ada, "/endpoints/new", model="ada/tiny", engine="transformers", name="by-form", task="embed")
    assert (made.status_code, made.headers["location"]) == (303, "/endpoints/ada/by-form")
    here = "/endpoints/ada/by-form"
    assert post(ada, here, act="stop").status_code == 303
    page = ada.get(here).text
    assert ">stopped<" in page
    assert "client.embeddings.create" in page
    assert post(ada, here, act="change", access="everyone", idle_s="3600", keeps_contents="1").status_code == 303
    found = serving.get("ada/by-form")
    assert (found["access"], found["idle_s"], found["keeps_contents"]) == ("everyone", 3600, True)
    wrong = post(ada, here, act="change", access="everyone", idle_s="3")
    assert (wrong.status_code, "idle_s is 0 for never" in wrong.text) == (400, True)
    assert post(ada, here, act="delete", confirm="ada/other").status_code == 303
    assert ada.get(here).status_code == 200
    assert post(ada, here, act="delete", confirm="ada/by-form").headers["location"] == "/endpoints"
    assert ada.get(here).status_code == 404


def test_others_see_neither_log_nor_settings(serving: Serving, ada: httpx.Client) -> None:
    eve = {"hw_session": cookie_of(serving, "eve"), "hw_lang": "en"}
    mine = ada.get("/endpoints/ada/tiny").text
    theirs = httpx.get(f"{serving.app.url}/endpoints/ada/tiny", cookies=eve).text
    for word in ('value="stop"', 'value="delete"', 'name="keeps_contents"', "What the engine says"):
        assert (word in mine, word in theirs) == (True, False), word
    assert "/playground?model=ada%2Ftiny" in theirs


def test_usage_and_its_limits_by_form(serving: Serving, ada: httpx.Client) -> None:
    serving.app.add_person("zoe")
    with serving.app.opened() as site:
        zoe = site.db.read(lookup.get_account, "zoe").id
        minute = int(utcnow().timestamp()) // 60
        served = site.db.read(store.find_by_name, "ada", "tiny")
        assert served is not None
        one = served.endpoint.id
        site.db.write(usage_store.add_usage, one, zoe, 0, minute, Used(3, 1, 12_345, 67, 5, 9), now=utcnow())
    page = ada.get("/settings/usage?days=1").text
    assert "12,345" in page
    assert "1 failed" in page
    csv = ada.get(re.search(r'href="(/api/v1/serving/usage[^"]+)"', page)[1].replace("&amp;", "&"))  # type: ignore[index]
    assert (csv.headers["content-type"], "12345" in csv.text) == ("text/csv; charset=utf-8", True)
    assert csv.headers["content-disposition"].startswith("attachment")
    set_to = post(ada, "/settings/usage", owner="lab", requests_minute="5", tokens_day="1000")
    assert (set_to.status_code, set_to.headers["location"]) == (303, "/settings/usage?of=lab")
    assert 'name="requests_minute" value="5"' in ada.get("/settings/usage?of=lab").text
    wrong = post(ada, "/settings/usage", owner="lab", requests_minute="many")
    assert (wrong.status_code, "requests_minute is a whole number" in wrong.text) == (400, True)
    post(ada, "/settings/usage", owner="lab")
    assert serving.api("GET", "/api/v1/serving/limits/owner/lab", scope="admin").json() is None
    assert ada.get("/settings/usage?of=bob").status_code in (200, 403)


def test_no_line_of_usage_is_left_out_unsaid(serving: Serving) -> None:
    """Bob's keys, each a line of a minute 350 days ago."""
    client = httpx.Client(
        base_url=serving.app.url, cookies={"hw_session": cookie_of(serving, "bob"), "hw_lang": "en"}, timeout=60
    )
    table, used = gateway_usage.c, {"n_requests": 1, "n_errors": 0, "prompt_tokens": 2, "completion_tokens": 3}
    long_ago = int(utcnow().timestamp()) // 60 - 350 * 1440

    def add(site: Site, numbers: range) -> None:
        bob = site.db.read(lookup.get_account, "bob").id
        served = site.db.read(store.find_by_name, "ada", "tiny")
        assert served is not None
        same = {"endpoint_id": served.endpoint.id, "account_id": bob, "first_ms": 1, "whole_ms": 2, **used}
        rows = [{"minute": long_ago + n // 1000, "token_id": 10**6 + n % 1000, **same} for n in numbers]
        site.db.write(lambda tx: tx.execute(gateway_usage.insert(), rows))

    def n_together() -> int:
        found = re.search(r'colspan="3">.*?<b>([\d,]+)</b>', client.get("/settings/usage?days=365").text, re.DOTALL)
        return 0 if found is None else int(found[1].replace(",", ""))

    before = n_together()
    try:
        with serving.app.opened() as site:
            add(site, range(600))
        page = client.get("/settings/usage?days=365").text
        assert page.count('<td class="nowrap">') == 500
        assert "The newest 500 lines are shown" in page
        assert n_together() == before + 600
        url = "/api/v1/serving/usage?days=365&format=csv"
        assert client.get(url).text.count("\n") >= 601
        with serving.app.opened() as site:
            add(site, range(600, 100_001))
        assert client.get(url).text.count("\n") >= 1001  # by day
        refused = client.get(f"{url}&by=minute")
        assert (refused.status_code, refused.json()["code"]) == (400, "too_many_lines")
        assert "too_many_lines" not in client.get(f"{url}&by=minute&days=30").text
    finally:
        with serving.app.opened() as site:
            site.db.write(lambda tx: tx.execute(gateway_usage.delete().where(table.minute < long_ago + 200)))


@pytest.fixture(scope="module")
def browse(serving: Serving, cookie: str, chromium: Browser) -> Browse:
    def open_window(language: str = "en", theme: str = "light", width: int = 1280) -> BrowserContext:
        context = chromium.new_context(viewport={"width": width, "height": 800})
        values = {"hw_lang": language, "hw_theme": theme, "hw_session": cookie}
        context.add_cookies([{"name": key, "value": value, "url": serving.app.url} for key, value in values.items()])
        return context

    return open_window


@pytest.mark.browser
@pytest.mark.parametrize(("language", "theme", "width"), [("zh-CN", "dark", 390), ("en", "light", 1280)])
def test_pages_stand_in_every_window(serving: Serving, browse: Browse, language: str, theme: str, width: int) -> None:
    context = browse(language, theme, width)
    page = context.new_page()
    problems = watched(page, serving.app.url)
    paths = ["/endpoints", "/endpoints/new", "/endpoints/ada/tiny", "/settings/usage"]
    for path in [*paths, "/playground?model=ada%2Ftiny", "/playground?model=ada%2Ftiny&beside=ada%2Ftiny", "/ada/tiny"]:
        look(page, serving.app.url, path, problems)
    context.close()


@pytest.mark.browser
def test_the_playground_asks_stops_compares_and_writes_code(serving: Serving, browse: Browse) -> None:
    context = browse()
    page = context.new_page()
    problems = watched(page, serving.app.url)
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.post_data or "") if one.url.endswith("/completions") else None)
    page.goto(f"{serving.app.url}/playground?model=ada%2Ftiny")
    page.fill("#system", "Be 'brief'.")
    page.fill("#max_tokens", "5")
    page.fill("#temperature", "0")
    page.fill("#prompt", "你好")
    code = page.locator(".snippet code")
    assert '"content": "Be \'brief\'."' in code.inner_text()
    page.press("#prompt", "Enter")
    page.locator("#lane-0 .stats").filter(has_text="+ 5").wait_for()
    assert page.locator("#lane-0 .turn.assistant .said").inner_text()
    assert '"role":"system","content":"Be \'brief\'."' in asked[0]
    assert '"max_tokens":5' in asked[0]
    page.get_by_role("button", name="curl").click()
    assert "Be '\\''brief'\\''." in code.inner_text()
    page.get_by_role("button", name="JavaScript").click()
    assert 'import OpenAI from "openai"' in code.inner_text()
    page.get_by_role("button", name="Python").click()
    compile(code.inner_text(), "copied", "exec")

    page.fill("#max_tokens", "7000")  # it would take minutes
    page.fill("#prompt", "again")
    page.get_by_role("button", name="Send").click()
    wait_for(lambda: len(page.locator("#lane-0 .turn.open .said").inner_text()) > 3, what="the answer beginning")
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()
    assert page.locator("#send").is_enabled()

    page.select_option("#beside", "ada/tiny")
    page.fill("#max_tokens", "4")
    page.fill("#prompt", "both")
    page.press("#prompt", "Enter")
    for lane in ("#lane-0", "#lane-1"):
        page.locator(f"{lane} .stats").filter(has_text="+ 4").wait_for()
    assert problems == []
    page.fill("#max_tokens", "1")
    page.fill("#prompt", "x" * 9000)
    page.press("#prompt", "Enter")
    page.locator("#lane-1 .aside.bad").filter(has_text="tokens").wait_for()
    context.close()
