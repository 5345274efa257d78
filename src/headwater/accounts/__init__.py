"""People, organisations, tokens, grants: who may do what."""

from headwater.accounts.errors import BadCredential, GateClosed, Hidden, NotAllowed, NotSignedIn
from headwater.accounts.models import Account, AccountKind, Action, Resource, Role
from headwater.accounts.rights import allows, readable_owner_ids, require

__all__ = [
    "Account",
    "AccountKind",
    "Action",
    "BadCredential",
    "GateClosed",
    "Hidden",
    "NotAllowed",
    "NotSignedIn",
    "Resource",
    "Role",
    "allows",
    "readable_owner_ids",
    "require",
]
