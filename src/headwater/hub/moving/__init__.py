"""A whole site to another database, another store, or both, while it runs.

Objects go first, then rows; what changes meanwhile is noted and follows. In the last pass the site refuses writes, and only then.
docs/decisions/0018-migrate-site.md has the order, and what holds if it is killed anywhere.
"""

from headwater.hub.moving.errors import MoveFailed, MoveIncomplete, MoveTaken, NothingToMove, SiteRuns
from headwater.hub.moving.site import Moved, Place, abort, move_site

__all__ = [
    "MoveFailed",
    "MoveIncomplete",
    "MoveTaken",
    "Moved",
    "NothingToMove",
    "Place",
    "SiteRuns",
    "abort",
    "move_site",
]
