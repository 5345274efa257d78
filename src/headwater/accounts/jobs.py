"""What is done every so often: rows of credentials that can open nothing any more go away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from headwater.accounts.store import secrets
from headwater.kernel import utcnow
from headwater.web import Site

LINKS_KEPT = timedelta(days=90)  # used and expired links are kept for a while, for those who ask who came by which
EVENTS_KEPT = timedelta(days=400)  # of each account's own log: the year that an audit asks for, and a month to look


def sweep_credentials(site: Site) -> None:
    """Delete ended sessions, old one-time links, counters of failed sign-ins and old lines of accounts' own logs.

    Tokens stay: their owners revoke them.
    """
    now = utcnow()
    site.db.write(secrets.sweep, now=now, links_before=now - LINKS_KEPT, events_before=now - EVENTS_KEPT)


PERIODIC: list[tuple[float, Callable[[Site], None]]] = [(3600.0, sweep_credentials)]
