"""How to run and change it, in words: instructions beside code that is there."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, CODE, MODEL, OPEN, PARTIAL, VERIFIED, Facts, Script
from headwater.governance.ruling import Case, Finding, Rule, nothing

LEAST_WORDS = 8


def judge(facts: Facts) -> Finding:
    n_words = max(facts.sections.get("use", 0), facts.sections.get("training", 0))
    if n_words < LEAST_WORDS:
        return nothing()
    where = [facts.at("README.md")]
    has_code = any(script.is_sound for script in facts.scripts) or any(
        each.is_here for each in facts.by_role("training", "inference", "evaluation", "preprocessing", "code")
    )
    if not has_code:
        return Finding(PARTIAL, VERIFIED, "words", where, {"n": n_words})
    if not facts.requirements and facts.kind == CODE:
        return Finding(PARTIAL, VERIFIED, "no_requirements", where, {"n": n_words})
    return Finding(OPEN, VERIFIED, "both", where, {"n": n_words}, facts.licence, facts.is_open_licence)


_SCRIPT = (Script("train.py", frozenset({"training"})),)

RULE = Rule(
    criterion="code_documentation",
    version=1,
    applies_from=date(2024, 6, 3),
    kinds=frozenset({MODEL, CODE}),
    clause="The card has words on how to use or train it, and the code they speak of is there.",
    sources=("European Open Source AI Index: code documentation",),
    reasons={
        "both": "Words on how to use it: {n}. The code is here.",
        "words": "Words on how to use it: {n}. No code of its own is here.",
        "no_requirements": "Words on how to use it: {n}. What it needs to run is not listed.",
        "none": "Nothing on how to use it.",
    },
    judge=judge,
    passing=(Case("Words and code", model(sections={"use": 60}, scripts=_SCRIPT), OPEN, VERIFIED),),
    failing=(
        Case("No words", model(scripts=_SCRIPT), CLOSED),
        Case("No code", model(sections={"use": 60}), PARTIAL),
        Case("A heading", model(sections={"use": 2}, scripts=_SCRIPT), CLOSED),
    ),
)
