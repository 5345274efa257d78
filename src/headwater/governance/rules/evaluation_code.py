"""The code it was evaluated with."""

from datetime import date

from headwater.governance.coded import REASONS, failing, judge_role, passing
from headwater.governance.facts import MODEL, Facts
from headwater.governance.ruling import Finding, Rule


def judge(facts: Facts) -> Finding:
    return judge_role(facts, "evaluation")


RULE = Rule(
    criterion="evaluation_code",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL}),
    clause="Code that evaluates it is there in full, at a commit, under an open licence.",
    sources=("MOF 1.0, class II: evaluation code", "OSAID 1.0: Code"),
    reasons=REASONS,
    judge=judge,
    passing=passing("evaluation", "evaluate.py"),
    failing=failing("evaluation", "evaluate.py"),
)
