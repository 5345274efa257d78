"""A thing cannot be made of itself: where cards say so, one of them is wrong, and what comes down is uncertain."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from headwater.licensing.lineage import UNKNOWN, Edge, Lineage, Standing, Verdict
from headwater.licensing.ruling import Case, Rule, case, thing


def judge(standing: Standing) -> Iterator[Verdict]:
    if standing.is_circular:
        yield Verdict(RULE.id, UNKNOWN, "circle", "", "", "", (standing.node.id,))


_TWO = (thing("one", "mit"), thing("other", "mit"))

RULE = Rule(
    id="lineage_has_no_circle",
    version=1,
    applies_from=date(2004, 1, 1),
    says="It is named among the things that it was made of.",
    source="The cards of the things in the circle.",
    judge=judge,
    passing=(
        case("A line", thing("base", "mit"), thing("tuned", "mit")),
        Case(
            "Below a circle",
            Lineage((*_TWO, thing("below", "mit")), [Edge("one", "other"), Edge("other", "one"), Edge("below", "one")]),
            "below",
        ),
    ),
    failing=(
        Case("Two of each other", Lineage(_TWO, [Edge("one", "other"), Edge("other", "one")]), "one", (UNKNOWN,)),
    ),
)
