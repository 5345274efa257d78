"""Whether everything that the site keeps is there and is what it says; what is wrong is named, and mended where it can be.

checkers   graph, packs (repositories), objects (large files, xorbs), record (entries, refs); others add theirs
service    all of them, one after another: ``headwater check``
scrubbing  the bytes again and again, at a set rate, in the background
repairing  from a backup or from another site
"""

from typing import TYPE_CHECKING, Any

from headwater.hub.checking.models import Looking, Problem, Row, Seen

if TYPE_CHECKING:
    from headwater.hub.checking.service import CHECKERS, Report, check

__all__ = ["CHECKERS", "Looking", "Problem", "Report", "Row", "Seen", "check"]


def __getattr__(name: str) -> Any:
    """What needs every checker is imported when it is asked for: a backup notes that it was made, and checks nothing."""
    if name in ("CHECKERS", "Report", "check"):
        from headwater.hub.checking import service

        return getattr(service, name)
    raise AttributeError(name)
