"""What administrators see of the store, and what they can do: run, confirm, try again."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import httpx

from headwater import queue
from headwater.accounts.service import lookup, sessions
from headwater.db import Tx
from headwater.hub.collector import clock
from headwater.hub.events import INDEX_REPOSITORY
from headwater.kernel import utcnow
from tests.conftest import LiveApp, clean_env, wait_for

PAGE = "/admin/storage"


def give_up_a_job(tx: Tx) -> None:
    """By failing it as often as is allowed."""
    queue.put(tx, INDEX_REPOSITORY, {"repo_id": 999_999}, unique="999999", now=utcnow())
    again = True
    while again:
        found = queue.claim(tx, utcnow() + timedelta(days=1), [INDEX_REPOSITORY])
        assert found is not None
        again = queue.fail(tx, found, "Traceback\nOSError: disk gone", utcnow())


def browser(app: LiveApp, name: str) -> httpx.Client:
    with app.opened() as site:
        account = site.db.read(lookup.get_account, name)
        secret = site.db.write(sessions.start_session, account, user_agent="tests", now=utcnow())
    return httpx.Client(base_url=app.url, cookies={"hw_session": secret, "hw_lang": "en"}, timeout=60)


def press(client: httpx.Client, act: str) -> str:
    word = re.search(r'name="csrf" value="([^"]+)"', client.get(PAGE).text)
    assert word
    answer = client.post(PAGE, data={"csrf": word[1], "act": act})
    assert answer.status_code == 303, answer.text[-800:]
    return html.unescape(client.get(PAGE).text)


def test_the_store_is_shown_and_work_that_stopped_goes_on(new_app: Callable[..., LiveApp]) -> None:
    app = new_app()
    hf = app.hf("ada")
    hf.create_repo("ada/large")
    hf.upload_file(path_or_fileobj=bytes(3_000_000), path_in_repo="w.bin", repo_id="ada/large")
    with browser(app, "bob") as bob, httpx.Client(base_url=app.url) as stranger:
        assert bob.get(PAGE).status_code == 403
        assert stranger.get(PAGE).headers["location"].startswith("/login")
    with browser(app, "ada") as ada:
        assert PAGE in ada.get("/admin/people").text
        wait_for(lambda: ">ada/large</a>" in ada.get(PAGE).text, what="the index")
        shown = ada.get(PAGE).text
        assert re.search(r'ada/large</a>.*?<td class="r num">3 MB', shown, re.DOTALL)
        assert "Large files, by chunks" in shown
        with app.opened() as site:
            before = site.db.read(clock.find_last_run)
            site.db.write(give_up_a_job)
        assert "OSError: disk gone" in ada.get(PAGE).text
        status = app.cli("status")
        assert status["failed_jobs"] == [{"kind": INDEX_REPOSITORY, "error": "Traceback\nOSError: disk gone"}]
        checks = {check["check"]: check for check in app.cli("doctor")["checks"]}
        assert (checks["jobs"]["verdict"], checks["collector"]["verdict"]) == ("warning", "good")
        assert "One job is tried again." in press(ada, "retry")
        wait_for(lambda: "0 given up" in ada.get(PAGE).text, what="the job's end")
        assert app.cli("status")["failed_jobs"] == []
        assert "as soon as a worker is free" in press(ada, "run")

        def ran_again() -> bool:
            with app.opened() as site:
                last = site.db.read(clock.find_last_run)
            return last is not None and (before is None or last > before)

        wait_for(ran_again, what="the run")
        with app.opened() as site:
            assert site.db.write(clock.advance_clock, utcnow() + timedelta(days=9)) is not None
        shown = ada.get(PAGE).text
        assert "Nothing is collected until you have seen that the clock is right" in shown
        assert "Run now" not in shown
        assert "headwater collector confirm" in str(app.cli("status")["collector_stopped"])
        said = subprocess.run(
            [sys.executable, "-m", "headwater", "doctor", f"--data={app.data}"],
            capture_output=True,
            text=True,
            check=False,
            env=clean_env({"HEADWATER_PORT": "0"}),
        )
        assert "warn collector: The clock said" in said.stdout
        assert "The collector goes on." in press(ada, "confirm")
        assert app.cli("status")["collector_stopped"] is None
