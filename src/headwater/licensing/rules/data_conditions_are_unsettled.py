"""Whether what a data set's licence asks for binds a model trained on it is unsettled: said as an open question, never as a conflict.

Some data licences settle it themselves: they ask nothing of results. Credit for data is a duty in any case.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from headwater.licensing.lineage import DATA, DUTY, UNCLEAR, Standing, Verdict, verdict
from headwater.licensing.obligations import FORBIDS, RECIPROCAL, RESTRICTIONS
from headwater.licensing.ruling import Rule, case, thing

_OPEN = (*RESTRICTIONS, *FORBIDS, *RECIPROCAL)


def judge(standing: Standing) -> Iterator[Verdict]:
    for each in standing.by(DATA):
        is_free = bool(each.terms.having("results_free"))
        for condition in each.terms.having(*_OPEN):
            if not is_free:
                yield verdict(RULE.id, UNCLEAR, each, condition)
        for condition in each.terms.having("attribution"):
            yield verdict(RULE.id, DUTY, each, condition)


RULE = Rule(
    id="data_conditions_are_unsettled",
    version=1,
    applies_from=date(2013, 11, 25),
    says="Whether this binds a model trained on the data is an open question.",
    source="The clause of the data's licence, as quoted; CDLA Permissive 2.0 3.1 and CDLA 1.0 say themselves that results are free.",
    judge=judge,
    passing=(
        case("Nothing asked", thing("rows", "cc0-1.0"), thing("model", "mit"), ways="a"),
        case("Results are free", thing("rows", "cdla-permissive-2.0"), thing("model", "mit"), ways="a"),
    ),
    failing=(
        case("Credit", thing("rows", "cc-by-4.0"), thing("model", "mit"), ways="a", finds=(DUTY,)),
        case("Non-commercial", thing("r", "cc-by-nc-4.0"), thing("m", "mit"), ways="a", finds=(DUTY, UNCLEAR)),
        case("Share-alike", thing("rows", "odbl-1.0"), thing("model", "mit"), ways="a", finds=(DUTY, UNCLEAR)),
        case(
            "Also for what is made of the model",
            thing("rows", "cc-by-nc-4.0"),
            thing("model", "mit"),
            thing("tuned", "mit"),
            ways="ad",
            finds=(DUTY, UNCLEAR),
        ),
    ),
)
