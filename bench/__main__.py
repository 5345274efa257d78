"""Run every benchmark and write the table into ``docs/performance.md``: ``make bench`` or ``python -m bench [--quick]``."""

from __future__ import annotations

import argparse
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import harness as h
from bench import repositories, search_bench, transfer

TARGET = Path(__file__).parent.parent / "docs/performance.md"
MARK = "<!-- measured: written by python -m bench -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller data and fewer rounds; writes nothing")
    quick = parser.parse_args().quick
    report = h.Report()
    repositories.run(report, n_files=10_000 if quick else 100_000, rounds=3 if quick else 5)
    search_bench.run(report, n_repositories=10_000 if quick else 100_000)
    size = 200_000_000 if quick else h.GB
    transfer.run(report, size=size, rounds=3 if quick else 5, memory_size=size)
    load = f"{min(report.load):.1f}–{max(report.load):.1f}"
    facts = (
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {h.os.cpu_count()} cores ({platform.machine()}), "
        f"Python {platform.python_version()}; load average during the run {load} (the run itself included).\n"
    )
    table = report.markdown()
    print(facts + "\n" + table)
    if not quick:
        text = TARGET.read_text()
        head, _, _ = text.partition(MARK)
        TARGET.write_text(f"{head}{MARK}\n\n{facts}\n{table}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
