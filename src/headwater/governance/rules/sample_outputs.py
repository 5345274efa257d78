"""Samples of what it answers."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, MODEL, OPEN, VERIFIED, Facts
from headwater.governance.ruling import Case, Finding, Rule, nothing


def judge(facts: Facts) -> Finding:
    if not facts.samples:
        return nothing()
    where = [facts.at(path) for path in facts.samples[:5]]
    words = {"path": facts.samples[0]}
    return Finding(OPEN, VERIFIED, "here", where, words, facts.licence, facts.is_open_licence)


RULE = Rule(
    criterion="sample_outputs",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL}),
    clause="Samples of its answers lie in the repository. Optional.",
    sources=("MOF 1.0, class III: sample model outputs (optional)",),
    reasons={"here": "They lie here: {path}.", "none": "None lie here."},
    judge=judge,
    passing=(Case("They lie there", model(samples=("samples.jsonl",)), OPEN, VERIFIED),),
    failing=(Case("None", model(), CLOSED),),
)
