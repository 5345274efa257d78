"""What a rule of licensing is, and how its cases are written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from headwater.licensing.lineage import DATA, DERIVED, OUTPUTS, Edge, Lineage, Node, Standing, Verdict


@dataclass(frozen=True)
class Case:
    """A small lineage, and the outcomes the rule finds at its last thing; none for a case that passes."""

    about: str
    lineage: Lineage
    at: str
    finds: Sequence[str] = ()


@dataclass(frozen=True)
class Rule:
    """One rule, one file.

    Args:
        says: what is wrong where it finds something, in one sentence.
        source: whose text it stands on.
        applies_from: things published before that day were under another reading.
    """

    id: str
    version: int
    applies_from: date
    says: str
    source: str
    judge: Callable[[Standing], Iterable[Verdict]]
    passing: Sequence[Case]
    failing: Sequence[Case]


def thing(
    name: str,
    *licences: str,
    texts: Iterable[str] | None = None,
    shows: Iterable[str] | None = None,
) -> Node:
    return Node(
        name,
        name,
        licences,
        " ".join(licences),
        None if texts is None else frozenset(texts),
        None if shows is None else frozenset(shows),
    )


def case(about: str, *things: Node, finds: Sequence[str] = (), ways: str = "") -> Case:
    """Each thing is made of the one before it; ``ways`` has one letter a step: (d)erived, trained on d(a)ta, on (o)utputs."""
    letters = {"d": DERIVED, "a": DATA, "o": OUTPUTS}
    steps = ways or "d" * (len(things) - 1)
    edges = [
        Edge(child.id, parent.id, letters[step]) for parent, child, step in zip(things, things[1:], steps, strict=False)
    ]
    return Case(about, Lineage(things, edges), things[-1].id, finds)
