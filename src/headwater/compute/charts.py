"""Curves as small drawings: points in, lines of an SVG out. No I/O, no framework.

What is drawn has no more points than a screen shows; words and numbers stand beside the drawing, as text of the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600, 160
MOST_DRAWN = 300  # points of one line

Points = Sequence[tuple[int, float | None]]


@dataclass(frozen=True)
class Tick:
    """``y`` in the drawing; ``label`` beside it."""

    y: float
    label: str


@dataclass(frozen=True)
class Line:
    """One series: ``parts`` are polylines, apart where a value was no number; ``last`` is its last value as text."""

    label: str
    parts: tuple[str, ...]
    last: str
    step: int | None


@dataclass(frozen=True)
class Curve:
    """One metric of one or more runs. ``dots``: a series of a single point cannot be a line."""

    name: str
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    first_step: int
    last_step: int
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def is_drawn(self) -> bool:
        return any(line.parts for line in self.lines)


def draw(name: str, series: Sequence[tuple[str, Points]]) -> Curve:
    """All series on the same scale."""
    finite = [value for _, points in series for _, value in points if value is not None]
    steps = [step for _, points in series for step, _ in points]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    first, last = (min(steps), max(steps)) if steps else (0, 0)
    ticks = nice_ticks(low, high)
    bottom, top = min(low, ticks[0]), max(high, ticks[-1])

    def x(step: int) -> float:
        return WIDTH / 2 if last == first else (step - first) / (last - first) * WIDTH

    def y(value: float) -> float:
        return HEIGHT - (value - bottom) / (top - bottom) * HEIGHT

    return Curve(
        name,
        tuple(_line(label, points, x, y) for label, points in series),
        tuple(Tick(round(y(tick), 1), short(tick)) for tick in ticks),
        first,
        last,
    )


def _line(label: str, points: Points, x: Callable[[int], float], y: Callable[[float], float]) -> Line:
    parts: list[str] = []
    run: list[str] = []
    for step, value in thin(points):
        if value is None:
            _close(parts, run)
            continue
        run.append(f"{x(step):.1f},{y(value):.1f}")
    _close(parts, run)
    last = next(((step, value) for step, value in reversed(points) if value is not None), None)
    return Line(label, tuple(parts), "" if last is None else short(last[1]), None if last is None else last[0])


def _close(parts: list[str], run: list[str]) -> None:
    if len(run) == 1:  # a single point is a short line
        at, height = run[0].split(",")
        run[0] = f"{float(at) - 2:.1f},{height}"
        run.append(f"{float(at) + 2:.1f},{height}")
    if run:
        parts.append(" ".join(run))
    run.clear()


def thin(points: Points, most: int = MOST_DRAWN) -> Points:
    """Of each stretch its least and its greatest value, in order: no peak is lost."""
    if len(points) <= most:
        return points
    size = len(points) / (most // 2)
    found: list[tuple[int, float | None]] = []
    for number in range(most // 2):
        part = points[int(number * size) : int((number + 1) * size)]
        known = [point for point in part if point[1] is not None]
        if len(known) < len(part):
            found += [point for point in part if point[1] is None][:1]
        if known:
            ends = {min(known, key=lambda p: p[1] or 0.0), max(known, key=lambda p: p[1] or 0.0)}
            found += sorted(ends)
    return sorted(found, key=lambda point: point[0])


def nice_ticks(low: float, high: float) -> list[float]:
    """About four round numbers from at most ``low`` to at least ``high``."""
    if high == low:
        span = abs(low) or 1.0
        low, high = low - span / 2, high + span / 2
    raw = (high - low) / 3
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first = math.floor(low / step)
    last = math.ceil(high / step)
    return [number * step for number in range(first, last + 1)]


def short(value: float) -> str:
    """Four figures, as people write numbers."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-4):
        return f"{value:.3g}"
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
