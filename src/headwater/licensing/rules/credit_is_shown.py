"""Some licences ask for fixed words where the model is shown: they stand in its card, or they do not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from headwater.licensing.lineage import DERIVED, DUTY, OUTPUTS, UNMET, Standing, Verdict, verdict
from headwater.licensing.ruling import Rule, case, thing


def judge(standing: Standing) -> Iterator[Verdict]:
    shows = standing.node.shows
    for each, condition in standing.conditions(("credit",), DERIVED, OUTPUTS):
        if shows is None:
            yield verdict(RULE.id, DUTY, each, condition)
        elif not shows & set(condition.value.split("|")):
            yield verdict(RULE.id, UNMET, each, condition)


RULE = Rule(
    id="credit_is_shown",
    version=1,
    applies_from=date(2024, 7, 23),
    says="Its card does not show the words that are asked for.",
    source="Llama 3.1 to 4 1.b.i; Qwen 2024 5.b; Stability AI Community IV.a; Falcon 2 6; HyperCLOVA X SEED 3.1.",
    judge=judge,
    passing=(
        case(
            "They are shown",
            thing("base", "qwen-2024"),
            thing("tuned", "qwen-2024", shows=("Improved using Qwen",)),
        ),
        case("None are asked for", thing("base", "mit"), thing("tuned", "mit", shows=())),
    ),
    failing=(
        case("They are not", thing("base", "qwen-2024"), thing("tuned", "qwen-2024", shows=()), finds=(UNMET,)),
        case("Nobody has looked", thing("base", "llama-4-cla-2025"), thing("Llama-x"), finds=(DUTY,)),
    ),
)
