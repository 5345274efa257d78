"""The data card: of a data set its own; of a model those of the data sets it names."""

from datetime import date

from headwater.governance.carded import REASONS, judge_card
from headwater.governance.coded import model
from headwater.governance.facts import (
    CLOSED,
    DATASET,
    DECLARED,
    MODEL,
    OPEN,
    PARTIAL,
    UNKNOWN,
    VERIFIED,
    Facts,
    Linked,
)
from headwater.governance.named import dataset
from headwater.governance.ruling import Case, Finding, Rule, nothing

TOPICS = ("source", "processing", "structure", "limits")


def judge(facts: Facts) -> Finding:
    if facts.kind == DATASET:
        return judge_card(facts, TOPICS)
    named = facts.by_role("data")
    if not named:
        return nothing("no_data")
    here = [each for each in named if each.is_here]
    card = facts.at("README.md")
    if not here:
        return Finding(UNKNOWN, DECLARED, "elsewhere", [card], {"name": named[0].name})
    where = [card, *(each.evidence for each in here[:10])]
    # As documents they stand under their own licences.
    are_open = all(each.is_open_licence for each in here)
    lacking = [each for each in named if each.values.get("data_card") != OPEN]
    if lacking:
        some = any(each.values.get("data_card") in (OPEN, PARTIAL) for each in here)
        return Finding(PARTIAL if some else CLOSED, VERIFIED, "lacking", where, {"name": lacking[0].name}, "", are_open)
    return Finding(OPEN, VERIFIED, "all", where, {"n": len(here)}, here[0].licence, are_open)


def _data(**values: object) -> Facts:
    return Facts(DATASET, "datasets/lab/d", "d" * 40, **values)  # type: ignore[arg-type]


_ALL = dict.fromkeys(TOPICS, 30)

RULE = Rule(
    criterion="data_card",
    version=1,
    applies_from=date(2024, 4, 17),
    kinds=frozenset({MODEL, DATASET}),
    clause="The data's card has words on source, processing, structure and limits, at least 100 in all.",
    sources=(
        "MOF 1.0, class III: data card",
        "OSAID 1.0: Data information",
        "European Open Source AI Index: datasheet",
        "Gebru et al. 2021, Datasheets for Datasets, arXiv:1803.09010",
    ),
    reasons={
        **REASONS,
        "all": "Every data set that is named ({n}) has a whole card.",
        "lacking": "{name} has no card, or one that leaves much out.",
        "elsewhere": "{name} is named, and is not here for everyone to see.",
        "no_data": "No data set is named.",
    },
    judge=judge,
    passing=(
        Case("A data set's own", _data(n_words=200, sections=_ALL), OPEN, VERIFIED),
        Case("That of a model's data", model(linked=(dataset(),)), OPEN, VERIFIED),
    ),
    failing=(
        Case("No data named", model(), CLOSED),
        Case("Not here", model(linked=(Linked("data", DATASET, "x/y"),)), UNKNOWN),
        Case("Half a card", model(linked=(dataset(values={"data_card": PARTIAL}),)), PARTIAL),
        Case("No card", model(linked=(dataset(values={"data_card": CLOSED}),)), CLOSED),
        Case("Nothing on sources", _data(n_words=200, sections={**_ALL, "source": 2}), PARTIAL),
    ),
)
