"""The model card: what it is for, its limits, what it was trained on, how it was evaluated, how to use it."""

from datetime import date

from headwater.governance.carded import REASONS, judge_card
from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, MODEL, OPEN, PARTIAL, VERIFIED, Facts
from headwater.governance.ruling import Case, Finding, Rule

TOPICS = ("use", "limits", "training", "evaluation")


def judge(facts: Facts) -> Finding:
    return judge_card(facts, TOPICS)


_ALL = dict.fromkeys(TOPICS, 40)

RULE = Rule(
    criterion="model_card",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL}),
    clause="README.md has words on use, limits, training and evaluation, at least 100 in all.",
    sources=(
        "MOF 1.0, class III: model card",
        "European Open Source AI Index: model card",
        "Mitchell et al. 2019, Model Cards for Model Reporting, arXiv:1810.03993",
    ),
    reasons=REASONS,
    judge=judge,
    passing=(
        Case("All topics", model(n_words=300, sections=_ALL), OPEN, VERIFIED),
        Case("And more", model(n_words=900, sections={**_ALL, "hardware": 20}), OPEN),
    ),
    failing=(
        Case("None", model(), CLOSED),
        Case("A title", model(n_words=3), PARTIAL),
        Case("Without limits", model(n_words=300, sections={**_ALL, "limits": 0}), PARTIAL),
        Case("Headings alone", model(n_words=60, sections=_ALL), PARTIAL),
    ),
)
