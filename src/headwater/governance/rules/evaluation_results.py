"""Results that programs can read: task, data set, metric and number. Only a run on this site makes them more than somebody's word."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, DECLARED, MODEL, OPEN, PARTIAL, VERIFIED, Evidence, Facts, Result
from headwater.governance.ruling import Case, Finding, Rule, nothing


def judge(facts: Facts) -> Finding:
    licence = (facts.licence, facts.is_open_licence)
    if facts.evaluations:
        words: dict[str, str | int] = {"n": len(facts.evaluations)}
        return Finding(OPEN, VERIFIED, "run", facts.evaluations, words, *licence)
    if not facts.results:
        return nothing()
    whole = [each for each in facts.results if each.is_whole]
    where = [facts.at(path) for path in dict.fromkeys(each.path for each in facts.results)][:5]
    if not whole:
        return Finding(PARTIAL, DECLARED, "partly", where, {}, *licence)
    return Finding(OPEN, DECLARED, "said", where, {"n": len(whole)}, *licence)


_HERE = Evidence("datasets/lab/results", "e" * 40)

RULE = Rule(
    criterion="evaluation_results",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL}),
    clause="There are results with task, data set, metric and number; verified where an evaluation on this site wrote them.",
    sources=("MOF 1.0, class III: evaluation results",),
    reasons={
        "run": "Evaluations on this site: {n}.",
        "said": "Results: {n}, as its owner gives them.",
        "partly": "Results are given, but not which task, data set or metric they are of.",
        "none": "No results that programs can read.",
    },
    judge=judge,
    passing=(
        Case("In its card", model(results=(Result("README.md", is_whole=True),)), OPEN, DECLARED),
        Case("By a run here", model(evaluations=(_HERE,)), OPEN, VERIFIED),
    ),
    failing=(
        Case("None", model(), CLOSED),
        Case("Numbers alone", model(results=(Result("README.md", is_whole=False),)), PARTIAL, DECLARED),
    ),
)
