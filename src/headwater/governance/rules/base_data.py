"""The data of the model it was made from: what that model's own evidence says; of one made from nothing, its own."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, DECLARED, MODEL, OPEN, PARTIAL, UNKNOWN, VALUES, VERIFIED, Facts, Linked
from headwater.governance.named import REASONS, dataset
from headwater.governance.rules import training_data
from headwater.governance.ruling import Case, Finding, Rule


def judge(facts: Facts) -> Finding:
    bases = facts.by_role("base")
    if not bases:
        return training_data.judge(facts)
    away = [each for each in bases if not each.is_here]
    if away:
        return Finding(UNKNOWN, DECLARED, "base_elsewhere", [facts.at("README.md")], {"name": away[0].name})
    # A closed base among several decides, and what is not known is not open.
    order = (CLOSED, UNKNOWN, PARTIAL, OPEN)
    worst = min(bases, key=lambda each: order.index(each.values.get("base_data", UNKNOWN)))
    value = worst.values.get("base_data", UNKNOWN)
    return Finding(value, VERIFIED, f"base_{value}", [each.evidence for each in bases], {"name": worst.name})


def _base(value: str) -> Linked:
    return Linked(
        "base", MODEL, "lab/base", is_here=True, path="lab/base", commit="b" * 40, values={"base_data": value}
    )


RULE = Rule(
    criterion="base_data",
    version=1,
    applies_from=date(2024, 6, 3),
    kinds=frozenset({MODEL}),
    clause="The data that the base model was trained on can be read by everyone.",
    sources=("European Open Source AI Index: base model data",),
    reasons={
        **REASONS,
        **{f"base_{value}": f"Of {{name}}, that it was made from, the data is {value}." for value in VALUES},
        "base_elsewhere": "{name}, that it was made from, is not here for everyone to see.",
    },
    judge=judge,
    passing=(
        Case("Made from nothing, its data is here", model(linked=(dataset(),)), OPEN),
        Case("The base's data is open", model(linked=(_base(OPEN),)), OPEN, VERIFIED),
    ),
    failing=(
        Case("The base's is closed", model(linked=(_base(CLOSED), _base(OPEN))), CLOSED),
        Case("The base is not here", model(linked=(Linked("base", MODEL, "x/y"),)), UNKNOWN, DECLARED),
    ),
)
