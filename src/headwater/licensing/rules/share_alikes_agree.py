"""Two things of which one was made, each asking for its own licence again: no licence can be both, unless one of them names the other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import combinations

from headwater.licensing.lineage import CONFLICT, DERIVED, Edge, Lineage, Standing, Verdict, verdict
from headwater.licensing.obligations import RECIPROCAL
from headwater.licensing.rules.share_alike_is_kept import accepts
from headwater.licensing.ruling import Case, Rule, thing


def judge(standing: Standing) -> Iterator[Verdict]:
    found = list(standing.conditions(RECIPROCAL, DERIVED))
    for (one, its), (other, others) in combinations(found, 2):
        both = {one.licence, other.licence, *(each.key for each in (*its.accepts, *others.accepts))}
        if not any(accepts(one.licence, its, key) and accepts(other.licence, others, key) for key in both):
            yield verdict(RULE.id, CONFLICT, one, its)
            yield verdict(RULE.id, CONFLICT, other, others)


def _merge(about: str, one: str, other: str, own: str, *finds: str) -> Case:
    things = (thing("one", one), thing("other", other), thing("merged", own))
    return Case(about, Lineage(things, [Edge("merged", "one"), Edge("merged", "other")]), "merged", finds)


RULE = Rule(
    id="share_alikes_agree",
    version=1,
    applies_from=date(1991, 6, 1),
    says="Two of the things it was made of each ask for their own licence again.",
    source="The share-alike clauses of both licences, as quoted.",
    judge=judge,
    passing=(
        _merge("The same twice", "gpl-3.0", "gpl-3.0", "gpl-3.0"),
        _merge("One names the other", "gpl-3.0", "agpl-3.0", "agpl-3.0"),
        _merge("Both name a third", "mpl-2.0", "gpl-3.0", "gpl-3.0"),
        _merge("Only one asks", "gpl-3.0", "mit", "gpl-3.0"),
    ),
    failing=(
        _merge("Neither names the other", "gpl-3.0", "cc-by-sa-4.0", "gpl-3.0", CONFLICT, CONFLICT),
        _merge("Software and data", "odbl-1.0", "cc-by-sa-4.0", "odbl-1.0", CONFLICT, CONFLICT),
    ),
)
