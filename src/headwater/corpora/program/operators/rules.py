"""Rules of thumb for what reads like prose: those of Gopher and C4, counted so that they mean the same for Chinese.

Chinese has no blanks between words. What Gopher counts in words is counted here in *units*: a word of a script that has blanks, or a character of
Chinese or kana taken as 1/1.5 of a word (the mean length of a Chinese word in running text).

Sources: Rae et al. 2021, Gopher, arXiv:2112.11446, table A1; Raffel et al. 2020, T5 (C4), arXiv:1910.10683, section 2.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields

from headwater.corpora.program.operators.documents import Documents

CJK_PER_WORD = 1.5
_CJK = "\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_CJK_CHARACTER = re.compile(f"[{_CJK}]")
# What only stands between Chinese characters is no word, though no blank parts it from them.
_BETWEEN = "\u2014\u2026\u201c\u201d\u3000-\u3040\u30fb\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
_WORD = re.compile(rf"[^\s{_BETWEEN}{_CJK}]+")
_LETTER = re.compile(r"[^\W\d_]")
_BULLET = re.compile(r"^\s*(?:[-*•●○◦‣▪■□◆·]|\d{1,3}[.)、])\s*")
_ELLIPSIS = re.compile(r"(?:\.\.\.|…|。。。)\s*$")
_SYMBOLS = re.compile(r"#|\.\.\.|…|。。。")
_ENDS = re.compile(r"""[.!?。！？…；;:：]["'”’」』)）\]]*\s*$""")
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)|[。！？…]+")
_STOP_WORDS = {
    "en": re.compile(r"\b(?:the|be|to|of|and|that|have|with|is|a|in|for)\b", re.IGNORECASE),
    "zh": re.compile("[的了是在不有和我这他们为一个上到说中大以]"),
}
_JAVASCRIPT = re.compile(
    r"javascript (?:is|must be|to be) (?:disabled|enabled)|enable javascript|请(?:启用|开启|打开)\s*javascript",
    re.IGNORECASE,
)
_LOREM = re.compile("lorem ipsum", re.IGNORECASE)


@dataclass(frozen=True)
class Limits:
    """None leaves a rule out. Shares are 0 to 1."""

    min_words: float | None = 20
    max_words: float | None = 100_000
    min_mean_word_length: float | None = 3
    max_mean_word_length: float | None = 12
    max_symbols_per_word: float | None = 0.1
    max_bullet_lines: float | None = 0.9
    max_ellipsis_lines: float | None = 0.3
    min_words_with_letters: float | None = 0.7
    max_digits: float | None = 0.3
    min_stop_words: int | None = 2
    min_sentences: int | None = 1
    min_ending_lines: float | None = None
    """C4: the share of lines that end as sentences do. Verse and documentation have few."""
    curly_braces: bool = True
    """C4: False drops what has one; it takes all of mathematics and programming along."""
    lorem_ipsum: bool = False
    javascript_notices: bool = False


@dataclass(frozen=True)
class Measures:
    """What the rules look at, once for all of them."""

    text: str
    language: str | None
    lines: tuple[str, ...]
    words: tuple[str, ...]
    n_cjk: int

    @property
    def n_words(self) -> float:
        return len(self.words) + self.n_cjk / CJK_PER_WORD

    @classmethod
    def of(cls, text: str, language: str | None = None) -> Measures:
        lines = tuple(line for line in text.split("\n") if line.strip())
        if text.isascii():
            return cls(text, language, lines, tuple(text.split()), 0)
        return cls(text, language, lines, tuple(_WORD.findall(text)), len(_CJK_CHARACTER.findall(text)))


def _share_of_lines(measures: Measures, form: re.Pattern[str]) -> float:
    return sum(form.search(line) is not None for line in measures.lines) / max(1, len(measures.lines))


def _mean_word_length(measures: Measures) -> float | None:
    """Of words with blanks between them, where they are what the text mostly is."""
    if len(measures.words) < measures.n_cjk or not measures.words:
        return None
    return sum(map(len, measures.words)) / len(measures.words)


def _with_letters(measures: Measures) -> float:
    letters = sum(_LETTER.search(word) is not None for word in measures.words)
    return (letters + measures.n_cjk) / max(1, len(measures.words) + measures.n_cjk)


def _stop_words(measures: Measures) -> int | None:
    """How many there are, up to what is asked; None for a language whose list we do not have."""
    if measures.language is not None:
        form = _STOP_WORDS.get(measures.language)
    else:
        form = _STOP_WORDS["zh" if measures.n_cjk > len(measures.words) else "en"]
    return None if form is None else len(form.findall(measures.text))


def _digits(measures: Measures) -> float:
    return sum(map(measures.text.count, "0123456789")) / max(1, len(measures.text) - measures.text.count(" "))


# Each says when a document goes; the first that does is the reason.
RULES: dict[str, tuple[str, Callable[[Measures, Limits], bool]]] = {
    "too_short": ("min_words", lambda m, at: m.n_words < (at.min_words or 0)),
    "too_long": ("max_words", lambda m, at: m.n_words > (at.max_words or 0)),
    "short_words": (
        "min_mean_word_length",
        lambda m, at: (mean := _mean_word_length(m)) is not None and mean < (at.min_mean_word_length or 0),
    ),
    "long_words": (
        "max_mean_word_length",
        lambda m, at: (mean := _mean_word_length(m)) is not None and mean > (at.max_mean_word_length or 0),
    ),
    "symbols": (
        "max_symbols_per_word",
        lambda m, at: len(_SYMBOLS.findall(m.text)) > (at.max_symbols_per_word or 0) * max(1.0, m.n_words),
    ),
    "bullets": ("max_bullet_lines", lambda m, at: _share_of_lines(m, _BULLET) > (at.max_bullet_lines or 0)),
    "ellipses": ("max_ellipsis_lines", lambda m, at: _share_of_lines(m, _ELLIPSIS) > (at.max_ellipsis_lines or 0)),
    "few_letters": ("min_words_with_letters", lambda m, at: _with_letters(m) < (at.min_words_with_letters or 0)),
    "digits": ("max_digits", lambda m, at: _digits(m) > (at.max_digits or 0)),
    "no_prose": (
        "min_stop_words",
        lambda m, at: (found := _stop_words(m)) is not None and found < (at.min_stop_words or 0),
    ),
    "few_sentences": (
        "min_sentences",
        lambda m, at: len(_SENTENCE_END.findall(m.text)) < (at.min_sentences or 0),
    ),
    "lines_without_end": ("min_ending_lines", lambda m, at: _share_of_lines(m, _ENDS) < (at.min_ending_lines or 0)),
    "curly_brace": ("curly_braces", lambda m, _: "{" in m.text),
    "lorem_ipsum": ("lorem_ipsum", lambda m, _: _LOREM.search(m.text) is not None),
    "javascript": ("javascript_notices", lambda m, _: _JAVASCRIPT.search(m.text) is not None),
}


class Rules:
    """Drops a document at the first rule that it breaks: ``rules:too_short`` and so on."""

    name = "rules"

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits = limits or Limits()
        values = {field.name: getattr(limits, field.name) for field in fields(limits)}
        # A number asks for its rule; of what is allowed or not, "not" does.
        self._rules = [
            (reason, rule)
            for reason, (limit, rule) in RULES.items()
            if (values[limit] is False if isinstance(values[limit], bool) else values[limit] is not None)
        ]

    def __call__(self, documents: Documents) -> None:
        languages = documents.facts.get("language") or [None] * len(documents)
        for row in documents.staying():
            broken = self.broken(Measures.of(documents.texts[row], languages[row]))
            if broken:
                documents.drop(row, f"{self.name}:{broken}")

    def broken(self, measures: Measures) -> str | None:
        return next((reason for reason, rule in self._rules if rule(measures, self._limits)), None)
