"""The code it was trained with: a program or recipe in the repository, or one that it names at a commit."""

from datetime import date

from headwater.governance.coded import REASONS, failing, judge_role, passing
from headwater.governance.facts import MODEL, Facts
from headwater.governance.ruling import Finding, Rule


def judge(facts: Facts) -> Finding:
    return judge_role(facts, "training")


RULE = Rule(
    criterion="training_code",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL}),
    clause="Code that trains it is there in full, at a commit, under an open licence.",
    sources=("MOF 1.0, class II: training code", "OSAID 1.0: Code", "European Open Source AI Index: training code"),
    reasons=REASONS,
    judge=judge,
    passing=passing("training", "train.py"),
    failing=failing("training", "train.py"),
)
