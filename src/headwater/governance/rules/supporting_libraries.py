"""What its code needs to run, listed with versions."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, CODE, MODEL, OPEN, VERIFIED, Facts
from headwater.governance.ruling import Case, Finding, Rule, nothing


def judge(facts: Facts) -> Finding:
    if not facts.requirements:
        return nothing()
    where = [facts.at(path) for path in facts.requirements[:5]]
    words = {"path": facts.requirements[0]}
    return Finding(OPEN, VERIFIED, "here", where, words, facts.licence, facts.is_open_licence)


RULE = Rule(
    criterion="supporting_libraries",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL, CODE}),
    clause="A file lists the libraries that its code needs. Optional.",
    sources=("MOF 1.0, class II: supporting libraries and tools (optional)",),
    reasons={"here": "{path} lists them.", "none": "No file lists them."},
    judge=judge,
    passing=(Case("Listed", model(requirements=("requirements.txt",)), OPEN, VERIFIED),),
    failing=(Case("Not listed", model(), CLOSED),),
)
