"""From a query to the expression of the full-text index. Everything but the words of a query is a mark of our own making."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from headwater.hub.models import RepoKind
from headwater.hub.search import documents
from headwater.hub.search.models import Query
from headwater.hub.search.segment import Term, in_name, terms_of


@dataclass(frozen=True)
class Visibility:
    """Which private repositories may appear: those of ``owner_ids``, and ``repo_ids`` one by one. ``everything``: all."""

    everything: bool = False
    owner_ids: frozenset[int] = frozenset()
    repo_ids: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Found:
    """What the index has told in one transaction.

    ``best``: of an expression, how many ranks it was asked for, and those it gave. ``within``: those within bounds of size.
    """

    best: dict[Expression, tuple[int, list[int]]] = field(default_factory=dict)
    within: dict[tuple[Expression, int | None, int | None], list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Expression:
    """What the full-text index is asked of one kind: every one of ``terms``, every one of ``marks``, and one of ``may`` (where there are any).

    ``in_names`` looks for the words in names only, ``in_texts`` in texts only. Each database has its own words for it: ``to_fts5``, ``to_tsquery``.
    """

    kind: RepoKind
    terms: tuple[Term, ...]
    marks: tuple[str, ...]
    may: tuple[str, ...] = ()
    in_names: bool = False
    in_texts: bool = False
    found: Found = field(default_factory=Found, compare=False, repr=False)


def expression_of(
    query: Query, visible: Visibility, owner_id: int | None, found: Found, *, in_names: bool = False
) -> Expression | None:
    """What to ask the index; None when the query has neither words nor marks, so that the index would only be in the way.

    ``owner_id`` is the account that ``query.author`` names; in ``found`` the answers are kept, for as long as the transaction lasts.
    """
    terms = terms_of(query.text)
    if query.text.strip() and not terms:
        # Nothing but punctuation was asked for: no document holds it.
        return Expression(query.kind, (), ("none",), found=found)
    if not terms and not query.tags and query.gated is None and query.sdk is None:
        return None
    marks = [documents.mark_of_tag(tag) for tag in query.tags]
    if owner_id is not None:
        marks.append(documents.mark_of_owner(owner_id))
    if query.gated is not None:
        marks.append(documents.GATED if query.gated else documents.OPEN)
    if query.sdk is not None:
        marks.append(documents.mark_of_sdk(query.sdk))
    may: tuple[str, ...] = ()
    if not visible.everything:
        may = (
            documents.PUBLIC,
            *(documents.mark_of_owner(i) for i in sorted(visible.owner_ids)),
            *(documents.mark_of_repository(i) for i in sorted(visible.repo_ids)),
        )
    return Expression(query.kind, tuple(terms), tuple(marks), may, in_names, found=found)


def to_fts5(expression: Expression) -> str:
    """The MATCH expression of SQLite; the kind is a range of ranks.

    Who may see is asked as "not private": the few private documents are met with the hits, and not the many public ones. Each document is
    marked as one of the two.
    """
    clauses = [_words(term, expression) for term in expression.terms]
    clauses += [f"marks : {mark}" for mark in expression.marks]
    asked = " AND ".join(clauses)
    if not expression.may:
        return asked
    others = [mark for mark in expression.may if mark != documents.PUBLIC]
    hidden = f"marks : {documents.PRIVATE}"
    if others:
        hidden = f"({hidden} NOT marks : ({' OR '.join(others)}))"
    return f"({asked}) NOT {hidden}"


def _words(term: Term, expression: Expression) -> str:
    words = in_name(term.words)
    if term.is_char:
        named, told = f'"{words[0]}"', f'chars : "{term.words[0]}"'
    else:
        # A column is looked for in each document's list of places: it is named only where the words may stand in others, too.
        named, told = f'"{" ".join(words)}"', f'"{" ".join(term.words)}"'
        if all(documents.may_be_mark(word) for word in term.words):
            told = f"body : {told}"
    if term.may_be_unfinished:
        named = f'({named} OR (name : "{" ".join(words[:-1])}" AND parts : "{words[-1]}"))'
    if expression.in_names:
        return named
    return told if expression.in_texts else f"({named} OR {told})"


def to_condition(expression: Expression, position: str) -> tuple[str, dict[str, str]]:
    """The same as a condition on the texts of one document ``d``, on any database; ``position`` is its function to find a text in another."""
    values: dict[str, str] = {}

    def has(column: str, *words: str) -> str:
        name = f"w{len(values)}"
        values[name] = f" {' '.join(words)} "
        return f"{position}(' ' || d.{column} || ' ', :{name}) > 0"

    clauses = [has("marks", mark) for mark in expression.marks]
    if expression.may:
        clauses.append("(" + " or ".join(has("marks", mark) for mark in expression.may) + ")")
    for term in expression.terms:
        words = in_name(term.words)
        found = [has("parts", *words)] if term.is_char else [has("name", *words), has("parts", *words)]
        if term.may_be_unfinished:
            found.append(f"({has('name', *words[:-1])} and {has('parts', words[-1])})")
        if expression.in_texts:
            found = []
        if not expression.in_names:
            found.append(has("chars" if term.is_char else "body", *term.words))
        clauses.append(f"({' or '.join(found)})")
    return " and ".join(clauses), values


@dataclass(frozen=True)
class TsQuery:
    """PostgreSQL's: ``lexemes`` leads to the documents that hold all words; ``phrases`` then looks whether they stand in order.

    ``phrases`` is a condition on the columns of ``search_document`` as ``d``, with ``values``; None where every term is one word.
    """

    lexemes: str
    phrases: str | None
    values: dict[str, str]


def to_tsquery(expression: Expression) -> TsQuery:
    """The same for PostgreSQL, as exactly: a phrase of words is a piece of the text between two spaces."""
    values: dict[str, str] = {}

    def has(column: str, words: Sequence[str]) -> tuple[str, str]:
        """Lexemes, and the condition on the text; "" where the lexeme says it all."""
        lexemes = " & ".join(_quoted(column[0] + word) for word in words)
        if len(words) == 1:
            return lexemes, ""
        name = f"p{len(values)}"
        values[name] = f" {' '.join(words)} "
        return f"({lexemes})", f"strpos(' ' || d.{column} || ' ', :{name}) > 0"

    def one(*found: tuple[str, str]) -> tuple[str, str]:
        """Any of these. A word that stands alone needs its lexeme looked at again beside phrases."""
        lexemes = " | ".join(lexeme for lexeme, _ in found)
        if not any(phrase for _, phrase in found):
            return f"({lexemes})", ""
        return f"({lexemes})", "(" + " or ".join(phrase or _again(lexeme) for lexeme, phrase in found) + ")"

    def both(first: tuple[str, str], second: tuple[str, str]) -> tuple[str, str]:
        phrases = " and ".join(phrase or _again(lexeme) for lexeme, phrase in (first, second))
        return f"({first[0]} & {second[0]})", f"({phrases})"

    def _again(lexeme: str) -> str:
        name = f"l{len(values)}"
        values[name] = lexeme
        return f"d.lexemes @@ cast(:{name} as tsquery)"

    clauses, phrases = [], []
    for term in expression.terms:
        words = in_name(term.words)
        if term.is_char:
            named = [has("parts", words[:1])]
            told = has("chars", term.words[:1])
        else:
            named = [has("name", words), has("parts", words)]
            told = has("body", term.words)
        if term.may_be_unfinished:
            named.append(both(has("name", words[:-1]), has("parts", words[-1:])))
        lexemes, phrase = one(
            *([] if expression.in_texts else named),
            *([] if expression.in_names else [told]),
        )
        clauses.append(lexemes)
        if phrase:
            phrases.append(phrase)
    clauses += [_quoted(f"m{mark}") for mark in expression.marks]
    if expression.may:
        others = [_quoted(f"m{mark}") for mark in expression.may if mark != documents.PUBLIC]
        hidden = _quoted(f"m{documents.PRIVATE}")
        clauses.append(f"!({hidden} & !({' | '.join(others)}))" if others else f"!{hidden}")
    return TsQuery(" & ".join(clauses), " and ".join(phrases) or None, values)


def _quoted(lexeme: str) -> str:
    """No word of ours holds a quote or a backslash (``segment``)."""
    return f"'{lexeme}'"
