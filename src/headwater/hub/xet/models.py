"""What a Xet token grants, and what is known about a xorb."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from headwater.accounts import Action
from headwater.hub.grants import RepoGrant
from headwater.kernel import XetHash

TOKEN_LIFETIME = timedelta(minutes=15)
LINK_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True)
class CasGrant(RepoGrant):
    """What the bearer of a Xet token may do.

    ``action`` is READ_FILES, WRITE, or DISCUSS for who may only open a pull request.
    """

    @property
    def may_upload(self) -> bool:
        return self.action is not Action.READ_FILES

    @property
    def holder_token(self) -> int:
        """Under which token uploads are held: fine-grained ones see only what came through them."""
        limits = self.actor.limits
        return limits.token_id if limits is not None and limits.role == "fine" else 0

    @property
    def owner(self) -> str:
        """What casUrl names as owner. Clients remember uploads by casUrl: it must tell apart all whose rights differ."""
        token = self.holder_token
        return f"{self.actor.account_id or 0}" + (f"-{token}" if token else "")


@dataclass(frozen=True)
class Xorb:
    hash: XetHash
    n_chunks: int
    payload_bytes: int
    state: str
    generation: int

    @property
    def is_stored(self) -> bool:
        return self.state in ("live", "condemned")
