"""A technical report: a document that lies there, or the number of one that is published."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, DECLARED, MODEL, OPEN, VERIFIED, Facts
from headwater.governance.ruling import Case, Finding, Rule, nothing


def judge(facts: Facts) -> Finding:
    if facts.documents:
        words = {"path": facts.documents[0]}
        where = [facts.at(facts.documents[0])]
        return Finding(OPEN, VERIFIED, "here", where, words, facts.licence, facts.is_open_licence)
    if facts.papers:
        # Published for everyone; whether under an open licence its publisher says.
        return Finding(
            OPEN, DECLARED, "named", [facts.at("README.md")], {"name": facts.papers[0]}, "", is_open_licence=True
        )
    return nothing()


RULE = Rule(
    criterion="technical_report",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL}),
    clause="A report lies in the repository, or its card names one by a well-formed arXiv number or DOI.",
    sources=("MOF 1.0, class III: technical report", "European Open Source AI Index: preprint"),
    reasons={
        "here": "It lies here: {path}.",
        "named": "The card names {name}; whether that is about this model nobody has checked.",
        "none": "None lies here, and none is named.",
    },
    judge=judge,
    passing=(
        Case("It lies there", model(documents=("report.pdf",)), OPEN, VERIFIED),
        Case("It is named", model(papers=("arxiv:2502.02737",)), OPEN, DECLARED),
    ),
    failing=(
        Case("None", model(), CLOSED),
        Case("A card is no report", model(n_words=2000), CLOSED),
    ),
)
