"""Whether the licences along the lineage go together: the worst that the rules of ``licensing`` find."""

from datetime import date

from headwater import licensing
from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, CODE, DATASET, MODEL, OPEN, PARTIAL, UNKNOWN, VERIFIED, Facts
from headwater.governance.ruling import Case, Finding, Rule, not_known

_VALUES = {
    licensing.FITS: OPEN,
    licensing.DUTY: OPEN,
    licensing.UNCLEAR: PARTIAL,
    licensing.UNMET: PARTIAL,
    licensing.UNKNOWN: UNKNOWN,
    licensing.CONFLICT: CLOSED,
}


def judge(facts: Facts) -> Finding:
    if not facts.lineage:
        return not_known("none")
    words: dict[str, str | int] = {"chain": " → ".join(facts.lineage_chain), "clause": facts.lineage_clause}
    return Finding(_VALUES[facts.lineage], VERIFIED, facts.lineage, [facts.at("README.md")], words)


RULE = Rule(
    criterion="lineage_licences",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL, DATASET, CODE}),
    clause="Its licence gives no more than those of what it was made from, and keeps what they ask for.",
    sources=("The clause of each licence, as the lineage page quotes it.",),
    reasons={
        "fits": "Nothing above asks for anything.",
        "duty": "What is above asks for something to be done, which people have to see to.",
        "unclear": "Whether a condition from above binds it is an open question: {chain}; {clause}.",
        "unmet": "Something that is asked for from above is not there: {chain}; {clause}.",
        "unknown": "A licence on the way is not known or not checked: {chain}.",
        "conflict": "It gives more than it has: {chain}; {clause}.",
        "none": "It has not been looked at.",
    },
    judge=judge,
    passing=(
        Case("Nothing above", model(lineage="fits"), OPEN, VERIFIED),
        Case("Duties", model(lineage="duty"), OPEN),
    ),
    failing=(
        Case("A conflict", model(lineage="conflict", lineage_chain=("a", "b"), lineage_clause="x 1.b"), CLOSED),
        Case("An open question", model(lineage="unclear"), PARTIAL),
        Case("Not known", model(lineage="unknown"), UNKNOWN),
        Case("Not looked at", model(), UNKNOWN),
    ),
)
