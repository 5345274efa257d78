"""What ``make test`` runs: few failures get a second try alone, and are told; many do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ONCE = """
from pathlib import Path
def test_busy():
    mark = Path(__file__).with_name("tried")
    was_tried = mark.exists()
    mark.touch()
    assert was_tried
"""
GOOD = "def test_good(): pass\n"
NEVER = "def test_never(): assert False\n"
MANY = "import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_many(n): assert False\n"


@pytest.mark.parametrize(
    ("tests", "code", "tries", "said"),
    [
        (GOOD, 0, 1, None),
        (GOOD + ONCE, 0, 2, "FAILED BESIDE OTHERS, PASSED ALONE: test_it.py::test_busy"),
        (GOOD + NEVER, 1, 2, "FAILED TWICE: test_it.py::test_never"),
        (ONCE + NEVER, 1, 2, "FAILED TWICE: test_it.py::test_never"),
        (GOOD + MANY, 1, 1, None),
        ("import nothing_of_this_name\n", 1, 1, None),
    ],
)
def test_few_failures_are_tried_again_alone(
    tmp_path: Path, tests: str, code: int, tries: int, said: str | None
) -> None:
    (tmp_path / "test_it.py").write_text(tests)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, str(ROOT / "tools" / "run_tests.py"), "-n", "2", "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert ("once more, alone" in done.stdout) == (tries == 2)
    last_lines = done.stdout.splitlines()[-2:]
    assert said in last_lines if said else "ALONE" not in done.stdout + done.stderr
