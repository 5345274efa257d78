"""What packages above the hub add to a repository's pages and to lists: tabs, sections, and the grade of openness.

Each adds its own in its ``install``; where none is added, pages look as they did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from headwater.db import Tx
from headwater.hub.models import RepoKind, Repository
from headwater.kernel import Actor, RepoId


@dataclass(frozen=True)
class MoreTab:
    """A tab between the history and the record. ``view`` is the last part of its address and its name in ``Head.tab``; ``text`` its words."""

    view: str
    text: str
    kinds: frozenset[RepoKind] = frozenset(RepoKind)


@dataclass(frozen=True)
class Grade:
    """Of openness, in short. ``label`` is said as it is; ``note`` is a text's key with ``values``; ``tone`` "good", "warn" or "unknown"."""

    label: str
    note: str
    tone: str = ""


@dataclass(frozen=True)
class Section:
    """What stands beside a card, on the repository's first page: ``template`` prints what ``load`` gives, as ``section``.

    ``load`` asks a constant number of queries; where it gives None, nothing is shown.
    """

    template: str
    load: Callable[[Tx, Actor, Repository], object | None]
    kinds: frozenset[RepoKind] = frozenset(RepoKind)


@dataclass(frozen=True)
class Made:
    """What made the files: ``text`` is a text's key with ``values``, and leads to ``href``."""

    text: str
    values: Mapping[str, int]
    href: str


Grades = Callable[[Tx, Collection[RepoId]], Mapping[RepoId, Grade]]
Makers = Callable[[Tx, Actor, Repository], Made | None]

MORE_TABS: list[MoreTab] = []
GRADES: list[Grades] = []
SECTIONS: list[Section] = []
MAKERS: list[Makers] = []


def add_tab(tab: MoreTab) -> None:
    if tab not in MORE_TABS:
        MORE_TABS.append(tab)


def add_section(section: Section) -> None:
    if section not in SECTIONS:
        SECTIONS.append(section)


def sections_of(tx: Tx, actor: Actor, repo: Repository) -> tuple[tuple[str, object], ...]:
    """Template and data of each that has something to say."""
    mine = [(each.template, each.load(tx, actor, repo)) for each in SECTIONS if repo.kind in each.kinds]
    return tuple((template, data) for template, data in mine if data is not None)


def add_grades(find: Grades) -> None:
    """``find`` gives the grades of repositories that the reader may see, many in one query."""
    if find not in GRADES:
        GRADES.append(find)


def grades_of(tx: Tx, repo_ids: Collection[RepoId]) -> dict[RepoId, Grade]:
    found: dict[RepoId, Grade] = {}
    for find in GRADES:
        if repo_ids:
            found.update(find(tx, repo_ids))
    return found


def add_maker(find: Makers) -> None:
    """``find`` says what made a repository's files, to a reader who may see it: the strip's fourth fact."""
    if find not in MAKERS:
        MAKERS.append(find)


def made_by(tx: Tx, actor: Actor, repo: Repository) -> Made | None:
    return next((found for find in MAKERS if (found := find(tx, actor, repo)) is not None), None)
