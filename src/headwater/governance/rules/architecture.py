"""The architecture: a name that open libraries know, or modelling code that lies there."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, MODEL, OPEN, PARTIAL, UNKNOWN, VERIFIED, Facts, Script
from headwater.governance.ruling import Case, Finding, Rule, nothing


def judge(facts: Facts) -> Finding:
    licence = {"licence": facts.licence, "is_open_licence": facts.is_open_licence}
    if facts.is_known_architecture:
        name = facts.model_type or "GGUF"
        path = "config.json" if facts.model_type else facts.weights[0].path if facts.weights else ""
        return Finding(OPEN, VERIFIED, "known", [facts.at(path)], {"name": name}, "apache-2.0", is_open_licence=True)
    own = [script for script in facts.doing("modelling") if script.is_sound]
    if own:
        value, reason = (OPEN, "own") if facts.is_open_licence else (PARTIAL, "own_closed")
        return Finding(value, VERIFIED, reason, [facts.at(own[0].path)], {"path": own[0].path}, **licence)  # type: ignore[arg-type]
    if facts.model_type:
        return Finding(UNKNOWN, VERIFIED, "unknown_name", [facts.at("config.json")], {"name": facts.model_type})
    return nothing()


_CODE = (Script("modeling_x.py", frozenset({"modelling"})),)

RULE = Rule(
    criterion="architecture",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL}),
    clause="Its architecture is one that open libraries know, or its code lies in the repository under an open licence.",
    sources=("MOF 1.0, class III: model architecture", "OSAID 1.0: Code (architecture)"),
    reasons={
        "known": "{name} is known to open libraries.",
        "own": "Its code lies here: {path}.",
        "own_closed": "Its code lies here, under no open licence: {path}.",
        "unknown_name": "The config calls it {name}, which no library known here has, and its code is not here.",
        "none": "Nothing says what its architecture is.",
    },
    judge=judge,
    passing=(
        Case("A known name", model(model_type="llama", is_known_architecture=True), OPEN, VERIFIED),
        Case("Its own code", model(model_type="mine", scripts=_CODE, is_open_licence=True, licence="mit"), OPEN),
    ),
    failing=(
        Case("Nothing", model(), CLOSED),
        Case("A name nobody knows", model(model_type="mine"), UNKNOWN),
        Case("Its own code under no licence", model(model_type="mine", scripts=_CODE), PARTIAL),
    ),
)
