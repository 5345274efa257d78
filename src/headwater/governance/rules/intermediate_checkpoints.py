"""Parameters from along the way: at least two, each with weights of its own and a step in its name."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, MODEL, OPEN, PARTIAL, VERIFIED, Facts
from headwater.governance.ruling import Case, Finding, Rule, nothing


def judge(facts: Facts) -> Finding:
    found = facts.checkpoints
    if not found:
        return nothing()
    words: dict[str, str | int] = {"n": len(found), "name": found[0]}
    value, reason = (OPEN, "several") if len(found) > 1 else (PARTIAL, "one")
    where = [facts.at(name) for name in found[:5]]
    return Finding(value, VERIFIED, reason, where, words, facts.licence, facts.is_open_licence)


RULE = Rule(
    criterion="intermediate_checkpoints",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL}),
    clause="There are at least two revisions or folders with different weights and a step in their names.",
    sources=("MOF 1.0, class I: intermediate model parameters",),
    reasons={
        "several": "There are {n}, such as {name}.",
        "one": "There is one: {name}.",
        "none": "None were found.",
    },
    judge=judge,
    passing=(
        Case("Two folders", model(checkpoints=("checkpoint-100", "checkpoint-200")), OPEN, VERIFIED),
        Case("Three tags", model(checkpoints=("step1", "step2", "step3")), OPEN),
    ),
    failing=(Case("None", model(), CLOSED), Case("One", model(checkpoints=("step-1000",)), PARTIAL)),
)
