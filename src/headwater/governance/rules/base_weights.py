"""The weights of the model it was made from; of one made from nothing, its own."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, DECLARED, MODEL, OPEN, UNKNOWN, VALUES, VERIFIED, Facts, Linked, Weights
from headwater.governance.rules import weights
from headwater.governance.ruling import Case, Finding, Rule


def judge(facts: Facts) -> Finding:
    bases = facts.by_role("base")
    if not bases:
        return weights.judge(facts)
    away = [each for each in bases if not each.is_here]
    if away:
        return Finding(UNKNOWN, DECLARED, "base_elsewhere", [facts.at("README.md")], {"name": away[0].name})
    order = (CLOSED, UNKNOWN, "partial", OPEN)
    worst = min(bases, key=lambda each: order.index(each.values.get("weights", UNKNOWN)))
    value = worst.values.get("weights", UNKNOWN)
    return Finding(value, VERIFIED, f"base_{value}", [each.evidence for each in bases], {"name": worst.name})


def _base(value: str) -> Linked:
    return Linked("base", MODEL, "lab/base", is_here=True, path="lab/base", commit="b" * 40, values={"weights": value})


RULE = Rule(
    criterion="base_weights",
    version=1,
    applies_from=date(2024, 6, 3),
    kinds=frozenset({MODEL}),
    clause="The weights of the base model can be read by everyone.",
    sources=("European Open Source AI Index: base model weights",),
    reasons={
        **weights.RULE.reasons,
        **{f"base_{value}": f"Of {{name}}, that it was made from, the weights are {value}." for value in VALUES},
        "base_elsewhere": "{name}, that it was made from, is not here for everyone to see.",
    },
    judge=judge,
    passing=(
        Case("Made from nothing", model(weights=(Weights("w.safetensors", "safetensors", 5),)), OPEN),
        Case("The base's are open", model(linked=(_base(OPEN),)), OPEN, VERIFIED),
    ),
    failing=(
        Case("The base's are not", model(linked=(_base(CLOSED),)), CLOSED),
        Case("The base is not here", model(linked=(Linked("base", MODEL, "x/y"),)), UNKNOWN, DECLARED),
    ),
)
