"""Nothing is concluded from a licence that nobody names, or whose conditions nobody has compared with its text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from headwater.licensing.lineage import UNKNOWN, Standing, Verdict
from headwater.licensing.obligations import terms_of
from headwater.licensing.ruling import Rule, case, thing


def judge(standing: Standing) -> Iterator[Verdict]:
    node = standing.node
    if not node.licences:
        yield Verdict(
            RULE.id, UNKNOWN, "not_checked" if node.declared else "no_licence", node.declared, "", "", (node.id,)
        )
    for key in node.licences:
        if not terms_of(key).is_checked:
            yield Verdict(RULE.id, UNKNOWN, "not_checked", key, "", "", (node.id,))
    for each in standing.inherited:
        if not each.licence:
            yield Verdict(RULE.id, UNKNOWN, "no_licence", "", "", "", each.chain)
        elif not each.terms.is_checked:
            yield Verdict(RULE.id, UNKNOWN, "not_checked", each.licence, "", "", each.chain)


RULE = Rule(
    id="licence_is_known",
    version=1,
    applies_from=date(2004, 1, 1),
    says="There is no licence here whose conditions have been checked against its text.",
    source="The site's own caution: see obligations.toml.",
    judge=judge,
    passing=(
        case("All are known", thing("base", "apache-2.0"), thing("tuned", "mit")),
        case("Asking nothing is known too", thing("base", "cc0-1.0"), thing("tuned", "unlicense")),
    ),
    failing=(
        case("None named", thing("tuned"), finds=(UNKNOWN,)),
        case("None named above", thing("base"), thing("tuned", "mit"), finds=(UNKNOWN,)),
        case("Not compared with its text", thing("base", "s-lab-1.0"), thing("tuned", "mit"), finds=(UNKNOWN,)),
    ),
)
