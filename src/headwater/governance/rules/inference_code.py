"""The code it answers with. Where its own is missing, a loader that knows the architecture runs it: that is half of it."""

from datetime import date

from headwater.governance.coded import REASONS, failing, judge_role, model, passing
from headwater.governance.facts import CLOSED, MODEL, PARTIAL, VERIFIED, Facts, Weights
from headwater.governance.ruling import Case, Finding, Rule


def judge(facts: Facts) -> Finding:
    found = judge_role(facts, "inference")
    if found.value == CLOSED and facts.is_known_architecture and facts.weights:
        where = [facts.at("config.json")] if facts.model_type else [facts.at(facts.weights[0].path)]
        return Finding(PARTIAL, VERIFIED, "library", where, {"name": facts.model_type or facts.weights[0].format})
    return found


_WEIGHTS = (Weights("model.safetensors", "safetensors", 100),)

RULE = Rule(
    criterion="inference_code",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL}),
    clause="Code that runs it is there in full, at a commit, under an open licence.",
    sources=("MOF 1.0, class II: inference code", "OSAID 1.0: Code"),
    reasons={**REASONS, "library": "Open libraries know its architecture ({name}); no code of its own is there."},
    judge=judge,
    passing=passing("inference", "generate.py"),
    failing=(
        *failing("inference", "generate.py"),
        Case(
            "A library knows it",
            model(weights=_WEIGHTS, model_type="llama", is_known_architecture=True),
            PARTIAL,
            VERIFIED,
        ),
    ),
)
