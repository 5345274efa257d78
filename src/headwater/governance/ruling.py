"""What a rule of openness is: one criterion, one value, the evidence for it, and cases on both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from headwater.governance.facts import CLOSED, NONE, UNKNOWN, Evidence, Facts


@dataclass(frozen=True)
class Finding:
    """Args:
    value: open, partial, closed or unknown.
    basis: "verified": seen in contents; "declared": somebody says so, and contents cannot tell; "none" where there is nothing.
    reason: a key of this rule's texts; ``words`` go into it.
    licence: the licence that the thing found stands under, "" where none is known; ``is_open_licence`` of that.
    """

    value: str
    basis: str
    reason: str
    evidence: Sequence[Evidence] = ()
    words: Mapping[str, str | int] = field(default_factory=dict)
    licence: str = ""
    is_open_licence: bool = False


@dataclass(frozen=True)
class Case:
    """Facts, and the value that the rule gives them; ``basis`` too where it matters."""

    about: str
    facts: Facts
    value: str
    basis: str = ""


@dataclass(frozen=True)
class Rule:
    """One rule, one file.

    Args:
        criterion: what it judges; the rule's name. One rule a criterion.
        clause: what must hold, and where that is said.
        sources: the texts it is taken from.
        reasons: every reason it may give, in English; pages have the other languages by the same keys.
        passing: cases that are open; ``failing``: all others.
    """

    criterion: str
    version: int
    applies_from: date
    kinds: frozenset[str]
    clause: str
    sources: Sequence[str]
    reasons: Mapping[str, str]
    judge: Callable[[Facts], Finding]
    passing: Sequence[Case]
    failing: Sequence[Case]


def nothing(reason: str = "none") -> Finding:
    return Finding(CLOSED, NONE, reason)


def not_known(reason: str, **words: str | int) -> Finding:
    return Finding(UNKNOWN, NONE, reason, words=words)
