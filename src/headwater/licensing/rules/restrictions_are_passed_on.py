"""Who makes something of a thing under a restriction cannot give it away without: nobody grants more than they have.

A restriction that the new licence has as well is passed on. A use policy of another maker is not the same policy: that is left open. A limit
of users or revenue must not be higher than the one above.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from headwater.licensing.lineage import CONFLICT, DERIVED, UNCLEAR, Inherited, Standing, Verdict, verdict
from headwater.licensing.obligations import RESTRICTIONS, Condition, Terms
from headwater.licensing.ruling import Rule, case, thing

_LIMITS = ("user_limit", "revenue_limit")


def judge(standing: Standing) -> Iterator[Verdict]:
    own = [terms for terms in standing.own if terms.is_checked]
    if not own:
        return
    for each, condition in standing.conditions(RESTRICTIONS, DERIVED):
        if each.licence in standing.node.licences or _same_words(each.terms, own, condition):
            continue
        # Several licences are a choice, so one of them that leaves it out is enough.
        outcomes = {_outcome(each, condition, terms) for terms in own}
        if CONFLICT in outcomes:
            yield verdict(RULE.id, CONFLICT, each, condition)
        elif UNCLEAR in outcomes:
            yield verdict(RULE.id, UNCLEAR, each, condition)


def _same_words(above: Terms, own: list[Terms], condition: Condition) -> bool:
    """Versions of one licence that only differ in their number, such as Llama 3.1 and 3.3."""
    return all(condition in terms.conditions for terms in own) and above.conditions == own[0].conditions


def _outcome(each: Inherited, condition: Condition, own: Terms) -> str:
    same = own.having(condition.what)
    if not same:
        return CONFLICT
    if condition.what in _LIMITS:
        limits = [_number(found.value) for found in same]
        return "" if min(limits) <= _number(condition.value) else CONFLICT
    return UNCLEAR if condition.what in ("use_policy", "territory") else ""


def _number(value: str) -> int:
    return int(re.sub(r"\D", "", value) or 0)


RULE = Rule(
    id="restrictions_are_passed_on",
    version=1,
    applies_from=date(2023, 2, 24),
    says="The licence gives more than what the thing was made of allows.",
    source="The clause of the licence above that restricts, as quoted; each is compared with the licence declared.",
    judge=judge,
    passing=(
        case("Open all along", thing("base", "apache-2.0"), thing("tuned", "mit")),
        case("The same licence", thing("base", "llama-3.1-license-2024"), thing("Llama-t", "llama-3.1-license-2024")),
        case("Non-commercial stays so", thing("base", "cc-by-nc-4.0"), thing("tuned", "cc-by-nc-4.0")),
        case("Data restricts no derivative", thing("rows", "cc-by-nc-4.0"), thing("model", "mit"), ways="a"),
    ),
    failing=(
        case(
            "A use policy and a limit of users dropped",
            thing("base", "llama-3.1-license-2024"),
            thing("Llama-t", "apache-2.0"),
            finds=(CONFLICT, CONFLICT),
        ),
        case(
            "Also two steps down",
            thing("base", "cc-by-nc-4.0"),
            thing("tuned", "cc-by-nc-4.0"),
            thing("small", "mit"),
            finds=(CONFLICT,),
        ),
        case(
            "A higher limit of users",
            thing("base", "tencent-hunyuan-3d-2.0-cla"),
            thing("tuned", "llama-2-license-2023"),
            finds=(CONFLICT, CONFLICT, UNCLEAR),
        ),
        case(
            "Another maker's policy",
            thing("base", "bigscience-open-rail-m2"),
            thing("tuned", "gemma-tou-2024-04-01"),
            finds=(UNCLEAR,),
        ),
    ),
)
