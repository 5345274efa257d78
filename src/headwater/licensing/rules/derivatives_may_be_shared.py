"""Some licences let a thing be passed on as it is, and not what was made of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from headwater.licensing.lineage import CONFLICT, DERIVED, Standing, Verdict, verdict
from headwater.licensing.obligations import FORBIDS
from headwater.licensing.ruling import Rule, case, thing


def judge(standing: Standing) -> Iterator[Verdict]:
    for each, condition in standing.conditions(FORBIDS, DERIVED):
        yield verdict(RULE.id, CONFLICT, each, condition)


RULE = Rule(
    id="derivatives_may_be_shared",
    version=1,
    applies_from=date(2013, 11, 25),
    says="What it was made of may be shared unchanged only.",
    source="Creative Commons BY-ND and BY-NC-ND 4.0, 2.a.1.",
    judge=judge,
    passing=(
        case("Derivatives are allowed", thing("base", "cc-by-4.0"), thing("tuned", "cc-by-4.0")),
        case("It only was trained on it", thing("rows", "cc-by-nd-4.0"), thing("model", "mit"), ways="a"),
    ),
    failing=(
        case("Fine-tuned", thing("base", "cc-by-nd-4.0"), thing("tuned", "cc-by-nd-4.0"), finds=(CONFLICT,)),
        case("Under no licence of its own", thing("base", "cc-by-nc-nd-4.0"), thing("tuned"), finds=(CONFLICT,)),
    ),
)
