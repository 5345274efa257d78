"""Which licence a text is, and how closely: by the share of the licence's shingles that the text has.

*exact*: all of the licence stands there, and nothing in between. *modified*: most of it, with other words in it; ``changes`` says where.
*partial*: a piece of it alone. Beside what was found other words may stand: ``n_words_beside`` counts them, since "MIT, except that …"
holds the whole of MIT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.licensing.index import Index, load
from headwater.licensing.words import SHINGLE, Words, read_words, shingles

if TYPE_CHECKING:
    from headwater.licensing.words import Hashes

EXACT, MODIFIED, PARTIAL = "exact", "modified", "partial"

MOST_FOUND = 4
MOST_CHANGES = 20
LEAST_SHINGLES = 12  # fewer in common are chance
LEAST_CONTAINED = 0.5
LEAST_OF_PIECE = 0.8  # so much of a piece must be the licence's
LEAST_PIECE = 60
NEAR = 0.02


@dataclass(frozen=True)
class Change:
    """Words that the licence does not have, or the seam where some of it is missing: from ``start`` to ``end``, in characters."""

    start: int
    end: int


@dataclass(frozen=True)
class Match:
    """One licence found in a text, between ``start`` and ``end`` in characters.

    Args:
        containment: share of the licence that the text has; 1.0 only if nothing is missing.
        near: others that are as like; the text does not decide between them.
    """

    key: str
    kind: str
    containment: float
    start: int
    end: int
    changes: Sequence[Change]
    near: Sequence[str]


@dataclass(frozen=True)
class Reading:
    """What a text was found to be; the best match first. ``n_words_beside`` counts those outside of it that are no title."""

    matches: Sequence[Match]
    n_words: int
    n_words_beside: int

    @property
    def best(self) -> Match | None:
        return self.matches[0] if self.matches else None


def read_licence(text: str) -> Reading:
    """Any text at all; one without a licence has no matches."""
    import numpy as np

    index = load()
    words = read_words(text)
    found = shingles(words)
    free = np.ones(len(found), dtype=bool)
    covered = np.zeros(len(words), dtype=bool)
    table = _Table(index, found)
    matches: list[Match] = []
    while len(matches) < MOST_FOUND:
        match = _best(index, table, words, free, covered)
        if match is None:
            break
        matches.append(match)
    return Reading(tuple(matches), len(words), _beside(index, words, covered, matches))


_HARMLESS = "the license licence version v copyright c all rights reserved spdx identifier and contributors agreement"


def _beside(index: Index, words: Words, covered: Hashes, matches: Sequence[Match]) -> int:
    """Words outside of all licences found, but for titles: their names, and what says no more than that they are licences."""
    import numpy as np

    names = " ".join(f"{index.by_key[each.key].name} {index.by_key[each.key].spdx}" for each in matches)
    harmless = read_words(f"{_HARMLESS} {names}").hashes
    return int((~covered & ~np.isin(words.hashes, harmless)).sum())


class _Table:
    """Which of the text's shingles which licence has."""

    def __init__(self, index: Index, found: Hashes) -> None:
        import numpy as np

        unique, self.of = np.unique(found, return_inverse=True)
        places = np.searchsorted(index.hashes, unique)
        places[places == len(index.hashes)] = 0
        known = index.hashes[places] == unique if len(index.hashes) else np.zeros(len(unique), dtype=bool)
        counts = np.where(known, index.first[places + 1] - index.first[places], 0)
        self.n_unique = len(unique)
        # One row for each pair (shingle of the text, licence that has it).
        self.shingle = np.repeat(np.arange(len(unique)), counts)
        offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        self.licence = index.postings[np.repeat(index.first[places], counts) + offsets].astype(np.int64)

    def has(self, licence: int) -> Hashes:
        """For each unique shingle of the text, whether that licence has it."""
        import numpy as np

        found = np.zeros(self.n_unique, dtype=bool)
        found[self.shingle[self.licence == licence]] = True
        return found


def _best(index: Index, table: _Table, words: Words, free: Hashes, covered: Hashes) -> Match | None:
    """The likeliest licence in what is still ``free``; takes its shingles out of it, and marks its words as covered."""
    import numpy as np

    left = np.zeros(table.n_unique, dtype=bool)
    left[table.of[free]] = True
    in_common = np.bincount(table.licence[left[table.shingle]], minlength=len(index.licences))
    sizes = np.array([max(1, each.n_shingles) for each in index.licences])
    share = in_common / sizes
    score = in_common * share
    for at, each in enumerate(index.licences):
        if each.part_of.endswith("#"):  # an appendix alone is no licence
            score[at] = 0
    if not len(score) or score.max() <= 0:
        return None
    best = int(score.argmax())
    if in_common[best] < min(LEAST_SHINGLES, sizes[best]):
        return None
    licence = index.licences[best]
    has = table.has(best)
    at_word = _core(table.of, np.flatnonzero(has[table.of] & free))
    start, end = int(at_word[0]), int(at_word[-1]) + SHINGLE
    mine = np.zeros(len(words), dtype=bool)
    for place in at_word:
        mine[place : place + SHINGLE] = True
    inside = int(mine[start:end].sum()) / max(1, end - start)
    is_piece = inside >= LEAST_OF_PIECE and in_common[best] >= LEAST_PIECE
    if share[best] < LEAST_CONTAINED and not is_piece:
        return None
    changes = _changes(words, mine, start, end, at_word)
    if in_common[best] == sizes[best] and not changes:
        kind = EXACT
    elif share[best] < 1 - (1 - LEAST_OF_PIECE) / 2 and inside > 0.97:
        kind = PARTIAL
    else:
        kind = MODIFIED
    rivals = [
        index.licences[int(i)].key
        for i in np.flatnonzero(score >= score[best] * (1 - NEAR))
        if int(i) != best and kind != EXACT
    ]
    covered |= mine
    free[at_word] = False
    for at, each in enumerate(index.licences):
        if each.part_of == f"{licence.key}#":  # how to apply it, which may stand after it or not
            for place in np.flatnonzero(table.has(at)[table.of] & free):
                covered[place : place + SHINGLE] = True
                free[place] = False
    # Words between its first and its last belong to it, whatever they say.
    covered[start:end] = True
    free[start : max(start, end - SHINGLE + 1)] = False
    whole = licence.part_of or licence.key
    return Match(
        key=whole,
        kind=kind,
        containment=round(float(share[best]), 4) if in_common[best] < sizes[best] else 1.0,
        start=words.starts[start],
        end=words.ends[end - 1],
        changes=tuple(changes[:MOST_CHANGES]),
        near=tuple(dict.fromkeys(each for each in rivals if each != whole))[:4],
    )


def _core(of: Hashes, at_word: Hashes) -> Hashes:
    """Places of shingles without those before and after the licence that only repeat what stands in it: a title, a sentence in an appendix."""
    import numpy as np

    pieces = np.split(at_word, np.flatnonzero(np.diff(at_word) > SHINGLE) + 1)
    seen = np.bincount(of[at_word])
    for order in (-1, 0):
        while len(pieces) > 1:
            mine, often = np.unique(of[pieces[order]], return_counts=True)
            if (seen[mine] == often).any():
                break
            seen[mine] -= often
            pieces.pop(order)
    return np.concatenate(pieces)


def _changes(words: Words, mine: Hashes, start: int, end: int, at_word: Hashes) -> list[Change]:
    """Where the text departs from the licence: strange words, and seams between two shingles that do not follow each other."""
    import numpy as np

    found = []
    gaps = np.flatnonzero(np.diff(at_word) > 1)
    for gap in gaps:
        before, after = int(at_word[gap]) + SHINGLE - 1, int(at_word[gap + 1])
        first, last = min(before + 1, after), max(before + 1, after) - 1
        first, last = max(start, first), min(end - 1, max(first, last))
        found.append(Change(words.starts[first], words.ends[last]))
    return found
