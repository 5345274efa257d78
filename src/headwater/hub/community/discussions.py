"""Opening, reading and changing discussions. Pull requests are discussions too; what only they have is in ``pulls``."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime

from headwater import accounts, ledger
from headwater.accounts import Account, Action
from headwater.db import Tx, row_locked
from headwater.hub.access import check_repository, find_by_name, get_repository
from headwater.hub.community import attachments, webhooks
from headwater.hub.community.errors import (
    BadField,
    BadText,
    BadTitle,
    CommentNotFound,
    DiscussionNotFound,
    LimitReached,
    StatusRefused,
)
from headwater.hub.community.models import (
    Discussion,
    DiscussionFilter,
    DiscussionPage,
    Event,
    EventKind,
    Status,
)
from headwater.hub.community.store import discussions as store
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.kernel import AccountId, Actor

MIN_TITLE, MAX_TITLE = 3, 200
MAX_COMMENT_CHARS = 65_536
MAX_EVENTS = 2_000
MAX_LIVE_PER_STRANGER = 50
KEPT_EDITS = 20
PAGE_SIZE = 50

HIDDEN_TEXT = "This comment has been hidden"  # what the public hub answers in its place


@dataclass(frozen=True)
class Detail:
    """A discussion with all its events, everybody who appears in it, and what the actor may do."""

    repo: Repository
    discussion: Discussion
    events: tuple[Event, ...]
    people: dict[AccountId, Account]
    may_write: bool
    may_discuss: bool
    may_read_files: bool  # a gate may be closed to somebody who sees the rest


@dataclass(frozen=True)
class Listing:
    repo: Repository
    page: DiscussionPage
    people: dict[AccountId, Account]
    counts: dict[tuple[bool, str], int]


def list_discussions(
    tx: Tx,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    wanted: DiscussionFilter,
    *,
    page: int = 0,
    page_size: int = PAGE_SIZE,
    counts: dict[tuple[bool, str], int] | None = None,
) -> Listing:
    """One numbered page, newest first; pages past the end are empty. ``counts`` spares it to count anew what the caller has counted."""
    repo = get_repository(tx, actor, kind, name, Action.READ)
    found = store.list_discussions(tx, repo.id, wanted, page=page, page_size=page_size)
    people = accounts.get_accounts(tx, {item.author_id for item in found.items})
    return Listing(repo, found, people, store.count_by_state(tx, repo.id) if counts is None else counts)


def get_detail(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, num: int) -> Detail:
    """Everything that SQL knows of one discussion; hidden comments come without their text.

    Raises:
        DiscussionNotFound: the repository has no such number.
    """
    repo = get_repository(tx, actor, kind, name, Action.READ)
    discussion = _get(tx, repo, num)
    events = tuple(_veiled(event) for event in store.list_events(tx, discussion.id, limit=MAX_EVENTS))
    ids = {discussion.author_id, *(event.author_id for event in events)}
    ids |= {event.edited_by for event in events if event.edited_by is not None}
    ids |= {edit.author_id for event in events for edit in event.edits}
    return Detail(
        repo,
        discussion,
        events,
        accounts.get_accounts(tx, ids),
        may_write=accounts.allows(tx, actor, Action.WRITE, on=repo.resource),
        may_discuss=accounts.allows(tx, actor, Action.DISCUSS, on=repo.resource),
        may_read_files=accounts.allows(tx, actor, Action.READ_FILES, on=repo.resource),
    )


def open_discussion(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, *, title: str, body: str, now: datetime
) -> tuple[Repository, Discussion]:
    """Start a discussion; whoever may read a repository may, when signed in.

    Raises:
        BadTitle, BadText, LimitReached: as the limits above say.
    """
    repo = get_repository(tx, actor, kind, name, Action.DISCUSS)
    require_room(tx, actor, repo)
    discussion = store.insert_discussion(
        tx,
        repo.id,
        title=check_title(title),
        is_pull=False,
        status=Status.OPEN,
        author_id=author_of(actor),
        base_ref=None,
        start_commit=None,
        now=now,
    )
    record_opening(tx, actor, repo, discussion, check_body(body), now=now)
    return repo, discussion


@row_locked
def add_comment(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, num: int, body: str, *, now: datetime) -> Event:
    """Say something; closed and merged ones may still be talked about."""
    repo = check_repository(tx, actor, find_by_name(tx, kind, name), Action.DISCUSS)
    discussion = _get(tx, repo, num, lock=True)
    event = append_comment(tx, discussion, author_of(actor), body, now=now)
    webhooks.announce(tx, repo, "create", "discussion.comment", now=now, discussion=discussion, comment=event)
    return event


def edit_comment(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, num: int, comment_id: str, body: str, *, now: datetime
) -> Event:
    """Replace the text of one's own comment; former texts stay readable beside it.

    Raises:
        NotAllowed: it is somebody else's.
        StatusRefused: it is hidden.
    """
    repo, discussion = get_for(tx, actor, kind, name, num)
    event = _get_comment(tx, discussion, comment_id)
    if event.author_id != actor.account_id:
        raise accounts.NotAllowed("Only the one who wrote a comment can edit it. You can answer it instead.")
    if event.hidden_at is not None:
        raise StatusRefused("A hidden comment cannot be edited.")
    body = check_body(body)
    if body != event.body:
        store.replace_body(tx, event, body, by=author_of(actor), keep=KEPT_EDITS, now=now)
        attachments.note_uses(tx, repo.id, event, body)
        event = _get_comment(tx, discussion, comment_id)
        webhooks.announce(tx, repo, "update", "discussion.comment", now=now, discussion=discussion, comment=event)
    return event


def hide_comment(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, num: int, comment_id: str, *, now: datetime
) -> Event:
    """Take a comment's text out of sight for good: its author may, and those who write to the repository."""
    repo, discussion = get_for(tx, actor, kind, name, num)
    event = _get_comment(tx, discussion, comment_id)
    if event.author_id != actor.account_id:
        accounts.require(tx, actor, Action.WRITE, on=repo.resource)
    if event.hidden_at is None:
        store.hide_event(tx, event, by=author_of(actor), now=now)
        attachments.end_uses(tx, event)
        event = _get_comment(tx, discussion, comment_id)
        webhooks.announce(
            tx, repo, "update", "discussion.comment", now=now, discussion=discussion, comment=_veiled(event)
        )
        _note(tx, actor, repo, discussion, "comment.hidden", {"comment": comment_id}, now=now)
    return _veiled(event)


def rename_discussion(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, num: int, title: str, *, now: datetime
) -> Event:
    """Give it another title: its author may, and those who write to the repository."""
    repo, discussion = get_for(tx, actor, kind, name, num)
    _require_own_or_write(tx, actor, repo, discussion)
    title = check_title(title)
    _require_event_room(discussion)
    event = store.insert_event(
        tx,
        discussion.id,
        EventKind.TITLE_CHANGE,
        author_of(actor),
        data={"from": discussion.title, "to": title},
        now=now,
    )
    discussion = store.update_discussion(tx, discussion.id, title=title, now=now)
    webhooks.announce(tx, repo, "update", "discussion", now=now, discussion=discussion)
    return event


def change_status(
    tx: Tx,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    num: int,
    status: str,
    *,
    comment: str | None = None,
    now: datetime,
) -> Event:
    """Open (out of draft or again) or close it: its author may, and those who write to the repository.

    Raises:
        StatusRefused: it is merged, or in that state already.
    """
    repo, discussion = get_for(tx, actor, kind, name, num)
    _require_own_or_write(tx, actor, repo, discussion)
    if status not in (Status.OPEN.value, Status.CLOSED.value):
        raise BadField("status", "'open' or 'closed'")
    if discussion.status is Status.MERGED:
        raise StatusRefused(f"Pull request {num} is merged; that is final.")
    if discussion.status.value == status:
        raise StatusRefused(f"Number {num} is {status} already.")
    if comment and comment.strip():
        append_comment(tx, discussion, author_of(actor), comment, now=now)
    _require_event_room(discussion)
    event = store.insert_event(
        tx, discussion.id, EventKind.STATUS_CHANGE, author_of(actor), data={"status": status}, now=now
    )
    discussion = store.update_discussion(tx, discussion.id, status=status, now=now)
    webhooks.announce(tx, repo, "update", "discussion", now=now, discussion=discussion)
    _note(tx, actor, repo, discussion, f"discussion.{'closed' if status == 'closed' else 'opened'}", {}, now=now)
    return event


# What pull requests share


def get_for(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, num: int, action: Action = Action.DISCUSS
) -> tuple[Repository, Discussion]:
    """The repository and its discussion, for somebody who may do ``action`` there."""
    repo = check_repository(tx, actor, find_by_name(tx, kind, name), action)
    return repo, _get(tx, repo, num)


def require_room(tx: Tx, actor: Actor, repo: Repository) -> None:
    """Strangers may hold only so many open at a time in one repository; its writers may hold any number."""
    n_live = store.count_live_of_author(tx, repo.id, author_of(actor))
    if n_live >= MAX_LIVE_PER_STRANGER and not accounts.allows(tx, actor, Action.WRITE, on=repo.resource):
        raise LimitReached("open ones by you in this repository", n_live, "Close some first.")


def record_opening(tx: Tx, actor: Actor, repo: Repository, discussion: Discussion, body: str, *, now: datetime) -> None:
    """The opening comment, and word to webhooks and the record."""
    event = store.insert_event(tx, discussion.id, EventKind.COMMENT, author_of(actor), body=body, now=now)
    attachments.note_uses(tx, repo.id, event, body)
    webhooks.announce(tx, repo, "create", "discussion", now=now, discussion=discussion, comment=event)
    _note(tx, actor, repo, discussion, "pull.opened" if discussion.is_pull else "discussion.opened", {}, now=now)


def append_comment(tx: Tx, discussion: Discussion, author_id: AccountId, body: str, *, now: datetime) -> Event:
    body = check_body(body)
    if not body:
        raise BadText("The comment is empty.")
    _require_event_room(discussion)
    event = store.insert_event(tx, discussion.id, EventKind.COMMENT, author_id, body=body, now=now)
    attachments.note_uses(tx, discussion.repo_id, event, body)
    return event


def author_of(actor: Actor) -> AccountId:
    """Whose act it is. The rights function has refused strangers before; the system opens no discussions."""
    if actor.account_id is None:
        raise accounts.NotSignedIn
    return actor.account_id


def check_title(text: str) -> str:
    """One trimmed line, composed, without control or direction characters.

    Raises:
        BadTitle: too short or too long.
    """
    line = _one_line(text)
    if not MIN_TITLE <= len(line) <= MAX_TITLE:
        raise BadTitle(MIN_TITLE, MAX_TITLE)
    return line


def make_title(text: str) -> str:
    """A title out of a text that was written for something else, such as a commit's first line."""
    line = _one_line(text)[:MAX_TITLE].strip()
    return check_title(line if len(line) >= MIN_TITLE else f"Pull request: {line or 'no title'}")


def check_body(text: str) -> str:
    """A comment's markdown with plain line ends.

    Raises:
        BadText: too long, or no text at all.
        TooManyPictures: it names more than a comment may show.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    if len(text) > MAX_COMMENT_CHARS:
        raise BadText(f"A comment has at most {MAX_COMMENT_CHARS} characters. Attach the rest as a file by a commit.")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise BadText("The comment is not valid UTF-8.") from exc
    attachments.check_pictures(text)
    return text


# Marks that turn the direction of what follows, so that a title could disguise its neighbours.
_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\ufeff")


def _one_line(text: str) -> str:
    kept = "".join(c for c in unicodedata.normalize("NFC", text) if c not in _DIRECTION)
    return " ".join("".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in kept).split())


def _get(tx: Tx, repo: Repository, num: int, *, lock: bool = False) -> Discussion:
    discussion = store.find_discussion(tx, repo.id, num, lock=lock)
    if discussion is None:
        raise DiscussionNotFound(num)
    return discussion


def _get_comment(tx: Tx, discussion: Discussion, comment_id: str) -> Event:
    event = store.find_event(tx, discussion.id, comment_id)
    if event is None or event.kind is not EventKind.COMMENT:
        raise CommentNotFound
    return event


def _require_own_or_write(tx: Tx, actor: Actor, repo: Repository, discussion: Discussion) -> None:
    if discussion.author_id != actor.account_id:
        accounts.require(tx, actor, Action.WRITE, on=repo.resource)


def _require_event_room(discussion: Discussion) -> None:
    if discussion.n_events >= MAX_EVENTS:
        raise LimitReached("events in this discussion", MAX_EVENTS, "Open a new one and link to this.")


def _veiled(event: Event) -> Event:
    if event.hidden_at is None:
        return event
    return replace(event, body=HIDDEN_TEXT, edits=())


def _note(
    tx: Tx,
    actor: Actor,
    repo: Repository,
    discussion: Discussion,
    kind: str,
    facts: dict[str, object],
    *,
    now: datetime,
) -> None:
    ledger.record(
        tx,
        actor,
        kind,
        f"{repo.path}#{discussion.num}",
        facts,
        private=repo.is_private,
        repo_id=repo.id,
        owner_id=repo.owner_id,
        now=now,
    )
