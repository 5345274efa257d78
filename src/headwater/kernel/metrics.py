"""Counters, gauges and histograms of the whole process tree, in memory that the processes share.

    ANSWERED = metrics.counter("headwater_things_total", "Things done.", "outcome")
    GOOD = ANSWERED.of("good")
    GOOD.add()

Each package declares what it counts beside the code that counts it; ``web.metrics`` writes the text that Prometheus reads.
The one idea: every series has a fixed place, known before the first fork. The parent then maps one region with a *slot* for
each process, a child counts in its own slot alone, and whoever is asked adds the slots up. A slot is never cleared of
counts, so totals go on when a process is replaced. Labels must therefore be known beforehand, which is as it should be:
what a stranger sends never makes a series. What is declared too late is counted as dropped and nothing else.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

# From a millisecond, which a page out of memory takes, to a minute.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)

_PID, _DROPPED, _NAME, _HEADER = 0, 1, 2, 4  # cells at the head of each slot; the name takes two
_NAME_BYTES = 16

_lock = threading.Lock()
_metrics: dict[str, Metric] = {}
_own: Any = array("d", [0.0] * _HEADER)  # where this process counts
_slots: list[Any] = []  # all of them, once shared


@dataclass
class Family:
    """One metric's name, kind (``counter``, ``gauge``), meaning and samples, for figures that are read when asked for."""

    name: str
    kind: str
    help: str
    samples: list[tuple[dict[str, str], float]] = field(default_factory=list)


class Cell:
    """One series of a counter or gauge."""

    __slots__ = ("at",)

    def __init__(self, at: int) -> None:
        self.at = at

    def add(self, amount: float = 1.0) -> None:
        with _lock:
            _own[self.at] += amount

    def add_alone(self, amount: float = 1.0) -> None:
        """As ``add``, for series that one thread of each process writes: a fifth of the cost."""
        _own[self.at] += amount

    def set(self, value: float) -> None:
        """For gauges: this process's share; the site's value is the sum over the processes."""
        with _lock:
            _own[self.at] = value

    def total(self) -> float:
        """Over all processes."""
        return float(sum(slot[self.at] for slot in _slots)) if _slots else float(_own[self.at])


class Buckets:
    """One series of a histogram: a cell per bucket, the last for what lies above all bounds, and one for the sum."""

    __slots__ = ("at", "bounds", "sum_at")

    def __init__(self, at: int, bounds: tuple[float, ...]) -> None:
        self.at = at
        self.bounds = bounds
        self.sum_at = at + len(bounds) + 1

    def observe(self, value: float) -> None:
        at = self.at + bisect_left(self.bounds, value)
        with _lock:
            _own[at] += 1
            _own[self.sum_at] += value

    def observe_alone(self, value: float) -> None:
        """As ``observe``, for series that one thread of each process writes."""
        _own[self.at + bisect_left(self.bounds, value)] += 1
        _own[self.sum_at] += value

    @contextlib.contextmanager
    def timing(self) -> Iterator[None]:
        """Observe how long the block took, however it ended."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.observe(time.perf_counter() - started)


class _DroppedCell(Cell):
    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(_DROPPED)

    def add(self, amount: float = 1.0) -> None:
        with _lock:
            _own[_DROPPED] += 1

    def set(self, value: float) -> None:
        self.add()

    def add_alone(self, amount: float = 1.0) -> None:
        self.add()


class _DroppedBuckets(Buckets):
    __slots__ = ()

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__(0, bounds)

    def observe(self, value: float) -> None:
        with _lock:
            _own[_DROPPED] += 1

    def observe_alone(self, value: float) -> None:
        self.observe(value)


class Metric:
    """All series of one name. Make it with ``counter``, ``gauge`` or ``histogram``."""

    def __init__(
        self, name: str, kind: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...] = ()
    ) -> None:
        self.name = name
        self.kind = kind
        self.help = text
        self.labels = labels
        self.bounds = bounds
        self.series: dict[tuple[str, ...], Any] = {}

    def of(self, *values: str) -> Any:
        """The series with these label values; the same one each time. Declare each before the first fork."""
        found = self.series.get(values)
        if found is not None:
            return found
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, not {values}")
        with _lock:
            if values in self.series:
                return self.series[values]
            if _slots:  # the places are given out
                return _DroppedBuckets(self.bounds) if self.kind == "histogram" else _DroppedCell()
            at = len(_own)
            if self.kind == "histogram":
                _own.extend([0.0] * (len(self.bounds) + 2))
                self.series[values] = made = Buckets(at, self.bounds)
                return made
            _own.append(0.0)
            self.series[values] = cell = Cell(at)
            return cell


def _declare(name: str, kind: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...] = ()) -> Metric:
    found = _metrics.get(name)
    if found is None:
        found = _metrics[name] = Metric(name, kind, text, labels, bounds)
    elif (found.kind, found.labels) != (kind, labels):
        raise ValueError(f"{name} is declared twice, and differently")
    if not labels:
        found.of()  # its one series has its place from the start
    return found


def counter(name: str, text: str, *labels: str) -> Metric:
    """Something that only grows; ``name`` ends in ``_total``."""
    return _declare(name, "counter", text, labels)


def gauge(name: str, text: str, *labels: str) -> Metric:
    """Something that goes up and down; each process has its share, which ends with it."""
    return _declare(name, "gauge", text, labels)


def histogram(name: str, text: str, *labels: str, bounds: Sequence[float] = SECONDS) -> Metric:
    """How values spread; by default seconds."""
    return _declare(name, "histogram", text, labels, tuple(bounds))


# ---- the process tree


def share(n_slots: int) -> None:
    """Give every series its place in memory that children will share. Call it in the parent, before the first fork.

    Slot 0 is the parent's own; what was counted so far goes there.
    """
    global _own  # noqa: PLW0603 -- one region a process tree
    if _slots:
        return
    step = -(-len(_own) * 8 // mmap.PAGESIZE) * mmap.PAGESIZE // 8
    view = memoryview(mmap.mmap(-1, step * 8 * n_slots)).cast("d")
    _slots.extend(view[number * step : (number + 1) * step] for number in range(n_slots))
    _slots[0][: len(_own)] = _own
    _own = _slots[0]
    _sign(_slots[0], "parent")


def take_slot(number: int, name: str) -> None:
    """Count in this slot from now on: a child's first act. No other living process may have it."""
    global _own  # noqa: PLW0603
    _own = _slots[number]
    free_slot(number)
    _sign(_own, name)


def free_slot(number: int) -> None:
    """Its process has ended: what it had open is open no more."""
    slot = _slots[number]
    slot[_PID] = 0.0
    for metric in _metrics.values():
        if metric.kind == "gauge":
            for cell in metric.series.values():
                slot[cell.at] = 0.0


def _sign(slot: Any, name: str) -> None:
    slot[_NAME:_HEADER].cast("B")[:] = name.encode()[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0")
    slot[_PID] = float(os.getpid())


def processes() -> list[tuple[str, int]]:
    """Name and id of every process that counts now."""
    return [
        (bytes(slot[_NAME:_HEADER].cast("B")).rstrip(b"\0").decode(), int(slot[_PID])) for slot in _slots if slot[_PID]
    ]


def dropped() -> float:
    """Observations of series that were declared too late: a mistake in the program."""
    return float(sum(slot[_DROPPED] for slot in _slots)) if _slots else 0.0


def collect() -> Iterator[tuple[Metric, list[tuple[tuple[str, ...], list[float]]]]]:
    """Every metric with its series' totals over all processes.

    A counter or gauge has one number. A histogram has one for each bucket (not cumulative) and the sum; series in which
    nothing was seen are left out.
    """
    slots = [slot for slot in _slots if any(slot[_PID:_HEADER])] or [_own]
    for metric in list(_metrics.values()):
        found: list[tuple[tuple[str, ...], list[float]]] = []
        for values, series in list(metric.series.items()):
            if metric.kind != "histogram":
                found.append((values, [sum(slot[series.at] for slot in slots)]))
                continue
            end = series.sum_at + 1
            used = [part for slot in slots if any(part := slot[series.at : end].tolist())]
            if used:
                found.append((values, [sum(column) for column in zip(*used, strict=True)]))
        yield metric, found
