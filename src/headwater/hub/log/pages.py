"""The log's pages: what it holds, one entry with its proof, what was taken away and why, what happened to one repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import Action
from headwater.db import Tx
from headwater.db.moving import BEHIND, find_move
from headwater.hub import access
from headwater.hub.errors import BadName, RepositoryNotFound
from headwater.hub.log import door, store
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.names import parse_repo_name
from headwater.hub.repos import store as repos_store
from headwater.kernel import Actor, EntryId, RepoId
from headwater.ledger import keys, sequencer
from headwater.ledger.notes import COSIGNS
from headwater.ledger.sequencer import Leaf, SignedCheckpoint
from headwater.web import Access, Route, shell

shell.register_pages("log", Path(__file__).parent)

PER_PAGE = 50


@dataclass(frozen=True)
class Row:
    """An entry as its leaf says it. Of private things ``subject`` and ``actor`` are empty: there are only digests of them."""

    index: int
    kind: str
    subject: str
    subject_href: str
    actor: str
    facts: Sequence[tuple[str, str]]
    reason: str
    is_private: bool
    at: datetime

    @property
    def href(self) -> str:
        return f"/log/entries/{self.index}"


@dataclass(frozen=True)
class Confirmation:
    name: str
    size: int
    at: datetime


@dataclass(frozen=True)
class LogPage:
    size: int
    checkpoint: SignedCheckpoint | None
    key: str
    witness_key: str
    former: Sequence[str]
    confirmations: Sequence[Confirmation]
    refused_because: str
    command: str
    rows: Sequence[Row]
    is_first: bool
    next_href: str | None


@dataclass(frozen=True)
class EntryPage:
    row: Row
    leaf: str
    hash: str
    proof: Sequence[str]
    checkpoint: SignedCheckpoint
    root: str


@dataclass(frozen=True)
class ListPage:
    """``path`` is the repository's, where the list is of one."""

    path: str
    is_gone: bool
    rows: Sequence[Row]
    next_href: str | None


async def show_log(request: Request) -> Response:
    """``GET /log``."""
    page = await web.read_tx(request, load_log, request)
    return shell.render(request, "log/log.html", page)


def load_log(tx: Tx, actor: Actor, request: Request) -> LogPage:
    before = _before(request)
    logs, move = keys.list_logs(tx), find_move(tx)
    mine = logs[-1] if logs else None
    found = sequencer.list_leaves(tx, before=before, limit=PER_PAGE + 1)
    confirmed = [] if mine is None else sequencer.list_cosignatures(tx, mine.generation)
    return LogPage(
        size=sequencer.size_of(tx),
        checkpoint=sequencer.find_checkpoint(tx),
        key="" if mine is None else str(mine.key),
        witness_key="" if mine is None else str(mine.key.with_kind(COSIGNS)),
        former=[str(one.key) for one in logs[:-1]],
        confirmations=[Confirmation(*one) for one in confirmed],
        refused_because=move.target if move is not None and move.state == BEHIND else "",
        command=f"headwater verify --url {web.site_of(request).base_url} --all",
        rows=[row_of(leaf) for leaf in found[:PER_PAGE]],
        is_first=before is None,
        next_href=f"/log?before={found[PER_PAGE - 1].index}" if len(found) > PER_PAGE else None,
    )


async def show_entry(request: Request) -> Response:
    """``GET /log/entries/{index}``."""
    page = await web.read_tx(request, load_entry, request)
    return shell.render(request, "log/entry.html", page)


def load_entry(tx: Tx, actor: Actor, request: Request) -> EntryPage:
    """Raises: LogEntryNotFound."""
    text = request.path_params["index"]
    proven = door.prove(tx, int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1)
    return EntryPage(
        row_of(proven.leaf),
        proven.leaf.text,
        proven.leaf.hash.hex(),
        [step.hex() for step in proven.proof],
        proven.checkpoint,
        proven.checkpoint.root.hex(),
    )


async def show_tombstones(request: Request) -> Response:
    """``GET /log/tombstones``."""
    page = await web.read_tx(request, load_tombstones, request)
    return shell.render(request, "log/list.html", page)


def load_tombstones(tx: Tx, actor: Actor, request: Request) -> ListPage:
    before = _before(request)
    found = sequencer.list_tombstones(tx, before=None if before is None else EntryId(before), limit=PER_PAGE + 1)
    next_href = f"/log/tombstones?before={found[PER_PAGE - 1].entry_id}" if len(found) > PER_PAGE else None
    return ListPage("", False, [row_of(leaf) for leaf in found[:PER_PAGE]], next_href)


async def show_repository(request: Request) -> Response:
    """``GET /log/about/{path}``: what the log has of a repository, which may be gone."""
    page = await web.read_tx(request, load_repository, request)
    return shell.render(request, "log/list.html", page)


def load_repository(tx: Tx, actor: Actor, request: Request) -> ListPage:
    """Raises: RepositoryNotFound: also for a private one that is gone."""
    path = request.path_params["path"].strip("/")
    repo_id, is_gone = _find(tx, actor, path)
    found = sequencer.leaves_of_repository(tx, repo_id, before=_before(request), limit=PER_PAGE + 1)
    next_href = f"/log/about/{quote(path)}?before={found[PER_PAGE - 1].index}" if len(found) > PER_PAGE else None
    return ListPage(path, is_gone, [row_of(leaf) for leaf in found[:PER_PAGE]], next_href)


def _find(tx: Tx, actor: Actor, path: str) -> tuple[RepoId, bool]:
    kind, name = _name_of(path)
    held = repos_store.find_name(tx, kind, name)
    was_private = store.find_deleted(tx, held[0]) if held is not None else None
    if held is not None and was_private is False:
        return held[0], True
    return access.get_repository(tx, actor, kind, name, Action.READ).id, False


def _name_of(path: str) -> tuple[RepoKind, RepoName]:
    head, _, rest = path.partition("/")
    try:
        if head in ("datasets", "spaces"):
            return RepoKind.from_plural(head), parse_repo_name(rest)
        return RepoKind.MODEL, parse_repo_name(path)
    except BadName as exc:
        raise RepositoryNotFound from exc


def row_of(leaf: Leaf) -> Row:
    """What a leaf says, for a person."""
    told = orjson.loads(leaf.text)
    facts = told["facts"] if isinstance(told["facts"], dict) else {}
    subject = "" if leaf.is_private else str(told["subject"])
    is_repository = leaf.repo_id is not None and not leaf.is_private
    return Row(
        index=leaf.index,
        kind=leaf.kind,
        subject=subject,
        subject_href=f"/log/about/{quote(subject)}" if is_repository else "",
        actor="" if leaf.is_private else str(told["actor"]),
        facts=[
            (name, _text(value))
            for name, value in facts.items()
            if value is not None and name not in ("repo_id", "reason")
        ],
        reason=str(facts.get("reason") or ""),
        is_private=leaf.is_private,
        at=leaf.created_at,
    )


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return text if len(text) <= 200 else f"{text[:200]}…"


def _before(request: Request) -> int | None:
    text = request.query_params.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


ROUTES = [
    Route("GET", "/log", show_log, Access.PUBLIC),
    Route("GET", "/log/entries/{index}", show_entry, Access.PUBLIC),
    Route("GET", "/log/tombstones", show_tombstones, Access.PUBLIC),
    Route("GET", "/log/about/{path*}", show_repository, Access.READ),
]
