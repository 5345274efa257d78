"""What the rules on data have in common: data sets that a card names, each here or not, with rows, a licence and a card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headwater.governance.facts import CLOSED, DECLARED, OPEN, PARTIAL, UNKNOWN, VERIFIED, Facts, Linked
from headwater.governance.ruling import Finding, nothing

REASONS: Mapping[str, str] = {
    "all": "Every data set that is named ({n}) is here, with rows for everyone to read and an open licence.",
    "closed_licence": "{name} is here, but under no open licence that was found.",
    "gated": "{name} is here, but one has to ask before reading it.",
    "no_rows": "{name} is here, but no rows of it could be read.",
    "some": "Of {n} data sets that are named, {here} are here; {name} is not.",
    "elsewhere": "{name} is named, and is not here for everyone to see.",
    "none": "No data set is named.",
}


def judge_data(facts: Facts, named: Sequence[Linked]) -> Finding:
    """The worst of them decides: data of which a part is missing is not there."""
    if not named:
        return nothing()
    card = facts.at("README.md")
    here = [each for each in named if each.is_here]
    words: dict[str, str | int] = {"n": len(named), "here": len(here)}
    if not here:
        return Finding(UNKNOWN, DECLARED, "elsewhere", [card], {**words, "name": named[0].name})
    where = [card, *(each.evidence for each in here[:10])]
    licences = {each.licence for each in here}
    licence = here[0].licence if len(licences) == 1 else ""
    are_open = all(each.is_open_licence for each in here)
    for reason, wrong in (
        ("no_rows", [each for each in here if each.values.get("data") == CLOSED]),
        ("gated", [each for each in here if each.is_gated]),
        ("some", [each for each in named if not each.is_here]),
        ("closed_licence", [each for each in here if not each.is_open_licence]),
    ):
        if wrong:
            return Finding(PARTIAL, VERIFIED, reason, where, {**words, "name": wrong[0].name}, licence, are_open)
    return Finding(OPEN, VERIFIED, "all", where, words, licence, are_open)


def dataset(role: str = "data", **others: object) -> Linked:
    """For cases: a data set that is here in full."""
    known = {"is_here": True, "commit": "d" * 40, "path": "datasets/lab/d", "licence": "cc-by-4.0"}
    values = {"data": OPEN, "data_card": OPEN}
    given = {**known, "is_open_licence": True, "values": values, **others}
    return Linked(role, "dataset", "lab/d", **given)  # type: ignore[arg-type]
