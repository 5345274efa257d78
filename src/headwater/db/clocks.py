"""Whether this host's clock agrees with the database's, which all hosts of a site share.

The order of a site's data never depends on a host's clock, but ends do: of links, tokens, sessions and grace times. A host
whose clock is off by more than ``MOST_S`` does not start; one whose clock goes wrong later is not ready, and takes no jobs.
"""

from __future__ import annotations

from headwater.db.database import Database
from headwater.kernel import HeadwaterError, Kind, metrics

MOST_S = 30.0

# Written by one process of a host: what several write is added up.
OFFSET = metrics.gauge(
    "headwater_clock_offset_seconds", "By how much the database's clock is ahead of this host's; 0 on SQLite."
).of()


class ClockDiffers(HeadwaterError):
    code = "clock_differs"
    kind = Kind.UNAVAILABLE

    def __init__(self, offset_s: float) -> None:
        super().__init__(
            f"This host's clock is {told(offset_s)} the database's; {MOST_S:.0f} s are the most that works. "
            "Set the clocks of both right, and keep them so: apt install chrony"
        )


def told(offset_s: float) -> str:
    """As in "12 minutes behind"."""
    size = f"{abs(offset_s):.0f} s" if abs(offset_s) < 120 else f"{abs(offset_s) / 60:.0f} minutes"
    return f"{size} {'behind' if offset_s > 0 else 'ahead of'}"


def require_same_clock(db: Database) -> float:
    """Return the offset if it is small enough to work with.

    Raises:
        ClockDiffers: it is not.
    """
    offset_s = db.clock_offset_s()
    if abs(offset_s) > MOST_S:
        raise ClockDiffers(offset_s)
    return offset_s
