"""Where a data set's rows come from: sources that are named, and here; or words on them."""

from datetime import date

from headwater.governance.facts import CLOSED, DATASET, DECLARED, OPEN, PARTIAL, VERIFIED, Facts, Linked
from headwater.governance.ruling import Case, Finding, Rule, nothing

LEAST_WORDS = 8


def judge(facts: Facts) -> Finding:
    named = facts.by_role("source", "generator")
    if not named:
        n_words = facts.sections.get("source", 0)
        if n_words < LEAST_WORDS:
            return nothing()
        return Finding(PARTIAL, DECLARED, "words", [facts.at("README.md")], {"n": n_words})
    here = [each for each in named if each.is_here]
    if not here:
        return Finding(PARTIAL, DECLARED, "elsewhere", [facts.at("README.md")], {"name": named[0].name})
    where = [facts.at("README.md"), *(each.evidence for each in here[:10])]
    if len(here) < len(named):
        return Finding(PARTIAL, VERIFIED, "some", where, {"n": len(named), "here": len(here)})
    return Finding(OPEN, VERIFIED, "all", where, {"n": len(here)})


def _data(**values: object) -> Facts:
    return Facts(DATASET, "datasets/lab/d", "d" * 40, **values)  # type: ignore[arg-type]


_HERE = Linked("source", DATASET, "lab/raw", is_here=True, path="datasets/lab/raw", commit="e" * 40)
_AWAY = Linked("source", DATASET, "x/y")

RULE = Rule(
    criterion="data_sources",
    version=1,
    applies_from=date(2024, 10, 28),
    kinds=frozenset({DATASET}),
    clause="The sources of its rows are named, and are here.",
    sources=("OSAID 1.0: Data information (provenance, how obtained and selected)",),
    reasons={
        "all": "Every source that is named is here: {n}.",
        "some": "Of {n} sources that are named, {here} are here.",
        "elsewhere": "{name} is named, and is not here for everyone to see.",
        "words": "Words on where the rows come from: {n}. No source is named that can be followed.",
        "none": "Nothing says where the rows come from.",
    },
    judge=judge,
    passing=(Case("All here", _data(linked=(_HERE,)), OPEN, VERIFIED),),
    failing=(
        Case("Nothing", _data(), CLOSED),
        Case("In words", _data(sections={"source": 50}), PARTIAL, DECLARED),
        Case("Elsewhere", _data(linked=(_AWAY,)), PARTIAL, DECLARED),
        Case("One of two", _data(linked=(_HERE, _AWAY)), PARTIAL, VERIFIED),
    ),
)
