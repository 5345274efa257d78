"""Whether somebody ran it again and got the same. A statement of how it was made, over exactly these files, is half of that."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, DATASET, MODEL, OPEN, PARTIAL, VERIFIED, Facts
from headwater.governance.ruling import Case, Finding, Rule, nothing


def judge(facts: Facts) -> Finding:
    if facts.is_reproduced:
        return Finding(OPEN, VERIFIED, "again", [facts.at(facts.provenance)])
    if not facts.provenance:
        return nothing()
    reason = "statement" if facts.is_provenance_right else "other_files"
    value = PARTIAL if facts.is_provenance_right else CLOSED
    return Finding(value, VERIFIED, reason, [facts.at(facts.provenance)], {"path": facts.provenance})


_PATH = "provenance.intoto.json"

RULE = Rule(
    criterion="reproduction",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL, DATASET}),
    clause="A second run of the same recipe on the same inputs gave the same; a provenance statement alone is half of it.",
    sources=("The simple ladder's last step", "in-toto Statement v1 with SLSA provenance v1"),
    reasons={
        "again": "A second run gave the same.",
        "statement": "{path} tells how it was made, and names exactly these files.",
        "other_files": "{path} speaks of other files than these.",
        "none": "Nothing tells how it was made.",
    },
    judge=judge,
    passing=(Case("Run again", model(is_reproduced=True, provenance=_PATH, is_provenance_right=True), OPEN, VERIFIED),),
    failing=(
        Case("Nothing", model(), CLOSED),
        Case("A statement", model(provenance=_PATH, is_provenance_right=True), PARTIAL),
        Case("One over other files", model(provenance=_PATH), CLOSED),
    ),
)
