"""An organisation's own log, for its administrators: what was done with its things, and by whom.

A view of the record's entries about things that were the organisation's at that time, with the plain names of private ones. How
its members sign in is not in it: anybody can be made a member without being asked, and that stays with the person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater import ledger
from headwater.accounts.models import Account, Action
from headwater.accounts.rights import require
from headwater.accounts.service.lookup import get_organisation, namespace_resource
from headwater.db import Tx
from headwater.kernel import Actor, Page, decode_number, encode_cursor


@dataclass(frozen=True)
class AuditLine:
    """One act. ``number`` is that of the record's entry."""

    at: datetime
    actor: str
    kind: str
    subject: str
    facts: dict[str, Any]
    number: int
    is_private: bool


def list_lines(
    tx: Tx, actor: Actor, org: str, *, cursor: str | None = None, limit: int = 50
) -> tuple[Account, Page[AuditLine]]:
    """The organisation, and a page of its log, newest first.

    Raises:
        AccountNotFound, NotAnOrganisation, NotSignedIn, NotAllowed: only its administrators may.
        BadCursor: made up.
    """
    found = get_organisation(tx, org)
    require(tx, actor, Action.MANAGE_ACCOUNT, on=namespace_resource(found))
    before = None if cursor is None else decode_number(cursor)
    entries = ledger.list_of_owner(tx, found.id, before=before, limit=limit + 1)
    lines = [_of_entry(entry) for entry in entries[:limit]]
    return found, Page(lines, encode_cursor(lines[-1].number) if len(entries) > limit else None)


def _of_entry(entry: ledger.Entry) -> AuditLine:
    facts = entry.names.get("facts")
    return AuditLine(
        at=entry.created_at,
        actor=str(entry.names.get("actor", "")),
        kind=entry.kind,
        subject=str(entry.names.get("subject", "")),
        facts=facts if isinstance(facts, dict) else {},
        number=entry.id,
        is_private=entry.is_private,
    )
