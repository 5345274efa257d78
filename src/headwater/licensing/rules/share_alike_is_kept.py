"""What is made of a share-alike thing is under the same licence, or under one that the licence itself names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from headwater.licensing.lineage import CONFLICT, DERIVED, Standing, Verdict, verdict
from headwater.licensing.obligations import RECIPROCAL, Condition
from headwater.licensing.ruling import Rule, case, thing


def accepts(licence: str, condition: Condition, key: str) -> bool:
    """Whether something under ``key`` may be made of a thing under ``licence``."""
    return key == licence or any(each.key == key for each in condition.accepts)


def judge(standing: Standing) -> Iterator[Verdict]:
    if not standing.node.licences:
        return
    for each, condition in standing.conditions(RECIPROCAL, DERIVED):
        if not all(accepts(each.licence, condition, key) for key in standing.node.licences):
            yield verdict(RULE.id, CONFLICT, each, condition)


RULE = Rule(
    id="share_alike_is_kept",
    version=1,
    applies_from=date(1991, 6, 1),
    says="What it was made of asks for the same licence again.",
    source="The share-alike clause of the licence above, as quoted, with the licences it names itself.",
    judge=judge,
    passing=(
        case("The same again", thing("base", "gpl-3.0"), thing("tuned", "gpl-3.0")),
        case("One that the licence names", thing("base", "gpl-3.0"), thing("tuned", "agpl-3.0")),
        case("A later version where the licence says so", thing("a", "cc-by-sa-3.0"), thing("b", "cc-by-sa-4.0")),
        case("Into share-alike", thing("base", "mit"), thing("tuned", "gpl-3.0")),
    ),
    failing=(
        case("To a permissive one", thing("base", "gpl-3.0"), thing("tuned", "mit"), finds=(CONFLICT,)),
        case("Against the direction", thing("base", "agpl-3.0"), thing("tuned", "gpl-3.0"), finds=(CONFLICT,)),
        case("An earlier version", thing("a", "cc-by-sa-4.0"), thing("b", "cc-by-sa-3.0"), finds=(CONFLICT,)),
        case("A choice of which one leaves", thing("a", "gpl-3.0"), thing("b", "gpl-3.0", "mit"), finds=(CONFLICT,)),
    ),
)
