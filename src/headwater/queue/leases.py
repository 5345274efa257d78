"""Holding on to what was taken for a time: renewed from a thread of its own while the work goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LEASE_S = 30  # whose host dies loses its work to another after this

_log = logging.getLogger("headwater.queue")


@contextmanager
def renewing(renew: Callable[[], None]) -> Iterator[None]:
    """Call ``renew`` three times a lease until the block ends. A database that is away for a moment ends nothing."""
    stop = threading.Event()

    def go_on() -> None:
        while not stop.wait(LEASE_S / 3):
            try:
                renew()
            except Exception:  # noqa: BLE001 -- tried again at the next third
                _log.exception("queue.lease_not_renewed")

    keeper = threading.Thread(target=go_on, name="lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()  # a renewal under way would otherwise come after the end, and hold what was given back
