"""Pages of runs, in both languages, and what a repository's page says of the run that made it."""

from __future__ import annotations

import contextlib
import html
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


def _form(client: httpx.Client, path: str, /, **values: str) -> httpx.Response:
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


def test_one_reader_does_not_take_all_streams(runs_app: LiveApp, ada: RunsClient) -> None:
    made = ada.submit(act("followed", "sleep", seconds=600))
    path, most = f"/runs/{made['id']}/events", 64
    bob = RunsClient(runs_app, "bob").http
    with contextlib.ExitStack() as open_ones:
        states = [open_ones.enter_context(ada.http.stream("GET", path)).status_code for _ in range(most + 1)]
        assert states == [200] * most + [429]
        assert open_ones.enter_context(bob.stream("GET", path)).status_code == 200  # the run is public
    wait_for(lambda: _first_status(ada.http, path) == 200, what="streams that were closed being free")
    ada.http.post(f"/runs/{made['id']}/cancel")


def _first_status(http: httpx.Client, path: str) -> int:
    with http.stream("GET", path) as answer:
        return answer.status_code


@pytest.mark.parametrize("path", ["/runs/999999", "/runs/x", "/runs/0", "/runs/999999/curves"])
def test_no_such_run(browser: httpx.Client, path: str) -> None:
    assert browser.get(path).status_code == 404


def test_a_run_is_begun_from_a_repositorys_page(runs_app: LiveApp, browser: httpx.Client) -> None:
    """Each kind's example is a recipe about this repository that only lacks what its author has to name."""
    hf = runs_app.hf("ada")
    hf.create_repo("ada/begun")
    hf.create_repo("ada/begun-from", repo_type="dataset")
    hf.create_repo("ada/a-model")
    hf.create_repo("ada/a-dataset", repo_type="dataset")
    for path, kind, labels in (
        ("ada/begun", "models", {"Training", "Conversion", "Evaluation"}),
        ("datasets/ada/begun-from", "datasets", {"Training", "Corpus", "Evaluation"}),
    ):
        page = browser.get(f"/{path}", headers={"Accept-Language": "en"}).text
        found = dict(re.findall(r'<a class="btn small" href="(/runs/new\?kind=[^"]+)">(\w+)</a>', page))
        assert set(found.values()) == labels
        assert "/runs/new" not in httpx.get(f"{runs_app.url}/{path}").text, "nobody is signed in"
        for address in found:
            form = browser.get(html.unescape(address)).text
            text = html.unescape(re.search(r'<textarea[^>]*id="f-recipe"[^>]*>(.*?)</textarea>', form, re.DOTALL)[1])  # type: ignore[index]
            assert f"{{repo: {kind}/{path.removeprefix('datasets/')}}}" in text
            assert "$" not in text
            answer = _form(browser, "/runs/new", recipe=text.lstrip("\n"), act="check")
            problems = re.findall(r"<li><code>(.*?)</code> <span lang=\"en\">(.*?)</span>", answer.text)
            unready = [where for where, what in problems if not where.startswith(("inputs.", "with.tasks"))]
            assert not unready, problems


def test_a_form_of_a_file_knows_where_its_text_is_from(
    runs_app: LiveApp, browser: httpx.Client, ada: RunsClient
) -> None:
    """Unchanged, it is that file at its commit; changed, it is still as private."""
    hf, recipe = runs_app.hf("ada"), act("kept in private", "exit")
    hf.create_repo("ada/own-recipes", repo_type="dataset", private=True)
    commit = hf.upload_file(
        path_or_fileobj=recipe.encode(), path_in_repo="a.yaml", repo_id="ada/own-recipes", repo_type="dataset"
    ).oid
    page = browser.get("/runs/new?repo=datasets/ada/own-recipes&path=a.yaml").text
    shown = html.unescape(re.search(r'<textarea[^>]*id="f-recipe"[^>]*>(.*?)</textarea>', page, re.DOTALL)[1])  # type: ignore[index]
    hidden = {
        name: html.unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page)
    }
    assert shown.removeprefix("\n") == recipe
    file = {name: hidden[name] for name in ("repo", "path", "revision")}
    for text in (recipe, recipe.replace("kept", "changed")):
        assert _form(browser, "/runs/new", recipe=text, act="check", **file).status_code == 200
        answer = _form(browser, "/runs/new", recipe=text.replace("\n", "\r\n"), act="submit", **file)
        made = ada.show(int(answer.url.path.rpartition("/")[2]))
        assert made["private"]
        assert made["recipe"].get("recipe", {}).get("commit") == (commit if text == recipe else None)
    gone = _form(browser, "/runs/new", recipe=recipe, act="submit", **file | {"repo": "datasets/ada/none"})
    assert gone.status_code == 404


@pytest.mark.parametrize(
    "query", ["kind=nothing", "kind=train&of=x", "kind=train&of=models/../..", "of=models/ada/$name"]
)
def test_what_a_link_asks_wrongly_gets_an_example(browser: httpx.Client, query: str) -> None:
    page = browser.get(f"/runs/new?{query}")
    assert (page.status_code, "kind: " in page.text) == (200, True)
