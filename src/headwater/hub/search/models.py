"""What may be asked of a list of repositories, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from headwater.hub.cards.models import Card
from headwater.hub.models import RepoKind, Repository


class Sort(Enum):
    """Always descending. ``RELEVANCE`` needs a text and looks at the first thousand hits by static rank."""

    RELEVANCE = "relevance"
    TRENDING = "trendingScore"
    MODIFIED = "lastModified"
    CREATED = "createdAt"
    DOWNLOADS = "downloads"
    LIKES = "likes"


@dataclass(frozen=True)
class Query:
    """All conditions hold at once. ``tags`` are as they are kept (``license:mit``, ``gguf``, ``zh``); ``cursor`` comes from a page.

    ``sort`` None means relevance where there is a text, else trending.
    """

    kind: RepoKind
    text: str = ""
    author: str | None = None
    tags: tuple[str, ...] = ()
    gated: bool | None = None
    min_parameters: int | None = None
    max_parameters: int | None = None
    sdk: str | None = None
    sort: Sort | None = None
    limit: int = 30
    cursor: str | None = None

    @property
    def has_bounds(self) -> bool:
        """Whether the number of parameters matters."""
        return self.min_parameters is not None or self.max_parameters is not None

    @property
    def effective_sort(self) -> Sort:
        if self.sort is None or (self.sort is Sort.RELEVANCE and not self.text.strip()):
            return Sort.RELEVANCE if self.text.strip() else Sort.TRENDING
        return self.sort


@dataclass(frozen=True)
class Listed:
    """One row of a list; ``card`` is without its text, and None until the repository was indexed."""

    repo: Repository
    card: Card | None
    downloads_all_time: int = 0


@dataclass(frozen=True)
class Count:
    """How many there are; ``is_more`` means "at least": shown as "1,000+"."""

    n: int
    is_more: bool = False

    def __str__(self) -> str:
        return f"{self.n:,}{'+' if self.is_more else ''}"


@dataclass(frozen=True)
class FacetValue:
    """One tag that could narrow the list, with how many of the (first thousand) hits carry it."""

    tag: str
    label: str
    count: Count


@dataclass(frozen=True)
class Summary:
    """Of a whole list: how many, and by facet the tags that could narrow it."""

    count: Count
    facets: dict[str, list[FacetValue]]
