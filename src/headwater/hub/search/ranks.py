"""The static rank: where a document stands among all hits, the best known first. A pure function of its repository.

From the most significant bit down: its kind, so that a list of one kind reads a range of ranks, and of each word's hits that part alone;
how much it trends, how often it was liked, how often it was fetched, each in steps that grow with the
number, then the newest first. So a rank needs no look at others, two writers never want the same one, and a repository moves only when
it has become better or less known by a whole step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from headwater.hub.models import RepoKind
from headwater.hub.tables.search import RANKS_OF_A_KIND

_TIE_BITS = 40  # ids of repositories
_LEVEL_BITS = (9, 6, 6)
_STEPS = (12.0, 2.0, 2.0)  # for each doubling
_PLACES = {RepoKind.MODEL: 0, RepoKind.DATASET: 1, RepoKind.SPACE: 2}  # kept in every rank


def place_of(kind: RepoKind) -> int:
    """Which range of ranks is this kind's, from 0."""
    return _PLACES[kind]


def repo_of(rank: int) -> int:
    """Whose rank it is."""
    last = (1 << _TIE_BITS) - 1
    return last - (rank & last)


def repos_of(ranks: Iterable[int]) -> set[int]:
    """The same of many, in a tenth of the time."""
    last = (1 << _TIE_BITS) - 1
    return {last - (rank & last) for rank in ranks}


def rank_of(kind: RepoKind, repo_id: int, trending_score: float, n_likes: int, n_downloads: int) -> int:
    """Positive and below 2**63; of one kind the smaller, the better known."""
    level = 0
    for value, bits, steps in zip((trending_score, n_likes, n_downloads), _LEVEL_BITS, _STEPS, strict=True):
        found = int(steps * math.log2(1 + max(0.0, value)))
        level = level << bits | min(found, (1 << bits) - 1)
    worst = (1 << sum(_LEVEL_BITS)) - 1
    return place_of(kind) * RANKS_OF_A_KIND + ((worst - level) << _TIE_BITS | ((1 << _TIE_BITS) - 1 - repo_id))
