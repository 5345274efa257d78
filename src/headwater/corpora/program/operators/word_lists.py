"""Words that a recipe's author does not want, found all at once by an Aho-Corasick automaton."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headwater.corpora.program.operators.documents import Documents


class WordList:
    """Documents with at least ``min_hits`` of the words go, or the words are covered by ``mask``.

    Case does not count. A word that begins (or ends) with a letter or digit of the Latin script is not found inside of another such word;
    Chinese words are found anywhere, for nothing marks where they end.
    """

    def __init__(
        self, name: str, words: Iterable[str], *, action: str = "drop", min_hits: int = 1, mask: str = "■"
    ) -> None:
        import ahocorasick

        self.name = name
        self._action, self._min_hits, self._mask = action, min_hits, mask
        self._automaton: Any = ahocorasick.Automaton()
        kept = sorted({_fold(word.strip()) for word in words} - {""})
        if not kept:
            raise ValueError(f"The word list {name!r} has no words: it would drop nothing.")
        for word in kept:
            self._automaton.add_word(word, len(word))
        self._automaton.make_automaton()

    def __call__(self, documents: Documents) -> None:
        for row in documents.staying():
            text = documents.texts[row]
            spans = self.find(text)
            if not spans:
                continue
            documents.tallies[f"{self.name}.hits"] += len(spans)
            if self._action == "drop":
                if len(spans) >= self._min_hits:
                    documents.drop(row, f"{self.name}:word")
            else:
                documents.texts[row] = _cover(text, spans, self._mask)

    def find(self, text: str) -> list[tuple[int, int]]:
        """Where words stand, from left to right, the longest where they overlap."""
        folded = _fold(text)
        spans: list[tuple[int, int]] = []
        for last, length in self._automaton.iter(folded):
            start, end = last + 1 - length, last + 1
            if _joined(folded, start) or _joined(folded, end):
                continue
            while spans and spans[-1][0] >= start:
                spans.pop()
            if not spans or start >= spans[-1][1]:
                spans.append((start, end))
        return spans


def _fold(text: str) -> str:
    """Small letters, as many characters as before, so that places stay what they are."""
    folded = text.lower()
    return folded if len(folded) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _joined(text: str, at: int) -> bool:
    """Whether a boundary between two characters lies inside of a word of the Latin script."""
    return 0 < at < len(text) and _latin(text[at - 1]) and _latin(text[at])


def _latin(c: str) -> bool:
    return c.isalnum() and c < "\u0250"


def _cover(text: str, spans: list[tuple[int, int]], mask: str) -> str:
    parts, at = [], 0
    for start, end in spans:
        parts.append(text[at:start])
        parts.append(mask * (end - start))
        at = end
    parts.append(text[at:])
    return "".join(parts)
