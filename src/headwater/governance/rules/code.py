"""The code of a code repository: programs that can be read."""

from datetime import date

from headwater.governance.facts import CLOSED, CODE, OPEN, PARTIAL, VERIFIED, Facts, Script
from headwater.governance.ruling import Case, Finding, Rule, nothing


def judge(facts: Facts) -> Finding:
    sound = [script for script in facts.scripts if script.is_sound]
    if not facts.scripts:
        return nothing()
    where = [facts.at(script.path) for script in (sound or facts.scripts)[:5]]
    words: dict[str, str | int] = {"n": len(sound), "path": facts.scripts[0].path}
    licence = (facts.licence, facts.is_open_licence)
    if not sound:
        return Finding(CLOSED, VERIFIED, "broken", where, words)
    if not facts.is_open_licence:
        return Finding(PARTIAL, VERIFIED, "closed_licence", where, words, *licence)
    return Finding(OPEN, VERIFIED, "here", where, words, *licence)


def _code(**values: object) -> Facts:
    return Facts(CODE, "spaces/lab/c", "c" * 40, **values)  # type: ignore[arg-type]


_SCRIPT = (Script("app.py", frozenset({"inference"})),)

RULE = Rule(
    criterion="code",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({CODE}),
    clause="Its programs can be read, and are under an open licence.",
    sources=("MOF 1.0: code components", "OSAID 1.0: Code"),
    reasons={
        "here": "Programs: {n}, under an open licence.",
        "closed_licence": "Programs: {n}, under no open licence.",
        "broken": "{path} is no code that can be read.",
        "none": "There is no program.",
    },
    judge=judge,
    passing=(Case("Programs", _code(scripts=_SCRIPT, licence="mit", is_open_licence=True), OPEN, VERIFIED),),
    failing=(
        Case("None", _code(), CLOSED),
        Case("Under no licence", _code(scripts=_SCRIPT), PARTIAL),
        Case("Broken", _code(scripts=(Script("app.py", frozenset(), is_sound=False),)), CLOSED),
    ),
)
