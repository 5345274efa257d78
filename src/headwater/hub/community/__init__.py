"""What people do around repositories: discuss, propose, like, collect, follow, and listen by webhooks.

Split by noun; each module is a service over its own part of ``store``. Doors import the modules; other parts of the hub use
what is named here.
"""

from headwater.hub.community.models import Discussion, Status
from headwater.hub.community.pulls import (
    create_pull_request,
    may_write_pull,
    pull_number,
    pull_requests_moved,
    require_pull_writable,
)
from headwater.hub.community.webhooks import queue_webhooks

__all__ = [
    "Discussion",
    "Status",
    "create_pull_request",
    "may_write_pull",
    "pull_number",
    "pull_requests_moved",
    "queue_webhooks",
    "require_pull_writable",
]
