"""The slope of memory over time, as ``python -m bench.growth steady`` tells it."""

from __future__ import annotations

import math
import random

import pytest
from bench.growth_steady import slope_of, student_t

MINUTES = [n / 12 for n in range(240)]


@pytest.mark.parametrize(("freedom", "expected"), [(1, 12.706), (4, 2.776), (10, 2.228), (100, 1.984)])
def test_quantiles_of_student(freedom: float, expected: float) -> None:
    assert student_t(freedom) == pytest.approx(expected, abs=0.002)


def test_a_leak_is_found_in_noise() -> None:
    rng = random.Random(1)
    slope = slope_of(MINUTES, [150 + 2 * x + rng.gauss(0, 3) for x in MINUTES])
    assert 1.5 < slope.low < 2 < slope.high < 2.5


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
def test_the_interval_holds_for_samples_that_resemble_each_other(correlation: float) -> None:
    """About 95 in 100 intervals cover the truth; least squares alone would cover far fewer."""
    covered = 0
    for seed in range(200):
        rng, value, mib = random.Random(seed), 0.0, []
        for _ in MINUTES:
            value = correlation * value + rng.gauss(0, 1)
            mib.append(200 + value)
        slope = slope_of(MINUTES, mib)
        covered += slope.low <= 0 <= slope.high
    assert covered >= 180


def test_too_few_say_nothing() -> None:
    slope = slope_of(MINUTES[:24], [math.sin(n / 8) for n in range(24)])
    assert math.isinf(slope.half)
