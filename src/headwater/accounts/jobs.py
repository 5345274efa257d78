"""What is done every so often: rows of credentials that can open nothing any more go away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from headwater.accounts.store import secrets
from headwater.kernel import utcnow
from headwater.web import Site

LINKS_KEPT = timedelta(days=90)  # used and expired links are kept for a while, for those who ask who came by which


def sweep_credentials(site: Site) -> None:
    """Delete ended sessions, old one-time links and counters of failed sign-ins. Tokens stay: their owners revoke them."""
    now = utcnow()
    site.db.write(secrets.sweep, now=now, links_before=now - LINKS_KEPT)


PERIODIC: list[tuple[float, Callable[[Site], None]]] = [(3600.0, sweep_credentials)]
