"""What was found in a repository and in what it names: the only thing rules look at. No I/O.

All of it is seen as anybody on the internet sees it: a linked repository that is private counts as one that is not there, whoever may read it, and
what is found in a private repository itself counts as if it were shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

OPEN, PARTIAL, CLOSED, UNKNOWN = "open", "partial", "closed", "unknown"
VALUES = (OPEN, PARTIAL, CLOSED, UNKNOWN)
VERIFIED, DECLARED, NONE = "verified", "declared", "none"

MODEL, DATASET, CODE = "model", "dataset", "space"


@dataclass(frozen=True)
class Evidence:
    """Where it was seen: ``repository@commit:path``, and bytes from ``start`` to ``end`` of it where that says more."""

    repo: str  # as in addresses: "ns/name", "datasets/ns/name"
    commit: str
    path: str = ""
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class LicenceText:
    """A file that holds a licence. ``kind`` as in ``licensing``; ``changes`` are byte ranges that differ."""

    path: str
    key: str
    kind: str
    containment: float
    n_words_beside: int = 0
    changes: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True)
class Weights:
    """One file of weights, its head read. ``problem`` says why it cannot be; then the rest is nothing."""

    path: str
    format: str
    n_parameters: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Script:
    """A program or recipe; ``roles`` of "training", "inference", "evaluation", "preprocessing", "modelling"."""

    path: str
    roles: frozenset[str]
    is_sound: bool = True  # it parses


@dataclass(frozen=True)
class Linked:
    """A repository that this one names. Nothing but its name where it is not here for everyone to see.

    Args:
        role: "base", "data", "evaluation_data", "source", or for code what it does: "training", "inference", …
        pinned: the revision that was named with it, if it was.
        values: what its own evidence says, by criterion.
    """

    role: str
    kind: str
    name: str
    is_here: bool = False
    path: str = ""
    commit: str = ""
    pinned: str = ""
    is_gated: bool = False
    licence: str = ""
    is_open_licence: bool = False
    roles: frozenset[str] = frozenset()
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.path, self.commit)


@dataclass(frozen=True)
class Result:
    """One line of evaluation results in a card or file. ``is_whole``: task, data set, metric and number are all there."""

    path: str
    is_whole: bool


@dataclass(frozen=True)
class Facts:
    """Args:
    declared_licences: ids as the card says them.
    licence: the key of the licence it stands under: of its text, else of what the card says; "" where neither tells.
    sections: topics that the card has words on, with how many words: see ``reading.TOPICS``.
    mismatches: where weights and config disagree, in words.
    claimed_parameters: as the card says, smallest and largest number that its digits allow.
    checkpoints: names of revisions or folders with weights of their own and a step in the name.
    """

    kind: str
    path: str
    commit: str
    is_gated: bool = False
    declared_licences: Sequence[str] = ()
    licence: str = ""
    is_open_licence: bool = False
    licence_texts: Sequence[LicenceText] = ()
    n_words: int = 0
    sections: Mapping[str, int] = field(default_factory=dict)
    weights: Sequence[Weights] = ()
    mismatches: Sequence[str] = ()
    is_matched: bool = False  # a config was there to compare with
    has_opaque_weights: bool = False
    claimed_parameters: Sequence[tuple[int, int]] = ()
    model_type: str = ""
    is_known_architecture: bool = False
    scripts: Sequence[Script] = ()
    data_files: Sequence[str] = ()
    unreadable_data: Sequence[str] = ()
    linked: Sequence[Linked] = ()
    checkpoints: Sequence[str] = ()
    results: Sequence[Result] = ()
    evaluations: Sequence[Evidence] = ()  # results that runs of this site wrote
    papers: Sequence[str] = ()  # arxiv:…, doi:…
    documents: Sequence[str] = ()  # reports that lie here
    samples: Sequence[str] = ()
    requirements: Sequence[str] = ()
    has_tokenizer: bool = False
    hardware: str = ""  # "provenance", "card" or ""
    provenance: str = ""  # path of a statement
    is_provenance_right: bool = False
    is_reproduced: bool = False
    lineage: str = ""  # worst outcome along it
    lineage_chain: Sequence[str] = ()
    lineage_clause: str = ""

    @property
    def n_parameters(self) -> int:
        return sum(each.n_parameters for each in self.weights if not each.problem)

    def at(self, path: str = "", start: int | None = None, end: int | None = None) -> Evidence:
        return Evidence(self.path, self.commit, path, start, end)

    def by_role(self, *roles: str) -> list[Linked]:
        return [each for each in self.linked if each.role in roles]

    def doing(self, role: str) -> list[Script]:
        return [each for each in self.scripts if role in each.roles]
