"""What ``make test`` runs: few failures get a second try alone, and are told; nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRIED = """
import os, pytest
from pathlib import Path
def was_tried():
    mark = Path(__file__).with_name("tried")
    found = mark.exists()
    mark.touch()
    return found
"""
ONCE = TRIED + "def test_busy(): assert was_tried()\n"
GOOD = "def test_good(): pass\n"
NEVER = "def test_never(): assert False\n"
MANY = "import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_many(n): assert False\n"
TAKEN_DOWN = (
    TRIED
    + "@pytest.fixture(scope='session')\ndef site():\n    yield\n    assert was_tried()\ndef test_it(site): pass\n"
)
SET_UP = TRIED + "@pytest.fixture\ndef site(): assert was_tried()\ndef test_it(site): pass\n"
CRASHED = TRIED + "def test_crash():\n    if not was_tried(): os._exit(3)\n"
SKIPPED = TRIED + "def test_skip():\n    if was_tried(): pytest.skip('not now')\n    assert False\n"
SLOW_DOWN = (
    TRIED + "@pytest.fixture\ndef it():\n    yield\n    assert not was_tried()\ndef test_it(it): assert was_tried()\n"
)
ENVIRONMENT = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # but xdist: they take a second each time
PASSED, TWICE = "FAILED BESIDE OTHERS, PASSED ALONE: test_it.py::", "FAILED TWICE: test_it.py::"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "run_tests.py"), "-p", "xdist", *arguments, "test_it.py"]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("tests", "arguments", "code", "tries", "said"),
    [
        pytest.param(GOOD, "-n 2", 0, 1, None, id="all pass"),
        pytest.param(GOOD + ONCE, "-n 2", 0, 2, PASSED + "test_busy", id="passes alone"),
        pytest.param(GOOD + ONCE, "--numprocesses=2", 0, 2, PASSED + "test_busy", id="said in another way"),
        pytest.param(GOOD + NEVER, "-n 2", 1, 2, TWICE + "test_never", id="fails twice"),
        pytest.param(ONCE + NEVER, "-n 2", 1, 2, TWICE + "test_never", id="one of two fails twice"),
        pytest.param(GOOD + MANY, "-n 2", 1, 1, None, id="too many"),
        pytest.param("import nothing_of_this_name\n", "-n 2", 1, 1, None, id="not collected"),
        pytest.param(GOOD + TAKEN_DOWN, "-n 2", 1, 1, None, id="shared server not well at the end"),
        pytest.param(GOOD + SET_UP, "-n 2", 1, 1, None, id="not set up"),
        pytest.param(GOOD + SLOW_DOWN, "-n 2", 1, 1, None, id="fails, and while it is taken down"),
        pytest.param(GOOD + CRASHED, "-n 2", 1, 1, None, id="process crashed"),
        pytest.param(GOOD + SKIPPED, "-n 2", 1, 2, TWICE + "test_skip", id="skipped alone"),
        pytest.param(ONCE + GOOD, "-n 0 -x", 1, 1, None, id="the rest did not run"),
    ],
)
def test_few_failures_are_tried_again_alone(
    tmp_path: Path, tests: str, arguments: str, code: int, tries: int, said: str | None
) -> None:
    (tmp_path / "test_it.py").write_text(tests)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = run(tmp_path, *arguments.split())
    assert done.returncode == code, done.stdout + done.stderr
    assert ("once more, alone" in done.stdout) == (tries == 2), done.stdout
    last_lines = done.stdout.splitlines()[-2:]
    assert said in last_lines if said else "ALONE" not in done.stdout + done.stderr


def test_only_what_failed_last_time_can_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(GOOD + NEVER)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    assert "1 passed" in run(tmp_path, "-n", "0").stdout
    done = run(tmp_path, "-n", "0", "--lf")
    assert "1 passed" not in done.stdout
    assert "1 failed" in done.stdout
