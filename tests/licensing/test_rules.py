"""Every rule along a lineage on its own cases."""

from __future__ import annotations

import pytest

from headwater.licensing.rules import ALL
from headwater.licensing.ruling import Case, Rule


@pytest.mark.parametrize(
    ("rule", "case"),
    [(rule, case) for rule in ALL for case in (*rule.passing, *rule.failing)],
    ids=lambda value: value.id if isinstance(value, Rule) else value.about,
)
def test_a_rule_finds_what_its_cases_say(rule: Rule, case: Case) -> None:
    found = [each.outcome for each in rule.judge(case.lineage.standing(case.at))]
    assert sorted(found) == sorted(case.finds)


def test_each_rule_has_cases_on_both_sides_and_a_name_of_its_own() -> None:
    assert all(rule.passing and rule.failing for rule in ALL)
    assert all(case.finds for rule in ALL for case in rule.failing)
    assert not any(case.finds for rule in ALL for case in rule.passing)
    assert len({rule.id for rule in ALL}) == len(ALL)
