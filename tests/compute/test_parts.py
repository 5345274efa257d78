"""Pure parts: drawings, what a terminal shows, what differs, how a log is cut."""

from __future__ import annotations

import math
import random

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.compute import charts
from headwater.compute.comparing import flatten
from headwater.compute.dispatching import _whole_letters
from headwater.compute.pages import plain
from headwater.compute.program.reporter import Reporter
from headwater.compute.program.run import Run
from tests.conftest import wait_for


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=50))
def test_a_drawing_holds_all_values_inside(values: list[float]) -> None:
    points = list(enumerate(values))
    curve = charts.draw("loss", [("", points)])
    for part in curve.lines[0].parts:
        for pair in part.split():
            x, y = map(float, pair.split(","))
            assert -2.1 <= x <= curve.width + 2.1
            assert -0.1 <= y <= curve.height + 0.1
    assert all(-0.1 <= tick.y <= curve.height + 0.1 for tick in curve.ticks)
    assert 2 <= len(curve.ticks) <= 8


def test_a_value_that_is_none_is_a_gap() -> None:
    curve = charts.draw("loss", [("", [(1, 1.0), (2, 2.0), (3, None), (4, 4.0), (5, 5.0)])])
    assert len(curve.lines[0].parts) == 2
    assert not charts.draw("loss", [("", [(1, None)])]).is_drawn
    assert not charts.draw("loss", [("", [])]).is_drawn


def test_thinning_loses_no_peak() -> None:
    rng = random.Random(7)
    points: list[tuple[int, float | None]] = [(step, rng.random()) for step in range(50_000)]
    points[31_337] = (31_337, 99.0)
    points[777] = (777, -99.0)
    found = charts.thin(points)
    assert len(found) <= charts.MOST_DRAWN + 2
    assert (31_337, 99.0) in found
    assert (777, -99.0) in found
    assert [step for step, _ in found] == sorted(step for step, _ in found)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\rbb\rc\nd", "c\nd"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("10%\r50%\r100%\r\ndone\n", "100%\ndone\n"),
        ("half\r", "half"),
    ],
)
def test_a_log_is_shown_as_a_terminal_would_in_the_end(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text(min_size=1, max_size=40), st.integers(0, 200))
def test_a_log_is_cut_between_letters(text: str, at: int) -> None:
    data = text.encode()
    part = data[: min(at, len(data))]
    cut = _whole_letters(part)
    assert len(part) - cut < 4
    part[:cut].decode()


@given(st.binary(max_size=64))
def test_what_is_no_text_is_cut_too(data: bytes) -> None:
    assert len(data) - 3 <= _whole_letters(data) <= len(data)


def test_names_of_nested_values() -> None:
    assert flatten({"a": {"b": [1, {"c": None}]}, "d": [], "e": {}}) == {"a.b.0": 1, "a.b.1.c": None, "d": [], "e": {}}


def test_what_is_no_json_ends_no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    reporter = Reporter("http://127.0.0.1:1", "x", lambda: None)
    answer = httpx.MockTransport(lambda request: sent.append(request.content) or httpx.Response(200, json={}))
    reporter.client = httpx.Client(transport=answer)
    monkeypatch.setattr("headwater.compute.program.reporter.EVERY_S", 0.01)
    reporter.say(result={"loss": math.nan})
    reporter.start()
    wait_for(lambda: not reporter._facts, timeout_s=10, what="the report that cannot be written")
    reporter.note("goes on")
    wait_for(lambda: any(b"goes on" in each for each in sent), timeout_s=10, what="a later report")
    reporter.close()
    run = object.__new__(Run)
    with pytest.raises(ValueError, match="JSON"):
        run.result({"loss": math.nan})
