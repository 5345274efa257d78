"""PostgreSQL's best known hits, without looking at all of them.

An inverted index there gives hits in no order. So each document carries one more lexeme, its kind with the tier of its static rank, and the tiers are asked
from the best down until enough is found: common words end in the first one, rare words have few hits in any.
"""

from __future__ import annotations

from sqlalchemy import text

from headwater.db import Tx
from headwater.hub.models import RepoKind
from headwater.hub.search.matching import TsQuery
from headwater.hub.search.ranks import place_of
from headwater.hub.tables.search import RANK_TIERS, RANKS_OF_A_KIND


def first_ranks(tx: Tx, asked: TsQuery, kind: RepoKind, limit: int) -> list[int]:
    """Ranks of the best known ``limit`` documents of that kind that match, in order."""
    place = place_of(kind)
    start, stop = place * RANKS_OF_A_KIND, (place + 1) * RANKS_OF_A_KIND
    found: list[int] = []
    last = len(RANK_TIERS)
    for tier in range(last + 1):
        # The sum keeps the planner from walking all ranks, which would unpack the lexemes of each: it thinks that this is cheap. In the
        # last tier, of what hardly anybody knows, it may, unless the better ones have shown that there are not too many hits.
        order = "d.rank" if tier == last and len(found) * 10 < limit else "d.rank + 0"
        beyond = ""
        if tier == last and order == "d.rank":
            beyond = f" and d.rank >= {start + RANK_TIERS[-1]} and d.rank < {stop}"
        statement = (
            f"select d.* from search_document d where d.lexemes @@ cast(:match as tsquery){beyond} order by {order}"
        )
        if asked.phrases is None:
            statement = statement.replace("d.*", "d.rank", 1) + f" limit {limit - len(found)}"
        else:
            # Texts are unpacked one by one in that order, until enough of them hold the phrases.
            statement = f"select d.rank from ({statement} offset 0) d where {asked.phrases} limit {limit - len(found)}"
        values = {**asked.values, "match": f"({asked.lexemes}) & 'z{place}{tier}'"}
        found += tx.execute(text(statement), values).scalars().all()
        if len(found) >= limit:
            break
    return found
