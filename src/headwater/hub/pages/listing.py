"""Lists of models, datasets, code and apps: filters as links with counts, sorts, dense rows, all kept in the address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts, web
from headwater.accounts import Account
from headwater.db import Tx
from headwater.hub import search
from headwater.hub.models import RepoKind
from headwater.hub.pages import addresses, marks
from headwater.hub.pages.head import licence_of
from headwater.hub.search import Count, FacetValue, Listed, Query, Sort
from headwater.kernel import Actor
from headwater.web import shell

PER_PAGE = 30
# Sizes people ask for, by the number of parameters: label, from, below.
SIZES: tuple[tuple[str, int | None, int | None], ...] = (
    ("<100M", None, 100_000_000),
    ("100M–1B", 100_000_000, 1_000_000_000),
    ("1B–10B", 1_000_000_000, 10_000_000_000),
    ("10B–100B", 10_000_000_000, 100_000_000_000),
    (">100B", 100_000_000_000, None),
)
SORTS = (Sort.TRENDING, Sort.MODIFIED, Sort.CREATED, Sort.DOWNLOADS, Sort.LIKES)


@dataclass(frozen=True)
class Row:
    """One repository in a list."""

    name: str
    namespace: str
    href: str
    task: str | None
    task_href: str
    licence: str | None
    n_parameters: int | None
    size_bytes: int | None
    n_downloads: int
    n_likes: int
    updated_at: datetime
    is_private: bool
    is_gated: bool
    kind: RepoKind
    grade: marks.Grade | None = None


@dataclass(frozen=True)
class Choice:
    """One filter value; following ``href`` sets it, or takes it away when it ``is_on``."""

    label: str
    href: str
    count: Count | None
    is_on: bool


@dataclass(frozen=True)
class Group:
    """``name`` is a text's key: group.task, group.license, …"""

    name: str
    choices: Sequence[Choice]


@dataclass(frozen=True)
class SortChoice:
    name: str
    href: str
    is_on: bool


@dataclass(frozen=True)
class ListPage:
    kind: RepoKind
    text: str
    author: str | None
    total: Count
    rows: Sequence[Row]
    groups: Sequence[Group]
    on: Sequence[Choice]
    sorts: Sequence[SortChoice]
    clear_href: str
    next_href: str | None
    is_first_page: bool
    first_href: str
    may_create: bool
    has_filters: bool
    hidden: Sequence[tuple[str, str]]  # what the search field sends along
    elsewhere: Sequence[tuple[RepoKind, Count, str]]  # the same words among the other kinds
    owners: Sequence[Account]  # people and organisations whose names begin with the text


@dataclass(frozen=True)
class Wanted:
    """A list's address, taken apart."""

    kind: RepoKind
    text: str
    author: str | None
    tags: tuple[str, ...]
    size: str
    sort: Sort | None
    cursor: str | None

    def href(self) -> str:
        pairs = [("search", self.text)] if self.text else []
        pairs += [("author", self.author)] if self.author else []
        pairs += [("filter", tag) for tag in self.tags]
        pairs += [("size", self.size)] if self.size else []
        pairs += [("sort", self.sort.value)] if self.sort is not None else []
        pairs += [("cursor", self.cursor)] if self.cursor else []
        return f"/{self.kind.plural}?{urlencode(pairs)}" if pairs else f"/{self.kind.plural}"

    def query(self) -> Query:
        low, high = next(((low, high) for label, low, high in SIZES if label == self.size), (None, None))
        return Query(
            kind=self.kind,
            text=self.text,
            author=self.author,
            tags=self.tags,
            min_parameters=low,
            max_parameters=high,
            sort=self.sort,
            limit=PER_PAGE,
            cursor=self.cursor,
        )

    def first(self) -> Wanted:
        return replace(self, cursor=None)


def wanted_of(request: Request, kind: RepoKind) -> Wanted:
    """What an address asks for; values that no list knows are left out."""
    query = request.query_params
    tags = [tag for value in query.getlist("filter") for tag in value.split(",") if tag]
    tags += [f"{key}:{query[key]}" for key in ("pipeline_tag", "library", "license", "language") if query.get(key)]
    sort = next((each for each in Sort if each.value == query.get("sort")), None)
    size = query.get("size", "")
    return Wanted(
        kind=kind,
        text=query.get("search", "").strip()[:200],
        author=query.get("author") or None,
        tags=tuple(dict.fromkeys(tags))[:8],
        size=size if size in {label for label, _, _ in SIZES} else "",
        sort=sort,
        cursor=query.get("cursor") or None,
    )


GROUPS = {
    RepoKind.MODEL: ("pipeline_tag", "license", "language", "library"),
    RepoKind.DATASET: ("task_categories", "license", "language", "size_categories", "format"),
    RepoKind.SPACE: ("license",),
}
PER_GROUP = 10


def load(tx: Tx, actor: Actor, kind: RepoKind, wanted: Wanted) -> ListPage:
    """One list with its filters; the number of queries does not depend on what is found."""
    query = wanted.query()
    found = search.Found()
    page = search.list_repositories(tx, actor, query, found=found)
    summary = search.summarise(tx, actor, query, most=PER_GROUP, found=found)
    total, facets = summary.count, summary.facets
    groups = [
        Group(name, [_tag_choice(wanted, value) for value in facets.get(name, ())])
        for name in GROUPS[kind]
        if facets.get(name)
    ]
    if kind is RepoKind.MODEL:
        groups.insert(1, Group("size", [_size_choice(wanted, label) for label, _, _ in SIZES]))
    return ListPage(
        kind=kind,
        text=wanted.text,
        author=wanted.author,
        total=total,
        rows=rows_of(tx, page.items),
        groups=groups,
        on=_on(wanted),
        sorts=_sorts(wanted, query),
        clear_href=f"/{kind.plural}",
        next_href=replace(wanted, cursor=page.cursor).href() if page.cursor else None,
        is_first_page=wanted.cursor is None,
        first_href=wanted.first().href(),
        may_create=not actor.is_anonymous,
        has_filters=bool(wanted.text or wanted.author or wanted.tags or wanted.size),
        hidden=_hidden(wanted),
        elsewhere=_elsewhere(tx, actor, wanted),
        owners=accounts.find_by_prefix(tx, wanted.text.partition("/")[0]) if wanted.cursor is None else (),
    )


def _elsewhere(tx: Tx, actor: Actor, wanted: Wanted) -> list[tuple[RepoKind, Count, str]]:
    """What the other kinds have for a text; nothing where none was asked for."""
    found = []
    for kind in RepoKind:
        if wanted.text and kind is not wanted.kind:
            other = Wanted(kind, wanted.text, wanted.author, (), "", None, None)
            found.append((kind, search.count_repositories(tx, actor, other.query()), other.href()))
    return found


def rows_of(tx: Tx, found: Sequence[Listed]) -> list[Row]:
    """Lines of a list with their grades, which are asked for all at once."""
    grades = marks.grades_of(tx, [listed.repo.id for listed in found])
    return [row_of(listed, grades.get(listed.repo.id)) for listed in found]


def row_of(listed: Listed, grade: marks.Grade | None = None) -> Row:
    """What one line of a list shows of a repository."""
    repo, card = listed.repo, listed.card
    task = card.pipeline_tag if card is not None else None
    return Row(
        name=repo.name.name,
        namespace=repo.name.namespace,
        href=f"/{repo.path}",
        task=task,
        task_href=addresses.with_query(f"/{repo.kind.plural}", filter=f"pipeline_tag:{task}") if task else "",
        licence=licence_of(card.data) if card is not None else None,
        n_parameters=card.n_parameters if card is not None else None,
        size_bytes=card.used_storage_bytes if card is not None else None,
        n_downloads=repo.n_downloads,
        n_likes=repo.n_likes,
        updated_at=repo.updated_at,
        is_private=repo.is_private,
        is_gated=bool(repo.gated),
        kind=repo.kind,
        grade=grade,
    )


def _tag_choice(wanted: Wanted, value: FacetValue) -> Choice:
    is_on = value.tag in wanted.tags
    tags = tuple(tag for tag in wanted.tags if tag != value.tag) if is_on else (*wanted.tags, value.tag)
    return Choice(value.label, replace(wanted, tags=tags, cursor=None).href(), value.count, is_on)


def _size_choice(wanted: Wanted, label: str) -> Choice:
    is_on = wanted.size == label
    return Choice(label, replace(wanted, size="" if is_on else label, cursor=None).href(), None, is_on)


def _on(wanted: Wanted) -> list[Choice]:
    """The filters that are set; following one takes it away."""
    first = wanted.first()
    found = []
    if wanted.text:
        found.append(Choice(f"“{wanted.text}”", replace(first, text="").href(), None, is_on=True))
    if wanted.author:
        found.append(Choice(wanted.author, replace(first, author=None).href(), None, is_on=True))
    for tag in wanted.tags:
        rest = tuple(other for other in wanted.tags if other != tag)
        found.append(Choice(tag.partition(":")[2] or tag, replace(first, tags=rest).href(), None, is_on=True))
    if wanted.size:
        found.append(Choice(wanted.size, replace(first, size="").href(), None, is_on=True))
    return found


def _sorts(wanted: Wanted, query: Query) -> list[SortChoice]:
    first, current = wanted.first(), query.effective_sort
    offered = (Sort.RELEVANCE, *SORTS) if wanted.text else SORTS
    return [SortChoice(sort.name.lower(), replace(first, sort=sort).href(), sort is current) for sort in offered]


def _hidden(wanted: Wanted) -> list[tuple[str, str]]:
    pairs = [("author", wanted.author)] if wanted.author else []
    pairs += [("filter", tag) for tag in wanted.tags]
    pairs += [("size", wanted.size)] if wanted.size else []
    return [(name, value) for name, value in pairs if value]


async def show(request: Request) -> Response:
    """``GET /models``, ``/datasets``, ``/spaces``."""
    kind = RepoKind.from_plural(request.url.path.split("/")[1])
    page = await web.read_tx(request, load, kind, wanted_of(request, kind))
    return shell.render(request, "hub/list.html", page)
