"""Nearly every licence asks that its text goes with the thing: it lies in the repository, or it does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from headwater.licensing.lineage import DERIVED, DUTY, UNMET, Standing, Verdict, verdict
from headwater.licensing.ruling import Rule, case, thing


def judge(standing: Standing) -> Iterator[Verdict]:
    texts = standing.node.texts
    for each, condition in standing.conditions(("copy_text",), DERIVED):
        if texts is None:
            yield verdict(RULE.id, DUTY, each, condition)
        elif not {each.licence, each.licence.removesuffix("-en")} & texts:
            yield verdict(RULE.id, UNMET, each, condition)


RULE = Rule(
    id="licence_text_lies_beside",
    version=1,
    applies_from=date(2004, 1, 1),
    says="The text of the licence above is to go with it.",
    source="The clause of each licence above, as quoted.",
    judge=judge,
    passing=(
        case("It lies there", thing("base", "apache-2.0"), thing("tuned", "mit", texts=("mit", "apache-2.0"))),
        case("Nothing to copy", thing("base", "cc0-1.0"), thing("tuned", "mit", texts=())),
    ),
    failing=(
        case("Only its own lies there", thing("b", "apache-2.0"), thing("t", "mit", texts=("mit",)), finds=(UNMET,)),
        case("Nobody has looked", thing("base", "apache-2.0"), thing("tuned", "mit"), finds=(DUTY,)),
    ),
)
