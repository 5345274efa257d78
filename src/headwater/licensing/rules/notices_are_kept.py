"""Notices, credits, marks of what was changed, source: duties that a machine cannot see fulfilled, so it lists them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from headwater.licensing.lineage import DERIVED, DUTY, Standing, Verdict, verdict
from headwater.licensing.ruling import Rule, case, thing

_SEEN_BY_PEOPLE = ("notice", "state_changes", "attribution", "source", "large_user_credit")


def judge(standing: Standing) -> Iterator[Verdict]:
    for each, condition in standing.conditions(_SEEN_BY_PEOPLE, DERIVED):
        yield verdict(RULE.id, DUTY, each, condition)


RULE = Rule(
    id="notices_are_kept",
    version=1,
    applies_from=date(2004, 1, 1),
    says="This is to be done by whoever passes it on.",
    source="The clause of each licence above, as quoted.",
    judge=judge,
    passing=(
        case("Nothing asked", thing("base", "cc0-1.0"), thing("tuned", "mit")),
        case("MIT asks for its text alone", thing("base", "mit"), thing("tuned", "mit")),
    ),
    failing=(
        case("Apache's notices and changes", thing("b", "apache-2.0"), thing("t", "apache-2.0"), finds=(DUTY, DUTY)),
        case("Credit", thing("base", "cc-by-4.0"), thing("tuned", "mit"), finds=(DUTY, DUTY)),
    ),
)
