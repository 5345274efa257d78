"""Several runs side by side: what differs in what they were asked, and what came out. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.compute.service.reading import Compared

_LEFT_OUT = ("digest", "name")


@dataclass(frozen=True)
class Row:
    """One line: a name, and what each run has there. ``differs``: not all the same."""

    name: str
    values: tuple[Any, ...]

    @property
    def differs(self) -> bool:
        return any(value != self.values[0] for value in self.values[1:])


@dataclass(frozen=True)
class Comparison:
    """``metrics`` are the last finite values; ``curves`` the points by metric, one list a run."""

    ids: tuple[int, ...]
    recipe: tuple[Row, ...]
    results: tuple[Row, ...]
    metrics: tuple[Row, ...]
    figures: tuple[Row, ...]
    curves: Mapping[str, Sequence[Sequence[tuple[int, float | None]]]]

    def as_json(self) -> dict[str, Any]:
        def rows(of: Sequence[Row]) -> list[dict[str, Any]]:
            return [{"name": row.name, "values": list(row.values), "differs": row.differs} for row in of]

        return {
            "runs": list(self.ids),
            "recipe": rows([row for row in self.recipe if row.differs]),
            "results": rows(self.results),
            "metrics": rows(self.metrics),
            "figures": rows(self.figures),
        }


def comparison(found: Sequence[Compared]) -> Comparison:
    """What a page and the API show of these runs."""
    recipes = [flatten({k: v for k, v in each.run.resolved.items() if k not in _LEFT_OUT}) for each in found]
    results = [flatten(each.run.result or {}) for each in found]
    last = [{name: _last(points) for name, points in each.points.items()} for each in found]
    names = sorted({name for each in found for name in each.points})
    return Comparison(
        ids=tuple(each.run.id for each in found),
        recipe=_rows(recipes),
        results=_rows(results),
        metrics=_rows(last),
        figures=_rows([_figures(each) for each in found]),
        curves={name: [each.points.get(name, []) for each in found] for name in names},
    )


def _figures(each: Compared) -> dict[str, Any]:
    run = each.run
    found: dict[str, Any] = {"state": run.state.value}
    if run.started_at is not None and run.ended_at is not None:
        found["seconds"] = round((run.ended_at - run.started_at).total_seconds(), 1)
    usage, energy = run.usage or {}, run.energy or {}
    if "cpu_s" in usage:
        found["cpu_s"] = usage["cpu_s"]
    if "peak_bytes" in usage:
        found["peak_mb"] = round(usage["peak_bytes"] / 1e6, 1)
    if "kwh" in energy:
        found["wh"], found["g_co2e"] = energy["kwh"] * 1000, energy.get("g_co2e")
    return found


def _rows(tables: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    names = sorted({name for table in tables for name in table})
    return tuple(Row(name, tuple(table.get(name) for table in tables)) for name in names)


def _last(points: Sequence[tuple[int, float | None]]) -> float | None:
    return next((value for _, value in reversed(points) if value is not None), None)


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one level, by dotted names."""
    if isinstance(value, Mapping) and value:
        parts = [(f"{prefix}.{name}" if prefix else str(name), each) for name, each in value.items()]
    elif isinstance(value, list) and value:
        parts = [(f"{prefix}.{number}", each) for number, each in enumerate(value)]
    else:
        return {prefix: value} if prefix else {}
    found: dict[str, Any] = {}
    for name, each in parts:
        found |= flatten(each, name)
    return found
