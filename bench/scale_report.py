"""The section "Scale" of ``docs/performance.md``, from what was measured."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "docs/performance.md"
BEGIN, END = "<!-- scale: written by python -m bench.scale run -->", "<!-- end of scale -->"


def write(found: dict[str, list[dict[str, Any]]]) -> None:
    """Put the tables between their marks, and leave the rest of the page as it is."""
    page = TARGET.read_text()
    if BEGIN not in page:
        raise SystemExit(f"{TARGET} has no place for these tables: {BEGIN} … {END}")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    TARGET.write_text(f"{head}{BEGIN}\n\n{_text(found)}\n{END}{tail}")


def _text(found: dict[str, list[dict[str, Any]]]) -> str:
    facts = (
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}; load average at the end {os.getloadavg()[0]:.1f}.\n"
    )
    return facts + "".join(_of_database(name, runs) for name, runs in found.items())


def _of_database(name: str, runs: list[dict[str, Any]]) -> str:
    sizes = [run["n"] for run in runs]
    own = "the application's" if name == "SQLite" else "the application's and the database's"
    head = f"\n**{name}, inside one process**: milliseconds of processor time ({own}), p50 / p99; statements; growth of p50 from the first size to the last.\n\n"
    parts = [head, _table(runs, "inside", sizes, "cpu_p50_ms", "cpu_p99_ms")]
    served = [run for run in runs if run["outside"]]
    if served:
        text = "milliseconds of processor time of the whole server, p50 / p99, and wall p50 / p99 in brackets"
        parts.append(f"\n**{name}, over HTTP, one client**: {text}.\n\n")
        parts.append(_table(served, "outside", [run["n"] for run in served], "cpu_p50_ms", "cpu_p99_ms", wall=True))
    return "".join(parts)


def _table(runs: list[dict[str, Any]], side: str, sizes: list[int], p50: str, p99: str, *, wall: bool = False) -> str:
    lines = [
        f"| what | {' | '.join(f'{n:,}' for n in sizes)} | statements | growth |",
        f"|---|{'---|' * len(sizes)}---|---|",
    ]
    for rows in zip(*(run[side] for run in runs), strict=True):
        cells = [f"{row[p50]:.0f} / {row[p99]:.0f}" for row in rows]
        if wall:
            cells = [
                f"{cell} ({row['p50_ms']:.0f} / {row['p99_ms']:.0f})" for cell, row in zip(cells, rows, strict=True)
            ]
        growth = f"{rows[-1][p50] / rows[0][p50]:.1f}×" if len(rows) > 1 and rows[0][p50] else "–"
        statements = str(max(row["most_statements"] for row in rows)) if side == "inside" else "–"
        lines.append(f"| {rows[0]['name']} | {' | '.join(cells)} | {statements} | {growth} |")
    return "\n".join(lines) + "\n"
