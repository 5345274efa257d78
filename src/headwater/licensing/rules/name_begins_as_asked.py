"""Some licences ask that what is made of a model, or trained on its outputs, begins with a word in its name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from headwater.licensing.lineage import DERIVED, OUTPUTS, UNMET, Standing, Verdict, verdict
from headwater.licensing.ruling import Rule, case, thing


def judge(standing: Standing) -> Iterator[Verdict]:
    for each, condition in standing.conditions(("name_prefix",), DERIVED, OUTPUTS):
        if not standing.node.name.casefold().startswith(condition.value.casefold()):
            yield verdict(RULE.id, UNMET, each, condition)


RULE = Rule(
    id="name_begins_as_asked",
    version=1,
    applies_from=date(2024, 7, 23),
    says="Its name does not begin with the word that is asked for.",
    source="Llama 3.1 to 4 Community License 1.b.i; EXAONE 1.1-NC 2.1.c; HyperCLOVA X SEED 3.1.",
    judge=judge,
    passing=(
        case("It does", thing("base", "llama-3.1-license-2024"), thing("Llama-zh", "llama-3.1-license-2024")),
        case("Letter case does not count", thing("b", "llama-3.1-license-2024"), thing("llama-zh", "mit")),
        case("Not asked by Llama 2", thing("base", "llama-2-license-2023"), thing("zh", "llama-2-license-2023")),
    ),
    failing=(
        case(
            "Another name", thing("b", "llama-3.1-license-2024"), thing("zh", "llama-3.1-license-2024"), finds=(UNMET,)
        ),
        case(
            "Trained on its outputs",
            thing("base", "llama-3.3-license-2024"),
            thing("rows", "cc-by-4.0"),
            thing("small", "mit"),
            ways="oa",
            finds=(UNMET,),
        ),
    ),
)
