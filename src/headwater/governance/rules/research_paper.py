"""A peer-reviewed paper. A number alone does not tell who reviewed it: a DOI that is not arXiv's own is left to people."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, DECLARED, MODEL, PARTIAL, UNKNOWN, Facts
from headwater.governance.ruling import Case, Finding, Rule, nothing


def judge(facts: Facts) -> Finding:
    reviewed = [each for each in facts.papers if each.startswith("doi:") and "10.48550" not in each]
    where = [facts.at("README.md")]
    if reviewed:
        return Finding(UNKNOWN, DECLARED, "doi", where, {"name": reviewed[0]}, "", is_open_licence=True)
    if facts.papers:
        return Finding(PARTIAL, DECLARED, "preprint", where, {"name": facts.papers[0]}, "", is_open_licence=True)
    return nothing()


RULE = Rule(
    criterion="research_paper",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL}),
    clause="A peer-reviewed paper describes it. A machine finds its number; that it was reviewed, a person says.",
    sources=("MOF 1.0, class I: research paper", "European Open Source AI Index: peer-reviewed paper"),
    reasons={
        "doi": "The card names {name}; whether it was reviewed, a person has to say.",
        "preprint": "The card names {name}, which is a preprint.",
        "none": "No paper is named.",
    },
    judge=judge,
    passing=(),  # no machine can say so
    failing=(
        Case("None", model(), CLOSED),
        Case("A preprint", model(papers=("arxiv:2502.02737",)), PARTIAL, DECLARED),
        Case("A publisher's DOI", model(papers=("doi:10.1145/3442188.3445922",)), UNKNOWN, DECLARED),
        Case("arXiv's own DOI", model(papers=("doi:10.48550/arXiv.2502.02737",)), PARTIAL),
    ),
)
