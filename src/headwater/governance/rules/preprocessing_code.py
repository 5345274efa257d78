"""The code that made the training data of its sources."""

from datetime import date

from headwater.governance.coded import REASONS, failing, judge_role, passing
from headwater.governance.facts import MODEL, Facts
from headwater.governance.ruling import Finding, Rule


def judge(facts: Facts) -> Finding:
    return judge_role(facts, "preprocessing")


RULE = Rule(
    criterion="preprocessing_code",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL}),
    clause="Code that prepares the data is there in full, at a commit, under an open licence.",
    sources=("MOF 1.0, class I: data preprocessing code", "OSAID 1.0: Code, and data information"),
    reasons=REASONS,
    judge=judge,
    passing=passing("preprocessing", "prepare.py"),
    failing=failing("preprocessing", "prepare.py"),
)
