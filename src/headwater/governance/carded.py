"""What the rules on cards have in common: which topics they must have words on, and how many."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.governance.facts import OPEN, PARTIAL, VERIFIED, Facts
from headwater.governance.ruling import Finding, nothing

LEAST_WORDS = 8  # on one topic
LEAST_IN_ALL = 100


def judge_card(facts: Facts, topics: Sequence[str]) -> Finding:
    """All topics and enough words: open. Some: partial. A title alone is no card."""
    if not facts.n_words:
        return nothing()
    missing = [topic for topic in topics if facts.sections.get(topic, 0) < LEAST_WORDS]
    words: dict[str, str | int] = {"n": facts.n_words, "missing": ", ".join(missing), "least": LEAST_IN_ALL}
    where, licence = [facts.at("README.md")], (facts.licence, facts.is_open_licence)
    if missing:
        return Finding(PARTIAL, VERIFIED, "missing", where, words, *licence)
    if facts.n_words < LEAST_IN_ALL:
        return Finding(PARTIAL, VERIFIED, "short", where, words, *licence)
    return Finding(OPEN, VERIFIED, "whole", where, words, *licence)


REASONS = {
    "whole": "It has words on each topic, {n} in all.",
    "missing": "It says nothing, or next to nothing, on: {missing}.",
    "short": "Words in all: {n}; fewer than {least} tell little.",
    "none": "There is no card.",
}
