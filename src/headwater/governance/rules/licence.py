"""The licence: a text that is one that is known, unchanged, and the same that the card declares."""

from datetime import date

from headwater.governance.coded import model
from headwater.governance.facts import (
    CLOSED,
    CODE,
    DATASET,
    DECLARED,
    MODEL,
    OPEN,
    PARTIAL,
    UNKNOWN,
    VERIFIED,
    Evidence,
    Facts,
    LicenceText,
)
from headwater.governance.ruling import Case, Finding, Rule, nothing
from headwater.licensing import EXACT, same_licence

LEAST_CONTAINED = 0.9


def judge(facts: Facts) -> Finding:
    declared = list(facts.declared_licences)
    words: dict[str, str | int] = {"declared": ", ".join(declared)}
    card = facts.at("README.md")
    known = [text for text in facts.licence_texts if text.key]
    if not known:
        if facts.licence_texts:
            return Finding(UNKNOWN, VERIFIED, "unknown_text", [facts.at(facts.licence_texts[0].path)], words)
        if not declared:
            return nothing()
        value = PARTIAL if facts.licence else UNKNOWN
        reason = "declared" if facts.licence else "declared_unknown"
        return Finding(value, DECLARED, reason, [card], words, facts.licence, facts.is_open_licence)
    text = known[0]
    where = [_place(facts, text)]
    words |= {"path": text.path, "key": text.key, "percent": int(text.containment * 100), "beside": text.n_words_beside}
    licence = (text.key, facts.is_open_licence)
    if declared and not any(same_licence(one, each.key) for one in declared for each in known):
        return Finding(PARTIAL, VERIFIED, "differs", [*where, card], words, *licence)
    if text.kind != EXACT:
        reason = "modified" if text.containment >= LEAST_CONTAINED else "partial"
        return Finding(PARTIAL, VERIFIED, reason, where, words, *licence)
    if text.n_words_beside > 0 and len(known) == 1:
        return Finding(PARTIAL, VERIFIED, "beside", where, words, *licence)
    if not facts.is_open_licence:
        return Finding(PARTIAL, VERIFIED, "not_open", where, words, *licence)
    return Finding(OPEN, VERIFIED, "open", where, words, *licence)


def _place(facts: Facts, text: LicenceText) -> Evidence:
    start, end = text.changes[0] if text.changes else (None, None)
    return facts.at(text.path, start, end)


def _text(key: str = "mit", kind: str = EXACT, containment: float = 1.0, beside: int = 0) -> tuple[LicenceText, ...]:
    return (LicenceText("LICENSE", key, kind, containment, beside),)


_MIT = {"declared_licences": ("mit",), "licence": "mit", "is_open_licence": True}

RULE = Rule(
    criterion="licence",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL, DATASET, CODE}),
    clause="Its licence's text lies there unchanged, is the one that the card declares, and is open.",
    sources=(
        "MOF 1.0: each component under an open licence",
        "OSAID 1.0: terms",
        "European Open Source AI Index: licences",
    ),
    reasons={
        "open": "{path} is {key}, unchanged, as declared.",
        "not_open": "{path} is {key}, unchanged; that licence is not open.",
        "differs": "{path} is {key}, and the card declares {declared}.",
        "modified": "{path} is {key} with changes: {percent} percent of it is there.",
        "partial": "{path} is like {key}, of which {percent} percent is there.",
        "beside": "{path} is {key}, with {beside} other words beside it that a person should read.",
        "declared": "The card declares {declared}; its text is not there.",
        "declared_unknown": "The card declares {declared}, whose text is not known here.",
        "unknown_text": "There is a licence text, and it is none that is known here.",
        "none": "There is no licence.",
    },
    judge=judge,
    passing=(
        Case("Unchanged, as declared", model(licence_texts=_text(), **_MIT), OPEN, VERIFIED),
        Case("Nothing declared", model(licence_texts=_text(), licence="mit", is_open_licence=True), OPEN),
    ),
    failing=(
        Case("None", model(), CLOSED),
        Case("Declared alone", model(**_MIT), PARTIAL, DECLARED),
        Case("Declared, not known", model(declared_licences=("other",)), UNKNOWN, DECLARED),
        Case("Another than declared", model(licence_texts=_text("gpl-3.0"), **_MIT), PARTIAL, VERIFIED),
        Case("Changed", model(licence_texts=_text("mit", "modified", 0.93), **_MIT), PARTIAL),
        Case("More terms below it", model(licence_texts=_text(beside=40), **_MIT), PARTIAL),
        Case("Its own words", model(licence_texts=(LicenceText("LICENSE", "", "", 0.0),)), UNKNOWN),
        Case(
            "Known, and not open",
            model(licence_texts=_text("qwen-2024"), licence="qwen-2024", declared_licences=("qwen",)),
            PARTIAL,
        ),
    ),
)
