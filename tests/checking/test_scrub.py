"""Reading in the background: at its rate, all of it, again from where it was; and what is told on /status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import httpx
import pytest

from headwater.hub.checking import Looking, Problem, objects, scrubbing, store
from headwater.hub.checking.settings import CheckSettings
from headwater.hub.checking.status import find_status
from headwater.kernel import SYSTEM, Actor, Settings, utcnow
from tests.checking.test_check import damage, flip, object_of, rows, sql
from tests.conftest import LiveApp, wait_for
from tests.growth import only_on_one_machine
from tests.review.browser import sign_in
from tests.storage import Storage


def at_rate(storage: Storage, mb_per_s: float) -> None:
    storage.site.settings._sections[CheckSettings] = CheckSettings(scrub_mb_per_s=mb_per_s)


def test_a_round_goes_through_everything_and_rests_for_a_day(varied: Storage) -> None:
    db, now = varied.site.db, utcnow()
    at_rate(varied, 1000)
    assert scrubbing.scrub(varied.site, now=now) == 4 + 4 + 2  # xorbs, files, repositories
    last = db.read(store.find_last, "scrub")
    assert last.is_good
    assert last.facts["n_objects"] == 10
    assert last.facts["bytes"] > 700_000
    assert rows(varied, "select kind from entry order by id desc limit 1") == [("site.scrubbed",)]
    assert scrubbing.scrub(varied.site, now=now + timedelta(hours=20)) == 0
    assert scrubbing.scrub(varied.site, now=now + timedelta(hours=25)) == 10


def test_no_faster_than_its_rate_and_from_where_it_was(varied: Storage) -> None:
    """At 5 kB a second a file of 300 kB is a minute's worth: the next turn waits until it is paid for."""
    now, looked, turns = utcnow(), 0, 0
    at_rate(varied, 0.005)
    while varied.site.db.read(store.find_last, "scrub") is None:
        before = rows(varied, "select n_bytes, next_at from scrub_place")
        looked += scrubbing.scrub(varied.site, now=now)
        turns += 1
        after = rows(varied, "select n_bytes, next_at from scrub_place")
        if after and before:
            assert after[0][0] >= before[0][0]
        assert scrubbing.scrub(varied.site, now=now) == 0  # not paid for yet
        now += timedelta(seconds=90)
        assert turns < 40
    assert looked == 10
    assert turns >= 4


def test_none_is_none(varied: Storage) -> None:
    at_rate(varied, 0)
    assert scrubbing.scrub(varied.site) == 0


def test_what_is_bad_is_noted_once_and_struck_off_when_it_is_mended(varied: Storage) -> None:
    db, now = varied.site.db, utcnow()
    at_rate(varied, 1000)
    keys = [object_of(varied, "sha256/"), object_of(varied, "xet/", ".idx"), object_of(varied, "git/", ".pack")]
    for key in keys:
        damage(varied, key, flip(99))
    scrubbing.scrub(varied.site, now=now)
    known = db.read(store.list_problems)
    assert set(keys) <= {one.key for one in known}
    assert db.read(store.find_last, "scrub").is_good is False
    status = db.read(find_status, Actor(None, ""), Settings())
    assert status.n_problems == len(known)
    assert status.problems is None  # a stranger hears how many
    assert db.read(find_status, SYSTEM, Settings()).problems is not None
    for key in keys:
        damage(varied, key, flip(99))
    scrubbing.scrub(varied.site, now=now + timedelta(days=2))
    left = {one.key for one in db.read(store.list_problems)}
    assert not left & set(keys)


@pytest.mark.parametrize(
    ("wrong", "right", "code"),
    [
        (
            "update blob set size_bytes = size_bytes + 1 where layout = 'xet'",
            "update blob set size_bytes = size_bytes - 1 where layout = 'xet'",
            "file.differs",
        ),
        (
            "update pack set n_objects = n_objects + 1 where is_inline",
            "update pack set n_objects = n_objects - 1 where is_inline",
            "pack.damaged",
        ),
    ],
)
def test_what_lies_in_rows_is_struck_off_too(varied: Storage, wrong: str, right: str, code: str) -> None:
    db, now = varied.site.db, utcnow()
    at_rate(varied, 1000)
    sql(varied, wrong)
    scrubbing.scrub(varied.site, now=now)
    assert code in {one.code for one in db.read(store.list_problems)}
    elsewhere = Problem("ref.differs", "what scrubbing looks for nowhere", "model ada/open refs/heads/main")
    db.write(store.put_problems, [elsewhere], now)
    sql(varied, right)
    scrubbing.scrub(varied.site, now=now + timedelta(days=2))
    assert [one.code for one in db.read(store.list_problems)] == ["ref.differs"]


def test_what_cannot_be_looked_at_stops_no_round(varied: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in a row of a xorb: it is told, and all that follow are read."""
    db, now, really = varied.site.db, utcnow(), objects.check_xorb
    at_rate(varied, 1000)
    first = rows(varied, "select min(hash) from xorb")[0][0]

    def stumble(looking: Looking, row: Any) -> Iterator[Problem]:
        if row.hash == first:
            raise TypeError("nobody can have written this")
        return really(looking, row)

    monkeypatch.setattr(objects, "check_xorb", stumble)
    assert scrubbing.scrub(varied.site, now=now) == 10
    assert [(one.code, one.where) for one in db.read(store.list_problems)] == [("check.stumbled", first)]
    monkeypatch.undo()
    at_rate(varied, 1000)
    assert scrubbing.scrub(varied.site, now=now + timedelta(days=2)) == 10
    assert db.read(store.list_problems) == []


@only_on_one_machine  # a drill of a site in PostgreSQL wants a database to try it in
def test_the_page_says_when_each_last_went_well(new_app, tmp_path) -> None:
    app: LiveApp = new_app(workers=1)
    page = httpx.get(f"{app.url}/status")
    assert page.status_code == 200
    assert page.text.count("never") >= 4
    app.cli("backup", str(tmp_path / "backups"))
    app.cli("check")
    app.cli("restore", f"--from={tmp_path / 'backups'}", "--drill")
    told = httpx.get(f"{app.url}/-/status").json()
    assert told["problems"] == 0
    assert all(told[kind]["last_good_at"] for kind in ("backup", "drill", "check"))
    assert told["scrub"]["last_good_at"] is None
    zh = httpx.get(f"{app.url}/status", headers={"Accept-Language": "zh-CN"}).text
    assert "恢复演练" in zh
    assert "Nothing is known to be wrong." in httpx.get(f"{app.url}/status").text
    with closing(sign_in(app, "ada")) as browser:
        assert browser.get("/status").status_code == 200


def test_a_site_may_keep_it_to_its_administrators(new_app) -> None:
    app: LiveApp = new_app(workers=1, env={"HEADWATER_CHECK_PUBLIC_STATUS": "no"})
    assert httpx.get(f"{app.url}/-/status").status_code in (401, 403)
    with closing(sign_in(app, "ada")) as browser:
        assert browser.get("/status").status_code == 200


def test_a_turn_in_the_server_is_a_job_of_its_own_lane(new_app) -> None:
    app: LiveApp = new_app(workers=1)
    app.hf("ada").create_repo("ada/kept")
    with app.opened() as site:
        scrubbing.ask_for_turn(site)
        last = wait_for(lambda: site.db.read(store.find_last, "scrub"), timeout_s=60, what="a round")
    assert last.is_good
    assert last.facts["n_objects"] == 1
