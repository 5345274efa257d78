"""Quotas: what each account is charged for, what it may use, and the proof that the counters are right.

The counters move in the transaction that moves what they count (``charging``); docs/decisions/0015-quotas.md defines
what that is.
"""

from headwater.hub.quotas.charging import (
    Bill,
    Payer,
    Room,
    close_repository,
    find_room,
    grant,
    move_repository,
    open_repository,
    payer_of,
    recount_packs,
    refund_claims,
    require_room,
    rights_changing,
    set_visibility,
)
from headwater.hub.quotas.errors import BadQuota, QuotaExceeded, TooManyRepositories
from headwater.hub.quotas.models import NO_LIMIT, Limits, Quota, SiteLimits, Usage
from headwater.hub.quotas.store import delete_claims

__all__ = [
    "NO_LIMIT",
    "BadQuota",
    "Bill",
    "Limits",
    "Payer",
    "Quota",
    "QuotaExceeded",
    "Room",
    "SiteLimits",
    "TooManyRepositories",
    "Usage",
    "close_repository",
    "delete_claims",
    "find_room",
    "grant",
    "move_repository",
    "open_repository",
    "payer_of",
    "recount_packs",
    "refund_claims",
    "require_room",
    "rights_changing",
    "set_visibility",
]
