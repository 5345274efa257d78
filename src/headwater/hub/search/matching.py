"""From a query to the expression of the full-text index. Everything but the words of a query is a mark of our own making."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headwater.hub.search import documents
from headwater.hub.search.models import Query
from headwater.hub.search.segment import Term, in_name, terms_of


@dataclass(frozen=True)
class Visibility:
    """Which private repositories may appear: those of ``owner_ids``, and ``repo_ids`` one by one. ``everything``: all."""

    everything: bool = False
    owner_ids: frozenset[int] = frozenset()
    repo_ids: frozenset[int] = frozenset()


def expression_of(query: Query, visible: Visibility, owner_id: int | None, *, in_names: bool = False) -> str | None:
    """The MATCH expression; None when the query has neither words nor marks, so that the index would only be in the way.

    ``owner_id`` is the account that ``query.author`` names; ``in_names`` looks for the words in names only.
    """
    terms = terms_of(query.text)
    if query.text.strip() and not terms:
        # Nothing but punctuation was asked for: no document holds it.
        return "marks : none"
    if not terms and not query.tags and query.gated is None and query.sdk is None:
        return None
    marks = [documents.mark_of_kind(query.kind), *(documents.mark_of_tag(tag) for tag in query.tags)]
    if owner_id is not None:
        marks.append(documents.mark_of_owner(owner_id))
    if query.gated is not None:
        marks.append(documents.GATED if query.gated else documents.OPEN)
    if query.sdk is not None:
        marks.append(documents.mark_of_sdk(query.sdk))
    clauses = [_words(term, in_names=in_names) for term in terms]
    clauses += [f"marks : {mark}" for mark in marks]
    if not visible.everything:
        may = [
            documents.PUBLIC,
            *(documents.mark_of_owner(i) for i in sorted(visible.owner_ids)),
            *(documents.mark_of_repository(i) for i in sorted(visible.repo_ids)),
        ]
        clauses.append(f"marks : ({_any(may)})")
    return " AND ".join(clauses)


def _words(term: Term, *, in_names: bool) -> str:
    words = in_name(term.words)
    if term.is_char:
        named, told = f'parts : "{words[0]}"', f'chars : "{term.words[0]}"'
    else:
        named, told = f'{{name parts}} : "{" ".join(words)}"', f'body : "{" ".join(term.words)}"'
    if term.may_be_unfinished:
        named = f'({named} OR (name : "{" ".join(words[:-1])}" AND parts : "{words[-1]}"))'
    return named if in_names else f"({named} OR {told})"


def _any(marks: Iterable[str]) -> str:
    return " OR ".join(marks)
