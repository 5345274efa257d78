"""docs/storage.md names what there is: every test, every module, every decision."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/storage.md").read_text()


def test_each_rule_names_tests_that_there_are() -> None:
    n_named, file = 0, ""
    for named, test in re.findall(r"`([\w/]+\.py|…)(?:::(\w+))?`", PAGE):
        file = file if named == "…" else named
        if (ROOT / "src/headwater" / file).exists() and not test:
            continue  # a module
        text = (ROOT / "tests" / file).read_text()
        assert not test or re.search(rf"^ *(async )?def {test}\b", text, re.MULTILINE), f"{file}::{test}"
        n_named += 1
    assert n_named > 90


def test_what_it_links_to_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
