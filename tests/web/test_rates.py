"""How often somebody may ask: by token, by account and by address, over all workers."""

from __future__ import annotations

import time
from concurrent.futures import Future
from pathlib import Path

import httpx
import pytest
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import http_backoff, parse_ratelimit_headers
from starlette.requests import Request
from starlette.responses import Response

from headwater.kernel import ANONYMOUS, AccountId, Actor, TokenLimits
from headwater.web.rates import FILES, MOST_KEYS, WINDOW_S, Rates, TooManyRequests, what_of
from headwater.web.routing import Access, Route
from headwater.web.settings import RateSettings
from tests import growth
from tests.conftest import LiveApp, wait_for


async def nothing(_request: Request) -> Response:
    return Response()


ROUTE = Route("GET", "/api/x", nothing, Access.READ, "api")
START = 1_800_000_000.0 - 1_800_000_000 % WINDOW_S


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def scope(address: str = "192.0.2.1") -> dict[str, object]:
    return {"state": {}, "client": (address, 1)}


def person(number: int, token: int | None = None) -> Actor:
    limits = None if token is None else TokenLimits(token, "t", "write")
    return Actor(AccountId(number), f"p{number}", limits=limits)


def asks(rates: Rates, actor: Actor | None, n: int, address: str = "192.0.2.1") -> int:
    """How many of ``n`` requests get through."""
    done = 0
    for _ in range(n):
        try:
            rates.count(scope(address), ROUTE, actor)
        except TooManyRequests:
            continue
        done += 1
    return done


@pytest.fixture
def store_db(tmp_path: Path):
    database = growth.new_database(tmp_path)
    yield database
    database.close()


@pytest.fixture
def make(store_db):
    """Makes the part as two workers of one site have it, on one database and one clock."""
    clock = Clock()

    def make_one(**limits: int) -> Rates:
        return Rates(store_db, RateSettings(**limits), [ROUTE], clock)

    make_one.clock = clock  # type: ignore[attr-defined]
    return make_one


def test_a_token_reaches_its_limit_before_its_account_does(make):
    rates = make(api=100)
    assert asks(rates, person(1, token=7), 150) == 100
    assert asks(rates, person(1), 150) == 100  # what the account has left: twice as many in all
    assert asks(rates, person(1, token=8), 10) == 0
    assert asks(rates, person(2, token=9), 10) == 10


def test_addresses_count_by_network_and_this_machine_not_at_all(make):
    rates = make(api=10)
    assert asks(rates, ANONYMOUS, 20, "198.51.100.7") == 10
    assert asks(rates, None, 5, "198.51.100.7") == 0  # a wrong credential is nobody's
    assert asks(rates, ANONYMOUS, 6, "2001:db8::1") + asks(rates, ANONYMOUS, 6, "2001:db8::2") == 10
    assert asks(rates, ANONYMOUS, 20, "127.0.0.1") == 20
    assert asks(rates, ANONYMOUS, 20, "::1") == 20
    assert asks(rates, person(1), 15, "198.51.100.7") == 15  # whoever is known is not taken for their neighbours


def test_a_window_ends(make):
    rates = make(api=10)
    assert asks(rates, person(1), 30) == 20
    make.clock.now += WINDOW_S - 1
    with pytest.raises(TooManyRequests) as refused:
        rates.count(scope(), ROUTE, person(1))
    assert refused.value.headers["Retry-After"] == "2"
    make.clock.now += 1
    assert asks(rates, person(1), 30) == 20
    make.clock.now -= WINDOW_S  # a clock that is set back opens no second allowance of the same window for ever
    assert asks(rates, person(1), 30) <= 20


def test_workers_learn_of_each_other_and_write_seldom(make, store_db):
    writes: list[Future[int]] = []
    submit = store_db.submit

    def counted(act, *args, **kwargs):
        found = submit(act, *args, **kwargs)
        writes.append(found)
        return found

    store_db.submit = counted
    workers = [make(api=1000) for _ in range(3)]
    done = 0
    for _ in range(40):
        for worker in workers:
            done += asks(worker, person(1), 25)
        for writing in writes:
            writing.result(20)
    assert 2000 <= done <= 2000 * (1 + len(workers) / 50)
    assert len(writes) <= 55  # and not one for each of two thousand requests


def test_who_asks_little_causes_no_write(make, store_db):
    def never(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a write")

    store_db.submit = never
    rates = make()
    for number in range(1, 50):
        assert asks(rates, person(number, token=number), 100) == 100


def test_what_could_not_be_told_is_told_another_time(make, store_db):
    submit, told = store_db.submit, []

    def fails(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("cannot schedule new futures after shutdown")

    def is_cancelled(*_args: object, **_kwargs: object) -> Future[int]:
        writing: Future[int] = Future()
        writing.cancel()
        writing.set_running_or_notify_cancel()
        return writing

    def counted(act, *args, **kwargs):
        told.append(args[2])
        return submit(act, *args, **kwargs)

    rates = make(api=100)
    store_db.submit = is_cancelled
    assert asks(rates, person(1, token=1), 2) == 2
    store_db.submit = fails
    with pytest.raises(RuntimeError):
        asks(rates, person(1, token=1), 1)
    store_db.submit = counted
    assert asks(rates, person(1, token=1), 1) == 1
    assert told[0] == 4  # with those three that were not told


def test_memory_is_bounded_and_one_look_a_request(make):
    rates = make(api=1_000_000)
    for number in range(MOST_KEYS + 10):
        rates.count(scope(), ROUTE, person(number))
    assert len(rates._counts) <= MOST_KEYS
    rates = make(api=10)
    same = scope()
    for _ in range(100):
        rates.count(same, ROUTE, person(1))  # at once, and again by the endpoint: one request


def test_what_counts_as_what():
    from headwater import server

    by_what: dict[str | None, set[str]] = {}
    for route in server.routes():
        by_what.setdefault(what_of(route), set()).add(route.pattern)
    assert {"/healthz", "/readyz", "/metrics", "/-/static/{name}"} <= by_what[None]
    assert "/{ns}/{name}/resolve/{rev}/{path*}" in by_what[FILES]
    assert "/xet/range/{link}" in by_what[FILES]
    assert "/api/{type:models|datasets|spaces}/{ns}/{name}" in by_what["api"]
    assert "/login" in by_what["pages"]


def test_a_site_refuses_in_the_words_of_the_client_over_all_workers(new_app):
    app: LiveApp = new_app(
        workers=2,
        env={"HEADWATER_RATE_API": "20", "HEADWATER_RATE_PAGES": "10", "HEADWATER_WEB_TRUSTED_PROXIES": "127.0.0.1"},
    )
    if time.time() % WINDOW_S > WINDOW_S - 20:
        wait_for(lambda: time.time() % WINDOW_S < 20, timeout_s=30, what="a window that does not end meanwhile")
    headers = {"Authorization": f"Bearer {app.token('eve')}"}

    def ask(**more: str) -> httpx.Response:
        time.sleep(0.03)  # workers tell each other what they have let through
        # A connection each: so that both workers are asked.
        return httpx.get(f"{app.url}/api/whoami-v2", headers=headers | more)

    statuses = [ask().status_code for _ in range(60)]
    assert statuses[:20] == [200] * 20
    assert 20 <= statuses.count(200) <= 30  # two that told each other nothing would let 40 through
    assert set(statuses) == {200, 429}
    refused = wait_for(lambda: next((each for each in (ask() for _ in range(4)) if each.status_code == 429), None))
    told = parse_ratelimit_headers(refused.headers)
    assert told is not None
    assert (told.resource_type, told.remaining, told.limit, told.window_seconds) == ("api", 0, 20, WINDOW_S)
    assert 0 < told.reset_in_seconds <= WINDOW_S
    assert refused.headers["Retry-After"] == str(told.reset_in_seconds)
    # Others are not concerned, nor are downloads.
    assert app.hf("bob").whoami()["name"] == "bob"
    stranger = {"X-Forwarded-For": "198.51.100.1"}
    pages = [httpx.get(f"{app.url}/models", headers=stranger).status_code for _ in range(30)]
    assert pages[:10] == [200] * 10
    assert pages[-1] == 429
    page = httpx.get(f"{app.url}/models", headers=stranger | {"Accept": "text/html", "Accept-Language": "zh-CN"})
    assert page.status_code == 429
    assert "请求过于频繁" in page.text
    assert httpx.get(f"{app.url}/healthz", headers=stranger).status_code == 200
    figures = httpx.get(f"{app.url}/metrics")
    assert figures.status_code == 404  # a proxy is named, so only a token opens them


def test_the_client_waits_as_long_as_it_is_told(new_app, monkeypatch):
    app: LiveApp = new_app(workers=1, env={"HEADWATER_RATE_API": "1"})
    slept: list[float] = []
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", slept.append)
    headers = {"Authorization": f"Bearer {app.token('eve')}"}
    for _ in range(3):
        try:
            http_backoff("GET", f"{app.url}/api/whoami-v2", headers=headers, max_retries=1)
        except HfHubHTTPError as refused:
            assert refused.response.status_code == 429  # noqa: PT017 -- one of the three is
    assert slept
    assert all(1 < each <= WINDOW_S + 2 for each in slept)
