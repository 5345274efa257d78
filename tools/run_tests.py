"""All tests; where a few fail, these once more and alone, and what that told is the last thing printed.

    .venv/bin/python tools/run_tests.py [ARGUMENTS OF PYTEST]

Five thousand tests of real servers share a machine with each other, and some mind it. One that fails beside the others and passes
alone is named as such: it shows a race or a limit too tight for a busy machine, and is to be looked into. One that fails twice
fails the run. Only what a test itself said is tried again: never what failed while it was set up or taken down, where servers shared
by many tests are asked whether they are well, and no crash (docs/decisions/0073-a-second-try-alone.md).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MOST_AGAIN = 3
TESTS_FAILED = int(pytest.ExitCode.TESTS_FAILED)
ONE_TRY = "--one-try"  # how this file calls itself: --one-try FOLDER [ARGUMENTS OF PYTEST]


@dataclass
class Told:
    """What one run of pytest told: by a test's id, the phases it failed in; and the tests that ran and passed."""

    failed: dict[str, list[str]] = field(default_factory=dict)
    passed: list[str] = field(default_factory=list)
    is_whole: bool = False  # all that was chosen has run

    @property
    def may_be_tried_again(self) -> bool:
        return (
            self.is_whole
            and 0 < len(self.failed) <= MOST_AGAIN
            and all(one == ["call"] for one in self.failed.values())
        )


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="headwater-tests-") as folder:
        code, told = _try(Path(folder), arguments)
        if code != TESTS_FAILED or not told.may_be_tried_again:
            return code
        print(f"\n{len(told.failed)} failed beside others; once more, alone: {', '.join(told.failed)}\n", flush=True)
        again, second = _try(Path(folder), [*arguments, "-n", "0"], only=list(told.failed))
    passed = set(second.passed) - set(second.failed)
    for name in told.failed:
        print(f"{'FAILED BESIDE OTHERS, PASSED ALONE' if name in passed else 'FAILED TWICE'}: {name}")
    return again or (0 if passed == set(told.failed) else TESTS_FAILED)


def _try(folder: Path, arguments: list[str], only: list[str] | None = None) -> tuple[int, Told]:
    """Pytest in a process of its own; a run that broke off has told nothing."""
    (folder / "only.json").write_text(json.dumps(only))
    (folder / "told.json").unlink(missing_ok=True)
    command = [sys.executable, __file__, ONE_TRY, str(folder), *arguments]
    code = subprocess.run(command, check=False).returncode
    told = folder / "told.json"
    return code, Told(**json.loads(told.read_text())) if told.exists() else Told()


class _Teller:
    """A plugin of pytest: runs ``only`` these tests where any are named, and writes down what is told of each."""

    def __init__(self, told: Path, only: list[str] | None) -> None:
        self._path = told
        self._only = only
        self._failed: dict[str, list[str]] = defaultdict(list)
        self._passed: list[str] = []

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if self._only is not None:
            config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in self._only])
            items[:] = [item for item in items if item.nodeid in self._only]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._failed[report.nodeid].append("collect")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed[report.nodeid].append(str(report.when))  # of a worker that crashed: "???"
        elif report.when == "call" and report.passed:
            self._passed.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        is_whole = not session.shouldstop and not session.shouldfail
        told = {"failed": self._failed, "passed": self._passed, "is_whole": is_whole}
        self._path.write_text(json.dumps(told))


def _one_try(folder: Path, arguments: list[str]) -> int:
    sys.path[0] = str(Path.cwd())  # as ``python -m pytest`` has it
    only = json.loads((folder / "only.json").read_text())
    return int(pytest.main(arguments, plugins=[_Teller(folder / "told.json", only)]))


if __name__ == "__main__":
    if sys.argv[1:2] == [ONE_TRY]:
        sys.exit(_one_try(Path(sys.argv[2]), sys.argv[3:]))
    sys.exit(main(sys.argv[1:]))
