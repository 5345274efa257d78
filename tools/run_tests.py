"""All tests; where a few fail, these once more and alone, and what that told is the last thing printed.

    .venv/bin/python tools/run_tests.py [ARGUMENTS OF PYTEST]

Five thousand tests of real servers share a machine with each other, and some mind it. One that fails beside the others and passes
alone is named as such: it shows a race or a limit too tight for a busy machine, and is to be looked into. One that fails twice
fails the run; so do more than ``MOST_AGAIN``, which no load explains (docs/decisions/0073-a-second-try-alone.md).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

MOST_AGAIN = 3
TESTS_FAILED = 1  # an exit code of pytest


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="headwater-tests-") as folder:
        cache = Path(folder)
        code = _pytest(cache, *arguments)
        failed = _failed(cache)
        if code != TESTS_FAILED or not 0 < len(failed) <= MOST_AGAIN or not all("::" in name for name in failed):
            return code
        print(f"\n{len(failed)} failed beside others; once more, alone: {', '.join(failed)}\n", flush=True)
        again = _pytest(
            cache, "-n", "0", *_without_workers(arguments), "--last-failed", "--last-failed-no-failures=none"
        )
        still = _failed(cache)
    for name in failed:
        print(f"{'FAILED TWICE' if name in still else 'FAILED BESIDE OTHERS, PASSED ALONE'}: {name}")
    return again


def _pytest(cache: Path, *arguments: str) -> int:
    command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *arguments]
    return subprocess.run(command, check=False).returncode


def _failed(cache: Path) -> list[str]:
    """Ids of tests, and names of files that could not be collected."""
    path = cache / "v" / "cache" / "lastfailed"
    return sorted(json.loads(path.read_text())) if path.exists() else []


def _without_workers(arguments: list[str]) -> list[str]:
    kept, is_count = [], False
    for one in arguments:
        if not is_count and one != "-n":
            kept.append(one)
        is_count = one == "-n"
    return kept


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
