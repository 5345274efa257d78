"""On what it was trained, and with how much energy: as a run's provenance tells, or as the card says."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, DECLARED, MODEL, OPEN, PARTIAL, VERIFIED, Facts
from headwater.governance.ruling import Case, Finding, Rule, nothing


def judge(facts: Facts) -> Finding:
    if facts.hardware == "provenance" and facts.is_provenance_right:
        return Finding(OPEN, VERIFIED, "run", [facts.at(facts.provenance)])
    if facts.hardware:
        return Finding(PARTIAL, DECLARED, "said", [facts.at("README.md")])
    return nothing()


RULE = Rule(
    criterion="hardware",
    version=1,
    applies_from=date(2024, 6, 3),
    kinds=frozenset({MODEL}),
    clause="The hardware that trained it, and the energy it took, are told; verified where a run's provenance has them.",
    sources=("European Open Source AI Index: hardware architecture",),
    reasons={
        "run": "The provenance of the run that made it tells.",
        "said": "The card tells.",
        "none": "Nothing tells.",
    },
    judge=judge,
    passing=(
        Case(
            "By its provenance",
            model(hardware="provenance", provenance="provenance.intoto.json", is_provenance_right=True),
            OPEN,
            VERIFIED,
        ),
    ),
    failing=(
        Case("Nothing", model(), CLOSED),
        Case("By the card alone", model(hardware="card"), PARTIAL, DECLARED),
        Case("By a statement about other files", model(hardware="provenance", provenance="p.json"), PARTIAL),
    ),
)
