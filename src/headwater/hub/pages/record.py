"""What the record holds of one repository: every act others may rely on, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from starlette.requests import Request

from headwater import ledger
from headwater.hub.pages import addresses
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.kernel import Actor
from headwater.ledger.sequencer import indexes_of
from headwater.web import Site

PER_PAGE = 50


@dataclass(frozen=True)
class RecordRow:
    """``facts`` are the entry's own words; ``is_private`` says that the public record holds salted digests of them only."""

    number: int
    kind: str
    actor: str
    facts: Sequence[tuple[str, str, str]]  # name, value, address or ""
    is_private: bool
    at: datetime
    proof_href: str  # "" where the log has it not yet


@dataclass(frozen=True)
class RecordPage:
    head: Head
    rows: Sequence[RecordRow]
    next_href: str | None


def load(site: Site, actor: Actor, request: Request) -> RecordPage:
    """Raises: RepositoryNotFound, Moved, BadCursor."""
    kind, name = name_of(request)
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "record")
        page = ledger.list_entries(tx, repo_id=head.repo.id, cursor=request.query_params.get("cursor"), limit=PER_PAGE)
        places = indexes_of(tx, [entry.id for entry in page.items])
    next_href = None
    if page.cursor is not None:
        next_href = addresses.with_query(addresses.of(head.repo, "record"), cursor=page.cursor)
    rows = [
        RecordRow(
            number=entry.id,
            kind=entry.kind,
            actor=str(entry.names.get("actor", "")),
            facts=_facts(head, entry.names.get("facts")),
            is_private=entry.is_private,
            at=entry.created_at,
            proof_href=f"/log/entries/{places[entry.id]}" if entry.id in places else "",
        )
        for entry in page.items
    ]
    return RecordPage(head, rows, next_href)


def _facts(head: Head, facts: Any) -> list[tuple[str, str, str]]:
    if not isinstance(facts, dict):
        return []
    found = []
    for key, value in facts.items():
        if value is None or key == "repo_id":
            continue
        text, href = value if isinstance(value, str) else orjson.dumps(value, default=str).decode(), ""
        if key in ("old", "new", "commit") and len(text) == 40:
            href, text = head.at("commit", text), text[:12]
        found.append((key, text, href))
    return found
