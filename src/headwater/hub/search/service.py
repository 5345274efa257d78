"""Lists of repositories: what matches, in which order, how many, and by which tags it could be narrowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from headwater import accounts
from headwater.db import Tx
from headwater.hub.access import from_row
from headwater.hub.cards import get_cards
from headwater.hub.models import RepoKind
from headwater.hub.search import store
from headwater.hub.search.facets import FACETS, facet_of
from headwater.hub.search.matching import Expression, Found, Visibility, expression_of
from headwater.hub.search.models import Count, FacetValue, Listed, Query, Sort, Summary
from headwater.hub.search.ranks import repo_of
from headwater.kernel import Actor, BadCursor, Page, RepoId, decode_cursor, encode_cursor

MAX_LIMIT = 1000


def list_repositories(tx: Tx, actor: Actor, query: Query, *, found: Found | None = None) -> Page[Listed]:
    """One page of what ``actor`` may see. A constant number of SQL statements, whatever the page's length.

    ``found``: a new one, given to ``summarise`` as well in the same transaction, spares it to ask the index again.

    Raises:
        BadCursor: the cursor is not of this list.
    """
    limit = max(1, min(query.limit, MAX_LIMIT))
    visible = _visibility(tx, actor)
    owner_id = None
    if query.author:
        owner_id = store.find_owner(tx, query.author)
        if owner_id is None:
            return Page([])
    expression = expression_of(query, visible, owner_id, Found() if found is None else found)
    sort = query.effective_sort
    if sort is Sort.RELEVANCE and expression is not None:
        return _by_relevance(tx, query, visible, owner_id, expression, limit)
    if sort is Sort.RELEVANCE:
        sort = Sort.TRENDING
    query = replace(query, sort=sort)
    after = _position(query)
    rows = _rows_in_order(tx, store.Part(query, visible, owner_id, after, limit + 1), expression)
    cursor = None
    if len(rows) > limit:
        rows = rows[:limit]
        cursor = encode_cursor([sort.value, _wire(getattr(rows[-1], store.SORT_KEYS[sort])), rows[-1].id])
    return Page(_listed(tx, rows), cursor)


def _rows_in_order(tx: Tx, part: store.Part, expression: Expression | None) -> Sequence[Any]:
    """The first rows after a position of the asked order, by whichever plan reads the least."""
    query = part.query
    if expression is not None and not query.has_bounds:
        known = store.list_known(tx, expression, part)
        if known is not None:
            return known
    else:
        candidates = store.candidates_of(tx, query, expression, part.owner_id)
        if expression is not None:
            is_few = store.count_matches(tx, expression, store.FEW) < store.FEW
        else:
            is_few = candidates is not None and store.count_candidates(tx, candidates) < store.FEW
        if candidates is not None and is_few:
            return store.list_few(tx, candidates, part)
    if expression is not None and query.text.strip():
        return store.list_walking_matches(tx, expression, part)
    return store.list_walking(tx, part)


def count_repositories(tx: Tx, actor: Actor, query: Query) -> Count:
    """How many the whole list has; above a thousand only that."""
    visible = _visibility(tx, actor)
    owner_id = store.find_owner(tx, query.author) if query.author else None
    if query.author and owner_id is None:
        return Count(0)
    expression = expression_of(query, visible, owner_id, Found())
    most = store.COUNTED + 1
    if expression is None:
        n = store.count_rows(tx, store.candidates_of(tx, query, expression, owner_id), query, visible, owner_id, most)
    elif query.has_bounds:
        n = store.count_within(tx, expression, query)
    else:
        n = store.count_matches(tx, expression, most)
    return _count(n)


def count_by_facet(tx: Tx, actor: Actor, query: Query, *, most: int = 12) -> dict[str, list[FacetValue]]:
    """By facet (``pipeline_tag``, ``language``, ``license`` …), the values that the best known thousand hits carry most often."""
    return summarise(tx, actor, query, most=most).facets


def summarise(tx: Tx, actor: Actor, query: Query, *, most: int = 12, found: Found | None = None) -> Summary:
    """What stands beside a page of the list: the count and the facets, for hardly more than the facets alone."""
    visible = _visibility(tx, actor)
    owner_id = store.find_owner(tx, query.author) if query.author else None
    if query.author and owner_id is None:
        return Summary(Count(0), {})
    expression = expression_of(query, visible, owner_id, Found() if found is None else found)
    if expression is not None:
        carried = store.facets_of_matches(tx, expression, query)
    elif owner_id is not None or query.has_bounds:
        candidates = store.candidates_of(tx, query, expression, owner_id)
        carried = store.facets_of_rows(tx, candidates, query, visible, owner_id)
    else:
        n = store.count_rows(tx, None, query, visible, None, store.COUNTED + 1)
        return Summary(
            _count(n), _by_facet(query.kind, store.most_used(tx, query.kind, FACETS[query.kind], most), most)
        )
    counts = Counter("\n".join(filter(None, carried[: store.COUNTED])).split("\n"))
    is_sample = len(carried) > store.COUNTED
    return Summary(_count(len(carried)), _by_facet(query.kind, counts.items(), most, is_sample=is_sample))


def _count(n: int) -> Count:
    return Count(min(n, store.COUNTED), n > store.COUNTED)


def _by_facet(
    kind: RepoKind, counted: Iterable[tuple[str, int]], most: int, *, is_sample: bool = False
) -> dict[str, list[FacetValue]]:
    found: dict[str, list[FacetValue]] = {}
    for tag, n in sorted(counted, key=lambda pair: (-pair[1], pair[0])):
        facet, label = facet_of(kind, tag)
        if facet is None:
            continue
        values = found.setdefault(facet, [])
        if len(values) < most:
            values.append(FacetValue(tag, label, replace(_count(n), is_more=is_sample or n > store.COUNTED)))
    return found


def tags_by_type(tx: Tx, kind: RepoKind, *, limit: int = 20_000) -> dict[str, list[dict[str, str]]]:
    """Every tag that a public repository carries, by type, in the form of ``/api/models-tags-by-type``."""
    found: dict[str, list[dict[str, str]]] = {}
    tags = store.most_used_tags(tx, kind, limit=limit)
    typed = {tag[len(facet) + 1 :] for tag, facet in tags if facet}
    bare = {"pipeline_tag", "library", "language"} if kind is RepoKind.MODEL else ()
    for tag, facet in tags:
        if facet:
            label = tag[len(facet) + 1 :]
            found.setdefault(facet, []).append({"id": label if facet in bare else tag, "label": label, "type": facet})
        elif tag not in typed:  # else shown bare, and listed under its type already
            found.setdefault("other", []).append({"id": tag, "label": tag, "type": "other"})
    return found


def _visibility(tx: Tx, actor: Actor) -> Visibility:
    owners = accounts.readable_owner_ids(tx, actor)
    if owners is None:
        return Visibility(everything=True)
    granted: frozenset[int] = frozenset()
    if actor.limits is not None and actor.limits.role == "fine":
        named = [grant.repo_id for grant in actor.limits.grants if grant.repo_id is not None]
        granted = frozenset(store.owned_by(tx, named, accounts.readable_owner_ids(tx, replace(actor, limits=None))))
    return Visibility(owner_ids=frozenset(owners), repo_ids=granted)


def _by_relevance(
    tx: Tx, query: Query, visible: Visibility, owner_id: int | None, expression: Expression, limit: int
) -> Page[Listed]:
    """Pages inside the first thousand by static rank; what comes after them is not ranked by words any more, and not listed."""
    offset = 0
    if query.cursor is not None:
        position = decode_cursor(query.cursor)
        if not isinstance(position, list) or len(position) != 2 or position[0] != Sort.RELEVANCE.value:
            raise BadCursor
        offset = position[1]
        if not isinstance(offset, int) or not 0 <= offset <= store.RANKED:
            raise BadCursor
    in_names = expression_of(query, visible, owner_id, expression.found, in_names=True) or expression
    ranks = store.ranked_matches(tx, expression, in_names, query if query.has_bounds else None)
    chosen = [RepoId(repo_of(rank)) for rank in ranks[offset : offset + limit]]
    rows = {row.id: row for row in store.list_by_ids(tx, chosen, query, visible)} if chosen else {}
    cursor = encode_cursor([Sort.RELEVANCE.value, offset + limit]) if offset + limit < len(ranks) else None
    found = [rows[repo_id] for repo_id in chosen if repo_id in rows]
    return Page(_listed(tx, found), cursor)


def _listed(tx: Tx, rows: Sequence[Any]) -> list[Listed]:
    ids = [RepoId(row.id) for row in rows]
    if not ids:
        return []
    cards, totals = get_cards(tx, ids), store.downloads_of_all_time(tx, ids)
    return [Listed(from_row(row), cards.get(row.id), totals.get(row.id, 0)) for row in rows]


def _position(query: Query) -> tuple[Any, int] | None:
    if query.cursor is None:
        return None
    position = decode_cursor(query.cursor)
    sort = query.effective_sort
    if not isinstance(position, list) or len(position) != 3 or position[0] != sort.value:
        raise BadCursor
    _, value, last_id = position
    if not isinstance(last_id, int) or not isinstance(value, int | float) or max(abs(last_id), abs(value)) >= 1 << 63:
        raise BadCursor
    if sort in (Sort.MODIFIED, Sort.CREATED):
        try:
            value = _EPOCH + timedelta(microseconds=value)
        except OverflowError as exc:
            raise BadCursor from exc
    return value, last_id


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _wire(value: Any) -> int | float:
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(microseconds=1)
    number: int | float = value
    return number
