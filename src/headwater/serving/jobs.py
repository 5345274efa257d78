"""What is done every so often for serving, once for the whole site."""

from __future__ import annotations

from collections.abc import Callable

from headwater.kernel import utcnow
from headwater.web.site import Site


def sweep_usage(site: Site) -> None:
    """Old counts and contents go."""
    from headwater.serving import usage_store

    site.db.write(usage_store.sweep, now=utcnow())


PERIODIC: list[tuple[float, Callable[[Site], None]]] = [(3600.0, sweep_usage)]
