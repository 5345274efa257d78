"""What a site that grows must bear: more workers, a storm of clones, hours of mixed load. ``make bench-growth``.

python -m bench.growth [scaling] [storm] [steady] [--quick]

A full run of a part writes its rows into ``docs/performance.md``; ``--quick`` is a rough look that writes nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import growth_scaling, growth_steady, growth_storm
from bench import harness as h
from bench.growth_sites import GROWN, ONE_MACHINE

TARGET = Path(__file__).parent.parent / "docs/performance.md"
PARTS = ("scaling", "storm", "steady")


def run(part: str, report: h.Report, *, quick: bool) -> None:
    both = (ONE_MACHINE, GROWN)
    if part == "scaling":
        growth_scaling.run(report, seconds=8 if quick else 60, rounds=1 if quick else 4)
    elif part == "storm":
        size, clients = (h.GB // 10, 5) if quick else (2 * h.GB, 50)
        growth_storm.run(report, size_bytes=size, clients=clients, places=both)
    else:
        warm_up, seconds = (30, 60) if quick else (300, 1200)
        growth_steady.run(report, warm_up_s=warm_up, seconds=seconds, places=both)


def write(part: str, report: h.Report) -> None:
    """Put a part's table between its marks, and leave the rest of the page as it is."""
    begin, end = f"<!-- growth {part}: written by python -m bench.growth {part} -->", f"<!-- end of growth {part} -->"
    head, found, rest = TARGET.read_text().partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{TARGET} has no place for this table: {begin} … {end}")
    facts = (
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}; load average {min(report.load):.1f} to {max(report.load):.1f} (the run itself included).\n"
    )
    TARGET.write_text(f"{head}{begin}\n\n{facts}\n{report.markdown()}\n{end}{tail}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all of them when none is named"
    )
    parser.add_argument("--quick", action="store_true", help="minutes instead of hours; writes nothing")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    met = True
    for part in asked.parts or PARTS:
        report = h.Report()
        run(part, report, quick=asked.quick)
        if not asked.quick:
            write(part, report)
        met = met and all(row.met is not False for row in report.rows)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
