"""Every rule of openness on its own cases."""

from __future__ import annotations

import re
import time

import pytest

from headwater.governance import reading
from headwater.governance.facts import OPEN, VALUES
from headwater.governance.rules import CRITERIA, all_rules
from headwater.governance.ruling import Case, Rule


@pytest.mark.parametrize(
    ("rule", "case"),
    [(rule, case) for rule in all_rules() for case in (*rule.passing, *rule.failing)],
    ids=lambda value: value.criterion if isinstance(value, Rule) else value.about,
)
def test_a_rule_says_what_its_cases_say(rule: Rule, case: Case) -> None:
    found = rule.judge(case.facts)
    assert found.value == case.value
    if case.basis:
        assert found.basis == case.basis
    # What it says can be said: the reason has words, and all that go into them.
    assert not re.search(r"[{}]", rule.reasons[found.reason].format(**found.words))
    assert (found.basis == "none") == (not found.evidence)


def test_each_rule_has_cases_on_both_sides() -> None:
    assert [rule.criterion for rule in all_rules()] == list(CRITERIA)
    for rule in all_rules():
        assert all(case.value == OPEN for case in rule.passing), rule.criterion
        assert all(case.value in set(VALUES) - {OPEN} for case in rule.failing), rule.criterion
        assert rule.failing
        # No machine can say that a paper was reviewed.
        assert rule.passing or rule.criterion == "research_paper"
        assert rule.clause
        assert rule.sources


def test_a_heading_of_any_length_is_read_in_time_that_grows_with_it() -> None:
    begun = time.process_time()
    card = "# a" + " " * 300_000 + "x\n# Training data ##\none two three\n#\nfour"
    assert reading.sections_of(card)
    assert time.process_time() - begun < 2
