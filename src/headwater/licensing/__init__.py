"""Pure judgement of licences: which one a text is, what it asks for, and what that means along a lineage. No I/O but this package's own data.

licensing.read_licence(text)               # Reading: matches with containment, places of what was changed
licensing.terms_of("apache-2.0")           # Terms: conditions with clause and quote; is_checked
licensing.keys_of("llama3.1")              # the licences that a card's id may mean
licensing.Lineage(nodes, edges).judge(id)  # verdicts, each with its chain and clause

Nothing here says what anybody may do; it says what stands in which clause.
"""

from headwater.licensing.index import Licence, find_licence
from headwater.licensing.lineage import (
    CONFLICT,
    DATA,
    DERIVED,
    DUTY,
    FITS,
    OUTCOMES,
    OUTPUTS,
    UNCLEAR,
    UNKNOWN,
    UNMET,
    Edge,
    Lineage,
    Node,
    Verdict,
    worst,
)
from headwater.licensing.matching import EXACT, MODIFIED, PARTIAL, Match, Reading, read_licence
from headwater.licensing.obligations import Condition, Terms, is_open, keys_of, same_licence, shown_words, terms_of

__all__ = [
    "CONFLICT",
    "DATA",
    "DERIVED",
    "DUTY",
    "EXACT",
    "FITS",
    "MODIFIED",
    "OUTCOMES",
    "OUTPUTS",
    "PARTIAL",
    "UNCLEAR",
    "UNKNOWN",
    "UNMET",
    "Condition",
    "Edge",
    "Licence",
    "Lineage",
    "Match",
    "Node",
    "Reading",
    "Terms",
    "Verdict",
    "find_licence",
    "is_open",
    "keys_of",
    "read_licence",
    "same_licence",
    "shown_words",
    "terms_of",
    "worst",
]
