"""Loaded by each Python that runs under libfaketime in a test: ``time.sleep`` as that library lets it be.

Python sleeps until a moment of the monotonic clock (clock_nanosleep, absolute). libfaketime 0.9.10 takes the shift of the
real clock out of that moment, even where it is told to leave the monotonic clock alone, and the system refuses what is left
(EINVAL). Waiting for nothing sleeps as long, and by no absolute moment.
"""

import select
import time


def _sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = _sleep
