"""The final parameters: files that can be read, that agree with the config and the card, for everyone to take."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import CLOSED, MODEL, OPEN, PARTIAL, UNKNOWN, VERIFIED, Facts, Weights
from headwater.governance.ruling import Case, Finding, Rule, nothing


def judge(facts: Facts) -> Finding:
    sound = [each for each in facts.weights if not each.problem]
    broken = [each for each in facts.weights if each.problem]
    licence = {"licence": facts.licence, "is_open_licence": facts.is_open_licence}
    if not facts.weights:
        if facts.has_opaque_weights:
            return Finding(UNKNOWN, VERIFIED, "opaque", [facts.at()], **licence)  # type: ignore[arg-type]
        return nothing()
    if broken:
        wrong = {"path": broken[0].path, "why": broken[0].problem}
        value = PARTIAL if sound else CLOSED
        return Finding(value, VERIFIED, "broken", [facts.at(each.path) for each in broken[:5]], wrong)
    where = [facts.at(each.path) for each in sound[:10]]
    words: dict[str, str | int] = {"n": facts.n_parameters, "files": len(sound)}
    if facts.mismatches:
        words = {"why": facts.mismatches[0]}
        return Finding(PARTIAL, VERIFIED, "mismatch", [facts.at("config.json"), *where], words, **licence)  # type: ignore[arg-type]
    if facts.claimed_parameters and not any(
        low <= facts.n_parameters <= high for low, high in facts.claimed_parameters
    ):
        return Finding(PARTIAL, VERIFIED, "claim", [facts.at("README.md"), *where], words, **licence)  # type: ignore[arg-type]
    if facts.is_gated:
        return Finding(PARTIAL, VERIFIED, "gated", where, words, **licence)  # type: ignore[arg-type]
    return Finding(OPEN, VERIFIED, "whole" if facts.is_matched else "read", where, words, **licence)  # type: ignore[arg-type]


_FILE = Weights("model.safetensors", "safetensors", 134_000_000)

RULE = Rule(
    criterion="weights",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL}),
    clause="The final weights can be read by everyone, agree with the config, and have as many parameters as the card says.",
    sources=(
        "MOF 1.0, class III: final model parameters",
        "OSAID 1.0: Parameters",
        "European Open Source AI Index: end-model weights (what is gated is partial)",
    ),
    reasons={
        "whole": "Files read: {files}. Parameters: {n}, as the config says.",
        "read": "Files read: {files}. Parameters: {n}; there is no config to compare them with.",
        "gated": "Files read: {files}. Parameters: {n}. One has to ask before taking them.",
        "mismatch": "They do not agree with the config: {why}.",
        "claim": "They have {n} parameters, and the card says otherwise.",
        "broken": "{path} cannot be read: {why}",
        "opaque": "There are weights in a format whose contents are not read here.",
        "none": "There are no weights.",
    },
    judge=judge,
    passing=(
        Case("They agree with the config", model(weights=(_FILE,), is_matched=True), OPEN, VERIFIED),
        Case(
            "The card's number, rounded",
            model(weights=(_FILE,), claimed_parameters=((133_500_000, 134_499_999),)),
            OPEN,
        ),
    ),
    failing=(
        Case("None", model(), CLOSED),
        Case("One has to ask", model(weights=(_FILE,), is_gated=True), PARTIAL),
        Case("Another shape", model(weights=(_FILE,), mismatches=("12 layers, not 30",)), PARTIAL),
        Case("Another number", model(weights=(_FILE,), claimed_parameters=((7 * 10**9, 8 * 10**9),)), PARTIAL),
        Case("Damaged", model(weights=(Weights("w.safetensors", "safetensors", 0, "it is cut off"),)), CLOSED),
        Case("A pickle", model(has_opaque_weights=True), UNKNOWN),
    ),
)
