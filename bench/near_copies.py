"""Copies of texts whose true similarity is known: the injected truth against which fuzzy de-duplication is measured.

The same base texts and seed give the same copies. Similarity is Jaccard's, of sets of five characters, computed here by itself, with Python's sets: what is
measured does not say what is true.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

_BLANKS = re.compile("[ \t\n\r\x0b\x0c\x85\xa0\u3000]+")
_SMALL = {code: code + 32 for code in range(65, 91)}


@dataclass(frozen=True)
class Injected:
    """Texts in their final order, and pairs (place, place, true similarity) of a text and a copy made of it."""

    texts: list[str]
    pairs: list[tuple[int, int, float]]


def shingles(text: str) -> set[str]:
    """Sets of five characters; letters of ASCII small, white space one blank."""
    plain = _BLANKS.sub(" ", text).strip(" ").translate(_SMALL)
    return {plain[at : at + 5] for at in range(len(plain) - 4)}


def jaccard(text: str, other: str) -> float:
    first, second = shingles(text), shingles(other)
    return len(first & second) / len(first | second) if first and second else 0.0


def edited(text: str, target: float, filler: str, rng: random.Random) -> str:
    """A copy of about the wanted similarity: single characters changed, runs cut, or runs of another text put in."""
    wanted = 1 - target
    kind = rng.randrange(4)
    if kind == 0:  # a character here and there: each takes five shingles away and brings five
        n = round(len(text) * wanted / (5 * (1 + target)))
        characters = list(text)
        for at in rng.sample(range(len(text)), min(n, len(text))):
            characters[at] = rng.choice(filler)
        return "".join(characters)
    size = len(text) * wanted
    if kind == 1:  # cut
        n = int(size)
        at = rng.randrange(max(1, len(text) - n))
        return text[:at] + text[at + n :]
    at = rng.randrange(len(text))
    if kind == 2:  # added to
        n = int(size / target)
        start = rng.randrange(max(1, len(filler) - n))
        return text[:at] + filler[start : start + n] + text[at:]
    # some of it replaced by something else
    n = int(size / (1 + target))
    at = rng.randrange(max(1, len(text) - n))
    start = rng.randrange(max(1, len(filler) - n))
    return text[:at] + filler[start : start + n] + text[at + n :]


def inject(
    base: Sequence[str], *, share: float = 0.3, clusters: int = 2, cluster_size: int = 400, seed: int = 7
) -> Injected:
    """Put copies of similarity 0.5 to 1 among the base texts: of a ``share`` of them one to three, of a few very many; all shuffled."""
    rng = random.Random(seed)
    made: list[tuple[int, str, float]] = []
    for number, text in enumerate(base):
        if rng.random() >= share or not 200 <= len(text) <= 50_000:
            continue
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            filler = base[rng.randrange(len(base))]
            copy = edited(text, rng.uniform(0.5, 1.0), filler if len(filler) >= 200 else text, rng)
            made.append((number, copy, jaccard(text, copy)))
    for _ in range(clusters):
        number = rng.randrange(len(base))
        text = base[number][:5000]
        if len(text) < 200:
            continue
        for _ in range(cluster_size):
            copy = edited(text, rng.uniform(0.9, 1.0), base[rng.randrange(len(base))] + text, rng)
            made.append((number, copy, jaccard(base[number], copy)))
    order = list(range(len(base) + len(made)))
    rng.shuffle(order)
    place = {what: at for at, what in enumerate(order)}
    texts = [base[what] if what < len(base) else made[what - len(base)][1] for what in order]
    pairs = [(place[number], place[len(base) + n], similarity) for n, (number, _, similarity) in enumerate(made)]
    return Injected(texts, pairs)
