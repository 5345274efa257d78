"""Run every benchmark and write the table into ``docs/performance.md``: ``make bench`` or ``python -m bench [--quick]``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import (
    corpora_bench,
    evaluation_bench,
    log_bench,
    openness_bench,
    repositories,
    requests_bench,
    runs_bench,
    scanning_bench,
    search_bench,
    serving_bench,
    training_bench,
    transfer,
)
from bench import harness as h

TARGET = Path(__file__).parent.parent / "docs/performance.md"
MARK = "<!-- measured: written by python -m bench -->"


def facts(report: h.Report) -> str:
    load = f"{min(report.load):.1f} to {max(report.load):.1f}"
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC on {os.cpu_count()} cores ({platform.machine()}), "
        f"Python {platform.python_version()}; load average during the run {load} (the run itself included).\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller data and fewer rounds; writes nothing")
    quick = parser.parse_args().quick
    report = h.Report()
    size, rounds = (200_000_000, 3) if quick else (h.GB, 5)
    parts: list[Callable[[], None]] = [
        partial(transfer.run, report, size=size, rounds=rounds, memory_size=size),
        partial(repositories.run, report, n_files=10_000 if quick else 100_000, rounds=rounds),
        partial(requests_bench.run, report, rounds=rounds, count=1000 if quick else requests_bench.PER_ROUND),
        partial(search_bench.run, report, n_repositories=10_000 if quick else 100_000),
        partial(log_bench.run, report, n_entries=100_000),
        partial(openness_bench.run, report),
        partial(corpora_bench.run, report),
        partial(scanning_bench.run, report, n_entries=400_000 if quick else 4_000_000),
        partial(serving_bench.run, report, rounds=rounds),
        partial(training_bench.run, report, rounds=rounds),
        partial(evaluation_bench.run, report, rounds=rounds),
        partial(runs_bench.run, report, rounds=rounds),
    ]
    for part in parts:
        part()
        if not quick:  # after each part, so that an hour's work does not hang on the last minute
            head, _, _ = TARGET.read_text().partition(MARK)
            TARGET.write_text(f"{head}{MARK}\n\n{facts(report)}\n{report.markdown()}")
    print(facts(report) + "\n" + report.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
