"""Whether memory grows under a mixed load that does not: the slope of the process tree's PSS, with its interval."""

from __future__ import annotations

import itertools
import math
import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench import growth_load as gl
from bench import growth_sites as sites
from bench import harness as h

CLIENTS, PAUSE_S, EVERY_S = 16, 0.1, 5.0


@dataclass(frozen=True)
class Slope:
    """MiB a minute, and the half of its 95 % interval; ``independent`` is what the samples are worth."""

    per_minute: float
    half: float
    independent: float
    correlation: float

    @property
    def low(self) -> float:
        return self.per_minute - self.half

    @property
    def high(self) -> float:
        return self.per_minute + self.half


def slope_of(minutes: Sequence[float], mib: Sequence[float]) -> Slope:
    """Least squares, the interval widened for samples that resemble the one before.

    With ``r`` the correlation of neighbouring residuals, ``n`` samples count as ``n (1 - r) / (1 + r)`` independent ones
    (Santer et al. 2000), both in the variance of residuals and in the degrees of freedom of Student's t. Two or fewer left
    say nothing: the interval is endless.
    """
    n = len(mib)
    fit = statistics.linear_regression(minutes, mib)
    rest = [y - fit.intercept - fit.slope * x for x, y in zip(minutes, mib, strict=True)]
    squares = math.fsum(each * each for each in rest)
    if squares == 0:
        return Slope(fit.slope, 0.0, n, 0.0)
    r = max(0.0, math.fsum(a * b for a, b in itertools.pairwise(rest)) / squares)
    independent = n * (1 - r) / (1 + r)
    if independent <= 2.5:
        return Slope(fit.slope, math.inf, independent, r)
    middle = statistics.fmean(minutes)
    spread = math.fsum((x - middle) ** 2 for x in minutes)
    deviation = math.sqrt(squares / (independent - 2) / spread)
    return Slope(fit.slope, student_t(independent - 2) * deviation, independent, r)


def student_t(freedom: float) -> float:
    """The 97.5 % quantile of Student's t, by bisection of its integral."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)

    def above(t: float) -> float:
        # The tail beyond t, with x = t / u: a finite interval and a smooth function on it.
        steps = 400
        total = 0.0
        for n in range(steps):
            u = (n + 0.5) / steps
            total += (1 + (t / u) ** 2 / freedom) ** (-(freedom + 1) / 2) * t / u**2
        return scale * total / steps

    low, high = 1.9, 200.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if above(middle) > 0.025 else (low, middle)
    return low


def sampled(site: h.Headwater, stop: threading.Event) -> tuple[list[float], list[float]]:
    """Minutes and MiB, every five seconds until ``stop`` is set."""
    minutes: list[float] = []
    mib: list[float] = []
    began, n = time.monotonic(), 0
    while not stop.wait(max(0.0, began + n * EVERY_S - time.monotonic())):
        minutes.append((time.monotonic() - began) / 60)
        mib.append(h.pss_mib(site.pid))
        n += 1
    return minutes, mib


def run(report: h.Report, *, warm_up_s: float, seconds: float, places: Sequence[str]) -> None:
    """One row for each place."""
    for name in places:
        with sites.place(name) as place, h.serving(place.folder) as site:
            h.sign_up(site, place.folder)
            gl.prepare(site, place.folder)
            first = gl.load(site, gl.STEADY, clients=CLIENTS, seconds=warm_up_s, pause_s=PAUSE_S)
            stop, before = threading.Event(), h.cpu_s(site.pid)
            with ThreadPoolExecutor(1) as beside:
                samples = beside.submit(sampled, site, stop)
                done = gl.load(site, gl.STEADY, clients=CLIENTS, seconds=seconds, pause_s=PAUSE_S, writes=first.writes)
                spent = h.cpu_s(site.pid) - before
                stop.set()
            missing, failed = gl.lost(site, done.writes), sites.failures(place.folder)
            _say(report, name, samples.result(), done, spent, missing, failed + first.errors.total(), warm_up_s)
            print(*(first.errors + done.errors).most_common(5), *missing[:5], sep="\n", flush=True)


def _say(
    report: h.Report,
    name: str,
    found: tuple[list[float], list[float]],
    done: gl.Done,
    spent: float,
    missing: list[str],
    failed: int,
    warm_up_s: float,
) -> None:
    slope, mib = slope_of(*found), found[1]
    errors = done.errors.total() + failed
    report.add(
        f"memory under mixed load, {done.seconds / 60:.1f} minutes after {warm_up_s / 60:.1f} of warm-up, {name}",
        f"slope {slope.per_minute:+.2f} MiB/min, 95 % interval {slope.low:+.2f} to {slope.high:+.2f} ({len(mib)} samples worth "
        f"{slope.independent:.0f}, correlation {slope.correlation:.2f}); PSS {min(mib):.0f} to {max(mib):.0f} MiB; "
        f"{done.per_second:.0f} requests/s, CPU {spent / done.seconds:.2f} cores; errors {errors}, "
        f"lost writes {len(missing)} of {len(done.writes)}",
        "interval covers 0 and stays below 1 MiB/min; no errors",
        met=slope.low <= 0 <= slope.high < 1 and not errors and not missing and bool(done.writes),
    )
