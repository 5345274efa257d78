"""Small words that every package shares: ids, digests, time, actors, errors, paging.

No I/O and no framework. Keep it small: what only one package needs lives in that package.
"""

from headwater.kernel.actor import ANONYMOUS, SYSTEM, Actor, Grant, TokenLimits
from headwater.kernel.clock import from_iso, to_iso, utcnow
from headwater.kernel.errors import HeadwaterError, Kind
from headwater.kernel.ids import AccountId, CommitId, EntryId, GitOid, JobId, RepoId, Sha256, XetHash
from headwater.kernel.paging import BadCursor, Page, decode_cursor, decode_number, encode_cursor
from headwater.kernel.settings import Settings, setting

__all__ = [
    "ANONYMOUS",
    "SYSTEM",
    "AccountId",
    "Actor",
    "BadCursor",
    "CommitId",
    "EntryId",
    "GitOid",
    "Grant",
    "HeadwaterError",
    "JobId",
    "Kind",
    "Page",
    "RepoId",
    "Settings",
    "Sha256",
    "TokenLimits",
    "XetHash",
    "decode_cursor",
    "decode_number",
    "encode_cursor",
    "from_iso",
    "setting",
    "to_iso",
    "utcnow",
]
