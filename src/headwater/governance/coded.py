"""What the rules on code have in common: code of its own, or in a repository that it names at a commit, under an open licence."""

from __future__ import annotations

from collections.abc import Mapping

from headwater.governance.facts import DECLARED, MODEL, OPEN, PARTIAL, UNKNOWN, VERIFIED, Facts, Linked, Script
from headwater.governance.ruling import Case, Finding, nothing

REASONS: Mapping[str, str] = {
    "own": "It has code of its own for it: {path}.",
    "own_closed": "It has code of its own for it, under no open licence: {path}.",
    "broken": "{path} is named like it, but is no code that can be read.",
    "linked": "{name} has it, at a named commit, under an open licence.",
    "unpinned": "{name} has it, but no commit of it is named, so it may change.",
    "linked_closed": "{name} has it, under no open licence.",
    "no_entry": "{name} is named for it, but no program for it was found there.",
    "elsewhere": "{name} is named for it, and is not here for everyone to see.",
    "none": "Nothing of the kind was found.",
}


def judge_role(facts: Facts, role: str) -> Finding:
    """The best there is: its own code first, then what it names."""
    own = facts.doing(role)
    sound = [script for script in own if script.is_sound]
    if sound:
        value, reason = (OPEN, "own") if facts.is_open_licence else (PARTIAL, "own_closed")
        where = [facts.at(script.path) for script in sound[:5]]
        return Finding(value, VERIFIED, reason, where, {"path": sound[0].path}, facts.licence, facts.is_open_licence)
    found = [
        _of_linked(facts, each, role) for each in facts.by_role(role, "code") if role in each.roles or each.role == role
    ]
    if found:
        order = (OPEN, PARTIAL, UNKNOWN)
        return min(found, key=lambda each: order.index(each.value))
    if own:
        return Finding(PARTIAL, VERIFIED, "broken", [facts.at(own[0].path)], {"path": own[0].path})
    return nothing()


def _of_linked(facts: Facts, each: Linked, role: str) -> Finding:
    words = {"name": each.name}
    card = facts.at("README.md")
    if not each.is_here:
        return Finding(UNKNOWN, DECLARED, "elsewhere", [card], words)
    where = [card, each.evidence]
    if role not in each.roles:
        return Finding(PARTIAL, VERIFIED, "no_entry", where, words, each.licence, each.is_open_licence)
    if not each.is_open_licence:
        return Finding(PARTIAL, VERIFIED, "linked_closed", where, words, each.licence, each.is_open_licence)
    reason = "linked" if each.pinned else "unpinned"
    value = OPEN if each.pinned else PARTIAL
    return Finding(value, VERIFIED, reason, where, words, each.licence, each.is_open_licence)


def linked_code(role: str, **others: object) -> Linked:
    """For cases: a repository of code that does ``role``."""
    known = {"is_here": True, "commit": "c" * 40, "path": "spaces/lab/code", "pinned": "c" * 40, "licence": "mit"}
    values = {**known, "is_open_licence": True, "roles": frozenset({role}), **others}
    return Linked(role, "space", "lab/code", **values)  # type: ignore[arg-type]


def model(**values: object) -> Facts:
    """For cases: a model's facts."""
    return Facts(MODEL, "lab/m", "a" * 40, **values)  # type: ignore[arg-type]


def passing(role: str, path: str) -> tuple[Case, ...]:
    scripts = (Script(path, frozenset({role})),)
    return (
        Case(
            "Its own, under an open licence",
            model(scripts=scripts, licence="mit", is_open_licence=True),
            OPEN,
            VERIFIED,
        ),
        Case("In a repository named at a commit", model(linked=(linked_code(role),)), OPEN, VERIFIED),
    )


def failing(role: str, path: str) -> tuple[Case, ...]:
    return (
        Case("None at all", model(), "closed"),
        Case("Under no licence", model(scripts=(Script(path, frozenset({role})),)), PARTIAL),
        Case("It is no code", model(scripts=(Script(path, frozenset({role}), is_sound=False),)), PARTIAL),
        Case("At no commit", model(linked=(linked_code(role, pinned=""),)), PARTIAL),
        Case("Another kind of code", model(linked=(linked_code(role, roles=frozenset({"other"})),)), PARTIAL),
        Case("Not here", model(linked=(Linked(role, "space", "x/y"),)), UNKNOWN, DECLARED),
    )
