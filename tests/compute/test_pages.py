"""Pages of runs, in both languages, and what a repository's page says of the run that made it."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from tests.compute.client import RunsClient, act
from tests.compute.test_runs import WORDS, text_of
from tests.conftest import PASSWORD, LiveApp, wait_for


@pytest.fixture(scope="module")
def browser(runs_app: LiveApp) -> httpx.Client:
    """Ada, signed in."""
    client = httpx.Client(base_url=runs_app.url, follow_redirects=True, headers={"Accept": "text/html"})
    word = re.search(r'name="csrf" value="([^"]*)"', client.get("/login").text)
    assert word is not None
    client.post("/login", data={"csrf": word[1], "name": "ada", "password": PASSWORD})
    return client


def _form(client: httpx.Client, path: str, **values: str) -> httpx.Response:
    word = re.search(r'name="csrf" value="([^"]+)"', client.get("/runs/new").text)
    assert word is not None
    return client.post(path, data={"csrf": word[1], **values})


def test_from_the_form_to_the_repositorys_own_page(runs_app: LiveApp, browser: httpx.Client, ada: RunsClient) -> None:
    text_of(runs_app, "pages")
    recipe = WORDS % {"n": "pages"}
    bad = _form(browser, "/runs/new", recipe=recipe.replace("least", "lest"), act="submit")
    assert bad.status_code == 422
    assert "with.lest_length" in bad.text
    good = _form(browser, "/runs/new", recipe=recipe, act="check")
    assert "it can be submitted" in good.text
    made = _form(browser, "/runs/new", recipe=recipe, act="submit")
    run_id = int(made.url.path.rpartition("/")[2])
    assert ada.wait(run_id)["state"] == "succeeded"
    for language, words in (("en", ("Curves", "Provenance", "succeeded")), ("zh-CN", ("曲线", "来历声明", "成功"))):
        page = browser.get(f"/runs/{run_id}", headers={"Accept-Language": language}).text
        for word in (*words, "单词已统计", "distinct", "<polyline", "datasets/lab/counts-pages"):
            assert word in page, word
    assert f'href="/runs/{run_id}"' in browser.get("/datasets/lab/counts-pages").text
    assert f'href="/runs/{run_id}"' in browser.get("/runs").text
    assert "count the words" in browser.get(f"/runs/new?from={run_id}").text
    assert "<polyline" in browser.get(f"/runs/{run_id}/curves").text


def test_two_runs_side_by_side(runs_app: LiveApp, browser: httpx.Client, ada: RunsClient) -> None:
    ids = [ada.submit(act(f"side {n}", "count", seconds=n * 10.0))["id"] for n in (1, 2)]
    for number in ids:
        assert ada.wait(number)["state"] == "succeeded"
    page = browser.get("/runs/compare", params={"ids": ids}).text
    assert "with.seconds" in page
    assert page.count("<polyline") == 2
    told = ada.http.get("/run-comparison", params={"ids": ",".join(map(str, ids))}).json()
    assert told["recipe"] == [{"name": "with.seconds", "values": [10.0, 20.0], "differs": True}]
    assert [row["values"] for row in told["results"] if row["name"] == "steps"] == [[10, 20]]
    assert "Nothing to compare" in browser.get("/runs/compare", params={"ids": ids[:1]}).text


def test_a_run_is_cancelled_and_tried_again_on_its_page(browser: httpx.Client, ada: RunsClient) -> None:
    made = ada.submit(act("page", "sleep"))
    ada.wait_for_log(made["id"], "started")
    assert "Cancel" in browser.get(f"/runs/{made['id']}").text
    _form(browser, f"/runs/{made['id']}", act="cancel")
    assert ada.wait(made["id"])["state"] == "cancelled"
    page = browser.get(f"/runs/{made['id']}").text
    assert "Try again" in page
    _form(browser, f"/runs/{made['id']}", act="retry")
    wait_for(lambda: ada.show(made["id"])["attempts"] == 2)
    _form(browser, f"/runs/{made['id']}", act="cancel")
    assert ada.wait(made["id"])["state"] == "cancelled"


def test_the_log_comes_as_it_is_written(runs_app: LiveApp, ada: RunsClient) -> None:
    made = ada.submit(act("live", "sleep", seconds=600))
    seen: list[tuple[str, dict[str, object]]] = []
    name, asked = "", False
    with ada.http.stream("GET", f"/runs/{made['id']}/events", timeout=60) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                seen.append((name, json.loads(line[6:])))
                grew = {told["points"] for kind, told in seen if kind == "run"}
                has_log = any(kind == "log" for kind, _ in seen)
                if len(grew) > 2 and has_log and not asked:  # points and log are told while it runs
                    asked = ada.http.post(f"/runs/{made['id']}/cancel").is_success
    assert seen[-1] == ("over", {"state": "cancelled"})
    states = [told["state"] for name, told in seen if name == "run"]
    assert states[-1] == "cancelled"
    assert "running" in states
    assert "".join(str(told["text"]) for name, told in seen if name == "log") == "started sleep attempt 1\n"


@pytest.mark.parametrize("path", ["/runs/999999", "/runs/x", "/runs/0", "/runs/999999/curves"])
def test_no_such_run(browser: httpx.Client, path: str) -> None:
    assert browser.get(path).status_code == 404
