"""The collector: takes away bytes that nobody may read any more, late, in steps that can be taken back until the last.

Deleting is the one act that cannot be repaired, so it waits for three things: nobody has a right or a claim; a day has passed
since that was first seen; and the clock has not jumped since the last run (``clock``).
"""

from headwater.hub.collector.clock import ClockJumped, Stopped, confirm_clock, find_stop
from headwater.hub.collector.overview import Overview, ask_for_run, confirm, find_overview, retry_jobs
from headwater.hub.collector.run import Report, collect, run_asked, run_periodically, sweep_here

__all__ = [
    "ClockJumped",
    "Overview",
    "Report",
    "Stopped",
    "ask_for_run",
    "collect",
    "confirm",
    "confirm_clock",
    "find_overview",
    "find_stop",
    "retry_jobs",
    "run_asked",
    "run_periodically",
    "sweep_here",
]
