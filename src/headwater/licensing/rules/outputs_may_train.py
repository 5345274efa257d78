"""Some licences forbid training other models on what theirs answered, or count such models as derived from it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from headwater.licensing.lineage import OUTPUTS, UNCLEAR, Standing, Verdict, verdict
from headwater.licensing.ruling import Rule, case, thing


def judge(standing: Standing) -> Iterator[Verdict]:
    for each, condition in standing.conditions(("output_training", "distilled_is_derived"), OUTPUTS):
        if each.licence not in standing.node.licences:
            yield verdict(RULE.id, UNCLEAR, each, condition)


RULE = Rule(
    id="outputs_may_train",
    version=1,
    applies_from=date(2023, 7, 18),
    says="The licence of the model whose answers it was trained on speaks of that.",
    source="Llama 2 1.b.v; Tongyi Qianwen 5.b; FLUX.1 2.d; EXAONE 3.1; Gemma 1.1.e; DeepSeek 1.0, 1.",
    judge=judge,
    passing=(
        case(
            "It asks nothing of outputs", thing("g", "apache-2.0"), thing("rows", "mit"), thing("m", "mit"), ways="oa"
        ),
        case("Llama 3.1 does not forbid it", thing("g", "llama-3.1-license-2024"), thing("Llama-m", "mit"), ways="o"),
    ),
    failing=(
        case(
            "Llama 2 forbids it",
            thing("g", "llama-2-license-2023"),
            thing("rows", "cc-by-4.0"),
            thing("m", "mit"),
            ways="oa",
            finds=(UNCLEAR,),
        ),
        case(
            "Gemma counts it as derived",
            thing("g", "gemma-tou-2024-04-01"),
            thing("m", "mit"),
            ways="o",
            finds=(UNCLEAR,),
        ),
    ),
)
