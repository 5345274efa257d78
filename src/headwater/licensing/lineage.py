"""What follows along a lineage: conditions travel from what a thing was made of to what is made of it.

Three ways lead from a thing to what was made of it. *derived*: its weights or rows were taken over (fine-tuned, merged, converted). *data*: it was
trained on. *outputs*: what it answered was. Conditions that came by data or outputs never make a conflict here, only a duty or an open question,
since what they bind is unsettled. A verdict names the chain and the clause, and leaves the conclusion to people.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from headwater.licensing.obligations import Condition, Terms, terms_of

DERIVED, DATA, OUTPUTS = "derived", "data", "outputs"

# The worst first.
CONFLICT, UNMET, UNKNOWN, UNCLEAR, DUTY, FITS = "conflict", "unmet", "unknown", "unclear", "duty", "fits"
OUTCOMES = (CONFLICT, UNMET, UNKNOWN, UNCLEAR, DUTY, FITS)

LONGEST_CHAIN = 50


@dataclass(frozen=True)
class Node:
    """One thing under licences; several are a choice.

    Args:
        id: as chains name it.
        name: as its owner calls it, without the namespace.
        licences: keys of the licences it is under; none where it says none, or one whose text nobody has here.
        declared: what its card says, for people.
        texts: licences whose text lies in it; None where nobody has looked.
        shows: credits that it shows (values of conditions); None where nobody has looked.
    """

    id: str
    name: str
    licences: Sequence[str] = ()
    declared: str = ""
    texts: frozenset[str] | None = None
    shows: frozenset[str] | None = None


class Edge(NamedTuple):
    """``child`` was made of ``parent``, in one of the three ways."""

    child: str
    parent: str
    way: str = DERIVED


@dataclass(frozen=True)
class Inherited:
    """A licence of something further up. ``chain`` leads from there to the node itself, both included; ``licence`` is "" where none is known."""

    way: str
    licence: str
    origin: str
    chain: Sequence[str]

    @property
    def terms(self) -> Terms:
        return terms_of(self.licence)


@dataclass(frozen=True)
class Verdict:
    """One rule's word on one node."""

    rule: str
    outcome: str
    what: str
    licence: str
    clause: str
    quote: str
    chain: Sequence[str]
    value: str = ""


@dataclass(frozen=True)
class Standing:
    """A node with all that came down to it: what rules look at."""

    node: Node
    inherited: Sequence[Inherited]
    is_circular: bool = False

    @property
    def own(self) -> list[Terms]:
        return [terms_of(key) for key in self.node.licences]

    @property
    def is_own_known(self) -> bool:
        """Whether it is under a licence whose conditions somebody has checked."""
        return any(terms.is_checked for terms in self.own)

    def by(self, *ways: str) -> list[Inherited]:
        return [each for each in self.inherited if each.way in ways and each.licence]

    def conditions(self, what: Sequence[str], *ways: str) -> Iterator[tuple[Inherited, Condition]]:
        for each in self.by(*ways):
            for condition in each.terms.having(*what):
                yield each, condition


def verdict(rule: str, outcome: str, inherited: Inherited, condition: Condition) -> Verdict:
    return Verdict(
        rule,
        outcome,
        condition.what,
        inherited.licence,
        condition.clause,
        condition.quote,
        inherited.chain,
        condition.value,
    )


@dataclass
class _Seen:
    """What has come down to a node so far: by (way, licence) the origin, and the parent that it came through."""

    through: dict[tuple[str, str], tuple[str, str, str]] = field(default_factory=dict)


class Lineage:
    """A graph of things. Edges to things that are not among ``nodes`` are left out: who may not see them gets no trace of them."""

    def __init__(self, nodes: Iterable[Node], edges: Iterable[Edge]) -> None:
        self.nodes: Mapping[str, Node] = {node.id: node for node in nodes}
        self.parents: dict[str, list[Edge]] = {name: [] for name in self.nodes}
        self.children: dict[str, list[Edge]] = {name: [] for name in self.nodes}
        for edge in dict.fromkeys(edges):
            if edge.child in self.nodes and edge.parent in self.nodes:
                self.parents[edge.child].append(edge)
                self.children[edge.parent].append(edge)
        self._seen = {name: _Seen() for name in self.nodes}
        self.circular: set[str] = set()
        self._flow()

    def _flow(self) -> None:
        """Each condition once down each edge: parents before children, and what stands in a circle as it comes."""
        waiting = {name: sum(edge.parent != name for edge in edges) for name, edges in self.parents.items()}
        ready = deque(name for name, count in waiting.items() if not count)
        done: set[str] = set()
        while ready:
            name = ready.popleft()
            done.add(name)
            self._inherit(name)
            for edge in self.children[name]:
                if edge.child != name:
                    waiting[edge.child] -= 1
                    if not waiting[edge.child]:
                        ready.append(edge.child)
        left = [name for name in self.nodes if name not in done]
        self.circular = self._in_circles(left)
        queue, queued = deque(left), set(left)
        while queue:
            name = queue.popleft()
            queued.discard(name)
            if self._inherit(name):
                for edge in self.children[name]:
                    if edge.child not in queued:
                        queue.append(edge.child)
                        queued.add(edge.child)

    def _in_circles(self, left: Sequence[str]) -> set[str]:
        """Of those that wait for each other, the ones that do not merely stand below a circle."""
        inside = set(left)
        waits = {name: sum(edge.child in inside for edge in self.children[name]) for name in left}
        ready = deque(name for name in left if not waits[name])
        while ready:
            name = ready.popleft()
            inside.discard(name)
            for edge in self.parents[name]:
                if edge.parent in inside:
                    waits[edge.parent] -= 1
                    if not waits[edge.parent]:
                        ready.append(edge.parent)
        return inside

    def _inherit(self, name: str) -> bool:
        mine, grew = self._seen[name].through, False
        for edge in self.parents[name]:
            parent = self.nodes[edge.parent]
            if edge.parent == name:
                continue
            for licence in parent.licences or ("",):
                if (edge.way, licence) not in mine:
                    mine[edge.way, licence] = (edge.parent, edge.parent, "")
                    grew = True
            for (way, licence), (origin, _, _) in self._seen[edge.parent].through.items():
                key = (_along(edge.way, way), licence)
                if key not in mine and origin != name:
                    mine[key] = (origin, edge.parent, way)
                    grew = True
        return grew

    def standing(self, name: str) -> Standing:
        found = []
        for (way, licence), (origin, _, _) in self._seen[name].through.items():
            found.append(Inherited(way, licence, origin, self._chain(name, way, licence)))
        return Standing(self.nodes[name], found, is_circular=name in self.circular)

    def _chain(self, name: str, way: str, licence: str) -> tuple[str, ...]:
        chain = [name]
        while len(chain) < LONGEST_CHAIN:
            origin, through, before = self._seen[chain[-1]].through[way, licence]
            chain.append(through)
            if through == origin and not before:
                break
            way = before
        return tuple(reversed(chain))

    def judge(self, name: str) -> list[Verdict]:
        """Every rule's word on one thing, the worst first."""
        from headwater.licensing.rules import ALL

        standing = self.standing(name)
        found = [each for rule in ALL for each in rule.judge(standing)]
        return sorted(found, key=lambda each: (OUTCOMES.index(each.outcome), each.rule, each.licence, each.what))


def _along(edge: str, way: str) -> str:
    """How something that a parent has by ``way`` comes to the child by an edge."""
    if OUTPUTS in (edge, way):
        return OUTPUTS
    return DATA if DATA in (edge, way) else DERIVED


def worst(verdicts: Iterable[Verdict]) -> str:
    """What to say in one word."""
    found = {each.outcome for each in verdicts}
    return next((outcome for outcome in OUTCOMES if outcome in found), FITS)
