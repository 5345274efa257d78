"""Cutting text into words for the search index: one rule for what is kept and for what is asked, on every database.

Runs of Chinese, Japanese and Korean letters become overlapping pairs (``大语言`` → ``大语 语言``), so that a phrase of pairs is exactly a
substring; single letters are kept apart, each once a document. Other words are case-folded, and cut where letters meet digits:
``Llama3``, ``llama-3`` and ``llama 3`` are the same two words. Names also give the parts between their capitals and the beginnings of
their words, so that ``smol`` and ``lm`` find ``SmolLM2``.

Every word made here is free of ASCII punctuation and space: indexes take the text as words between spaces, without rules of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_CJK = "\u3005\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_RUN = re.compile(rf"(?P<cjk>[{_CJK}]+)|(?P<digits>[0-9]+)|(?P<letters>[^\W0-9_{_CJK}]+)")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\WA-Za-z0-9_]+|[0-9]+")
_MAX_WORD = 64
_MAX_BEGINNING = 16

# Before each word of a name in the index, so that a search in names reads the names' few entries and not the texts' many. No normalised
# text holds it.
NAME_MARK = "\u207f"

# Stands between two CJK runs, so that a phrase never reaches across the comma between them.
BREAK = "\u00b6"


def in_name(words: Iterable[str]) -> list[str]:
    """Words as they are kept of names."""
    return [word if word == BREAK else NAME_MARK + word for word in words]


@dataclass(frozen=True)
class Term:
    """One condition of a query: ``words`` in this order. ``is_char``: a single CJK letter, to be found anywhere in a run.

    ``may_be_unfinished``: the last word may be the beginning of a word of the name.
    """

    words: tuple[str, ...]
    is_char: bool = False
    may_be_unfinished: bool = False


def normalise(text: str) -> str:
    """One form of each letter: full-width and compatibility forms, and case, make no difference."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def words_of(text: str) -> list[str]:
    """The words of a text, in order."""
    words: list[str] = []
    after_cjk = False
    for run in _RUN.finditer(normalise(text)):
        if run.lastgroup == "cjk":
            if after_cjk:
                words.append(BREAK)
            words += pairs(run.group())
            after_cjk = True
        else:
            words.append(run.group()[:_MAX_WORD])
            after_cjk = False
    return words


def chars_of(text: str) -> list[str]:
    """Each CJK letter of a text once, sorted."""
    return sorted({char for run in _RUN.finditer(normalise(text)) if run.lastgroup == "cjk" for char in run.group()})


def pairs(run: str) -> list[str]:
    """Overlapping pairs of a CJK run; a run of one letter is that letter."""
    return [run] if len(run) == 1 else [run[i : i + 2] for i in range(len(run) - 1)]


def parts_of(name: str) -> list[str]:
    """Beside ``words_of(name)``: the parts between capitals in order, the beginnings of every word, its CJK letters one by one."""
    plain = unicodedata.normalize("NFKC", name)
    camel = [part.casefold() for part in _CAMEL.findall(plain)]
    whole = words_of(name)
    ordered = camel if camel != whole else []
    beginnings = {
        word[:n]
        for word in (*whole, *camel)
        if not _is_cjk(word) and not word.isdigit()
        for n in range(2, min(len(word), _MAX_BEGINNING))
    }
    found = [*ordered, BREAK, *sorted(beginnings), BREAK, *chars_of(name)]
    return [word for word in found if word.isalnum() or word == BREAK]


def terms_of(query: str, *, limit: int = 16) -> list[Term]:
    """What a query asks for: all terms must hold. Words between spaces are phrases; a change of script begins a new term.

    A query without a single letter or digit asks for nothing and gives no terms.
    """
    found = [term for word in normalise(query).split() for term in _terms_of_word(word)]
    return list(dict.fromkeys(found))[:limit]


def _terms_of_word(word: str) -> Iterator[Term]:
    phrase: list[str] = []
    for run in _RUN.finditer(word):
        if run.lastgroup != "cjk":
            phrase.append(run.group()[:_MAX_WORD])
            continue
        if phrase:
            yield _latin(phrase)
            phrase = []
        text = run.group()
        yield Term((text,), is_char=True) if len(text) == 1 else Term(tuple(pairs(text)))
    if phrase:
        yield _latin(phrase)


def _latin(phrase: Iterable[str]) -> Term:
    words = tuple(phrase)
    return Term(words, may_be_unfinished=len(words) > 1 and len(words[-1]) > 1 and not words[-1].isdigit())


def _is_cjk(word: str) -> bool:
    match = _RUN.match(word)
    return match is not None and match.lastgroup == "cjk"
