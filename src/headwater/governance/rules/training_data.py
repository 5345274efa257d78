"""The data it was trained on: every data set that the card names is here, can be read, and has a licence."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, DECLARED, MODEL, OPEN, PARTIAL, UNKNOWN, VERIFIED, Facts, Linked
from headwater.governance.named import REASONS, dataset, judge_data
from headwater.governance.ruling import Case, Finding, Rule


def judge(facts: Facts) -> Finding:
    return judge_data(facts, facts.by_role("data"))


RULE = Rule(
    criterion="training_data",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL}),
    clause="Each data set that the card names is in this site, can be read by everyone, has rows, and is under an open licence.",
    sources=(
        "MOF 1.0, class I: datasets",
        "OSAID 1.0: Data information",
        "European Open Source AI Index: end-model training data",
    ),
    reasons=REASONS,
    judge=judge,
    passing=(
        Case("All here", model(linked=(dataset("data"),)), OPEN, VERIFIED),
        Case("Two, both here", model(linked=(dataset("data"), dataset("data", licence="cc0-1.0"))), OPEN),
    ),
    failing=(
        Case("None named", model(), CLOSED),
        Case("Named, not here", model(linked=(Linked("data", "dataset", "x/y"),)), UNKNOWN, DECLARED),
        Case("One of two", model(linked=(dataset("data"), Linked("data", "dataset", "x/y"))), PARTIAL),
        Case("No licence", model(linked=(dataset("data", licence="", is_open_licence=False),)), PARTIAL),
        Case("One has to ask", model(linked=(dataset("data", is_gated=True),)), PARTIAL),
        Case("No rows", model(linked=(dataset("data", values={"data": CLOSED}),)), PARTIAL),
    ),
)
