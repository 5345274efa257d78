"""Tokens that were found where others may read them: ended at once, and their owner is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headwater.accounts import credentials
from headwater.accounts.service import journal
from headwater.accounts.store import secrets
from headwater.db import Tx


@dataclass(frozen=True)
class LeakedToken:
    """``was_live``: it could have been used until now."""

    account_name: str
    name: str
    was_live: bool


def end_leaked_token(tx: Tx, secret: str, *, where: str, now: datetime) -> LeakedToken | None:
    """Revoke the token if this site made it. ``where`` tells its owner, in their own log, where it was found.

    None where no such token was ever given out here.
    """
    row = secrets.token_with_owner(tx, credentials.digest_of(secret))
    if row is None:
        return None
    was_live = row.revoked_at is None and (row.expires_at is None or row.expires_at > now)
    if was_live:
        secrets.revoke_token(tx, row.id, now=now)
        journal.note(
            tx, row.account_id, "token_leaked", facts={"name": row.name, "where": where}, is_alert=True, now=now
        )
    return LeakedToken(row.account_name, row.name, was_live)
