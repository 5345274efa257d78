"""Discussions and pull requests of a repository: list, conversation, changes, and the forms that act on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import Account, Action
from headwater.db import Tx
from headwater.hub import access
from headwater.hub.community import discussions, pulls
from headwater.hub.community.errors import DiscussionNotFound
from headwater.hub.community.models import Discussion, DiscussionFilter, Event, EventKind, Status
from headwater.hub.community.rendering import Renderer
from headwater.hub.git import CommitInfo, GitStore
from headwater.hub.pages import pictures
from headwater.hub.pages.doors import leads_on
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.hub.pages.history import DiffView, show_diff
from headwater.kernel import AccountId, Actor, HeadwaterError, Kind, utcnow
from headwater.web import Access, Route, Site, shell

PER_PAGE = 30
KINDS: Mapping[str, bool | None] = {"all": None, "discussion": False, "pull": True}
STATES = ("open", "closed", "all")
SHOWN_AGAIN = (Kind.BAD_INPUT, Kind.CONFLICT, Kind.UNPROCESSABLE, Kind.TOO_LARGE)
NO_HTML = Markup()


@dataclass(frozen=True)
class Tab:
    """A filter's value as a link. ``count`` is None where it would cost a query of its own."""

    name: str
    href: str
    is_on: bool
    count: int | None = None


@dataclass(frozen=True)
class Row:
    discussion: Discussion
    href: str
    author: Account | None


@dataclass(frozen=True)
class TalkListPage:
    head: Head
    rows: Sequence[Row]
    count: int
    states: Sequence[Tab]
    kinds: Sequence[Tab]
    search: str
    author: str
    hidden: Sequence[tuple[str, str]]
    clear_href: str
    previous_href: str | None
    next_href: str | None
    is_narrowed: bool


@dataclass(frozen=True)
class Entry:
    """One thing in a conversation. ``kind`` is comment, status, title or commits; the fields of the others are empty."""

    kind: str
    event: Event
    author: Account | None
    html: Markup = NO_HTML
    commits: Sequence[CommitInfo] = ()
    may_edit: bool = False
    may_hide: bool = False
    is_opening: bool = False


@dataclass(frozen=True)
class Merge:
    """How things stand between a pull request and its branch. ``base`` and ``n_commits`` are for people to read."""

    base: str
    commits: Sequence[CommitInfo]
    conflicts: Sequence[str]
    is_base_gone: bool
    clone: str


@dataclass(frozen=True)
class TalkPage:
    """``view`` is "talk" or "files". ``draft`` is what was typed into the form that ``problem`` belongs to.

    ``refused_at`` says which: "edit", "say", or "" for those beside the title. ``preview`` is the draft as it would look.
    """

    head: Head
    discussion: Discussion
    href: str
    author: Account | None
    entries: Sequence[Entry]
    people: Mapping[AccountId, Account]
    merge: Merge | None
    diff: DiffView | None
    view: str
    may_write: bool
    may_discuss: bool
    is_own: bool
    editing: str
    draft: str
    picture_bytes: int
    problem: HeadwaterError | None = None
    refused_at: str = ""
    preview: Markup | None = None

    @property
    def may_decide(self) -> bool:
        return self.may_write or self.is_own


@dataclass(frozen=True)
class NewTalkPage:
    head: Head
    is_pull: bool
    title: str
    body: str
    base: str
    branches: Sequence[str]
    picture_bytes: int
    problem: HeadwaterError | None = None
    preview: Markup | None = None


# Lists


@leads_on
async def show_list(request: Request) -> Response:
    """``GET …/discussions?type=&status=&author=&search=&p=``."""
    page = await web.read_tx(request, load_list, request)
    return shell.render(request, "hub/discussions.html", page)


def load_list(tx: Tx, actor: Actor, request: Request) -> TalkListPage:
    """Raises: RepositoryNotFound, Moved."""
    kind, name = name_of(request)
    head = find_head(tx, actor, kind, name, "discussions")
    query = request.query_params
    asked = {
        "type": query.get("type") if query.get("type") in KINDS else "all",
        "status": query.get("status") if query.get("status") in STATES else "open",
        "author": query.get("author", "").strip()[:96],
        "search": query.get("search", "").strip()[:200],
    }
    number = query.get("p", "0")
    at = int(number) if number.isascii() and number.isdigit() and len(number) < 7 else 0
    wanted = DiscussionFilter(KINDS[str(asked["type"])], str(asked["status"]), asked["author"] or None, asked["search"])
    found = discussions.list_discussions(
        tx, actor, kind, name, wanted, page=at, page_size=PER_PAGE, counts=head.discussions
    )
    where = head.of("discussions")

    def href(**changed: Any) -> str:
        values = {**asked, "p": 0, **changed}
        plain = {"type": "all", "status": "open", "author": "", "search": "", "p": 0}
        pairs = [(key, value) for key, value in values.items() if value != plain[key]]
        return f"{where}?{urlencode(pairs)}" if pairs else where

    return TalkListPage(
        head=head,
        rows=[Row(item, f"{where}/{item.num}", found.people.get(item.author_id)) for item in found.page.items],
        count=found.page.count,
        states=[
            Tab(state, href(status=state), asked["status"] == state, _count(found.counts, asked["type"], state))
            for state in STATES
        ],
        kinds=[Tab(each, href(type=each), asked["type"] == each) for each in KINDS],
        search=str(asked["search"]),
        author=str(asked["author"]),
        hidden=[(key, str(asked[key])) for key in ("type", "status", "author") if asked[key]],
        clear_href=where,
        previous_href=href(p=at - 1) if at > 0 else None,
        next_href=href(p=at + 1) if found.page.start + len(found.page.items) < found.page.count else None,
        is_narrowed=bool(asked["author"] or asked["search"] or asked["type"] != "all" or asked["status"] != "open"),
    )


def _count(counts: Mapping[tuple[bool, str], int], kind: str | None, state: str) -> int:
    wanted = KINDS[str(kind)]
    return sum(
        n
        for (is_pull, status), n in counts.items()
        if wanted in (None, is_pull) and (state == "all" or Status(status).is_live == (state == "open"))
    )


# One discussion


@leads_on
async def show_talk(request: Request) -> Response:
    """``GET …/discussions/{num}``; ``?edit=<comment>`` puts that comment into a form."""
    page = await web.call(request, load_talk, request, "talk")
    return shell.render(request, "hub/discussion.html", page)


@leads_on
async def show_files(request: Request) -> Response:
    """``GET …/discussions/{num}/files``: what a pull request changes."""
    page = await web.call(request, load_talk, request, "files")
    return shell.render(request, "hub/discussion.html", page)


def load_talk(
    site: Site,
    actor: Actor,
    request: Request,
    view: str,
    draft: str = "",
    problem: HeadwaterError | None = None,
    *,
    with_preview: bool = False,
) -> TalkPage:
    """Raises: RepositoryNotFound, Moved, DiscussionNotFound, GateClosed."""
    kind, name = name_of(request)
    num = _num(request)
    with site.db.reading() as tx:
        # Changes are made of files, so that page stands behind the repository's gate.
        asked = Action.READ_FILES if view == "files" else Action.READ
        head = find_head(tx, actor, kind, name, "discussions", asked)
        detail = discussions.get_detail(tx, actor, kind, name, num)
    repo, discussion = head.repo, detail.discussion
    if view == "files" and not discussion.is_pull:
        raise DiscussionNotFound(num)
    pushed = pulls.expand_commits(site, repo, detail.events)
    changes = pulls.read_changes(site, repo, discussion, with_diff=view == "files")
    merge = None
    if changes is not None:
        merge = Merge(
            base=short_name(discussion.base_ref or ""),
            commits=changes.commits,
            conflicts=changes.conflicts,
            is_base_gone=changes.base is None,
            clone=f"git fetch {site.base_url}/{repo.path} {discussion.ref}:pr/{num}\ngit switch pr/{num}",
        )
    renderer = Renderer(repo, own_origin=site.base_url)
    diff = None
    if changes is not None and changes.diff is not None:
        diff = show_diff(changes.diff, head, changes.head)
    return TalkPage(
        head=head,
        discussion=discussion,
        href=f"{head.of('discussions')}/{num}",
        author=detail.people.get(discussion.author_id),
        entries=[
            _entry(event, renderer, detail, actor, pushed.get(event.id, ()), is_opening=at == 0)
            for at, event in enumerate(detail.events)
            if event.kind is not EventKind.COMMIT or pushed.get(event.id)
        ],
        people=detail.people,
        merge=merge,
        diff=diff,
        view=view,
        may_write=detail.may_write,
        may_discuss=detail.may_discuss,
        is_own=actor.account_id == discussion.author_id,
        editing=request.query_params.get("edit", ""),
        draft=draft,
        picture_bytes=pictures.most_bytes(site),
        problem=problem,
        preview=_rendered(renderer, draft) if with_preview else None,
    )


def _entry(
    event: Event,
    renderer: Renderer,
    detail: discussions.Detail,
    actor: Actor,
    commits: Sequence[CommitInfo],
    *,
    is_opening: bool,
) -> Entry:
    author = detail.people.get(event.author_id)
    if event.kind is EventKind.COMMENT:
        is_own = event.author_id == actor.account_id
        is_shown = event.hidden_at is None
        return Entry(
            "comment",
            event,
            author,
            html=_rendered(renderer, event.body) if is_shown else NO_HTML,
            may_edit=is_own and is_shown and detail.may_discuss,
            may_hide=(is_own or detail.may_write) and is_shown and detail.may_discuss,
            is_opening=is_opening,
        )
    if event.kind is EventKind.STATUS_CHANGE:
        return Entry("status", event, author)
    if event.kind is EventKind.TITLE_CHANGE:
        return Entry("title", event, author)
    return Entry("commits", event, author, commits=commits)


def _rendered(renderer: Renderer, text: str) -> Markup:
    return Markup(renderer.render(text))  # noqa: S704 - cleaned by hub.markdown


def short_name(ref: str) -> str:
    return ref.removeprefix(pulls.BRANCHES)


async def act(request: Request) -> Response:
    """``POST …/discussions/{num}``: the form's ``act`` says what; a refusal is shown with what was typed."""
    form = await pictures.read_form(request)
    doing = form["act"]
    try:
        await pictures.keep_pictures(request, form)
        if doing == "preview":
            await web.read_tx(request, access.get_repository, *name_of(request), Action.DISCUSS)
            page = await web.call(request, load_talk, request, "talk", form["text"], with_preview=True)
            return shell.render(request, "hub/discussion.html", replace(page, editing=form["comment"]))
        anchor = await _do(request, doing, form)
    except HeadwaterError as problem:
        if problem.kind not in SHOWN_AGAIN:
            raise
        page = await web.call(request, load_talk, request, "talk", form["text"], problem)
        refused_at = "edit" if doing == "edit" else "say" if doing in ("comment", "open", "closed") else ""
        page = replace(page, editing=form["comment"], refused_at=refused_at)
        return shell.render(request, "hub/discussion.html", page, status=web.status_of(problem))
    flash = f"talk.flash_{doing}" if doing in ("merge", "rename", "hide") else None
    return shell.redirect(request, f"{request.url.path}{anchor}", flash=flash)


async def _do(request: Request, doing: str, form: shell.Form) -> str:
    """Do it, and return where on the page it shows."""
    (kind, name), num, now, text = name_of(request), _num(request), utcnow(), form["text"]
    if doing == "comment":
        event = await web.write_tx(request, discussions.add_comment, kind, name, num, text, now=now)
        return f"#{event.public_id}"
    if doing == "edit":
        event = await web.write_tx(request, discussions.edit_comment, kind, name, num, form["comment"], text, now=now)
        return f"#{event.public_id}"
    if doing == "hide":
        event = await web.write_tx(request, discussions.hide_comment, kind, name, num, form["comment"], now=now)
        return f"#{event.public_id}"
    if doing == "rename":
        await web.write_tx(request, discussions.rename_discussion, kind, name, num, form["title"], now=now)
        return ""
    if doing in ("open", "closed"):
        event = await web.write_tx(
            request, discussions.change_status, kind, name, num, doing, comment=text or None, now=now
        )
        return f"#{event.public_id}"
    if doing == "merge":
        await web.call(request, pulls.merge_pull_request, kind, name, num, comment=text or None, now=now)
        return "#end"
    raise shell.PageNotFound


# New ones


@leads_on
async def show_new(request: Request) -> Response:
    """``GET …/discussions/new[?pull=1]``."""
    page = await web.call(request, load_new, request, None)
    return shell.render(request, "hub/discussion_new.html", page)


def load_new(
    site: Site,
    actor: Actor,
    request: Request,
    form: shell.Form | None,
    problem: HeadwaterError | None = None,
    *,
    with_preview: bool = False,
) -> NewTalkPage:
    """Raises: RepositoryNotFound, Moved, NotSignedIn."""
    kind, name = name_of(request)
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "discussions", Action.DISCUSS)
    is_pull = bool(request.query_params.get("pull")) if form is None else form["pull"] == "1"
    branches: list[str] = []
    if is_pull:
        with site.part(GitStore).open(head.repo.id) as snap:
            branches = sorted(short_name(ref) for ref in snap.refs if ref.startswith(pulls.BRANCHES))
    return NewTalkPage(
        head=head,
        is_pull=is_pull,
        title="" if form is None else form["title"],
        body="" if form is None else form["text"],
        base=head.repo.default_branch if form is None else form["base"],
        branches=branches,
        picture_bytes=pictures.most_bytes(site),
        problem=problem,
        preview=_rendered(Renderer(head.repo, own_origin=site.base_url), form["text"])
        if form and with_preview
        else None,
    )


async def open_new(request: Request) -> Response:
    """``POST …/discussions/new``."""
    form = await pictures.read_form(request)
    kind, name = name_of(request)
    now = utcnow()
    try:
        await pictures.keep_pictures(request, form)
        if form["act"] == "preview":
            page = await web.call(request, load_new, request, form, with_preview=True)
            return shell.render(request, "hub/discussion_new.html", page)
        title, body = form["title"], form["text"]
        if form["pull"] == "1":
            repo, made = await web.write_tx(
                request, pulls.open_pull_request, kind, name, title=title, body=body, base=form["base"] or None, now=now
            )
        else:
            repo, made = await web.write_tx(
                request, discussions.open_discussion, kind, name, title=title, body=body, now=now
            )
    except HeadwaterError as problem:
        if problem.kind not in SHOWN_AGAIN:
            raise
        page = await web.call(request, load_new, request, form, problem)
        return shell.render(request, "hub/discussion_new.html", page, status=web.status_of(problem))
    return shell.redirect(request, f"/{repo.path}/discussions/{made.num}")


def _num(request: Request) -> int:
    text: str = request.path_params["num"]
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise DiscussionNotFound(text)
    return int(text)


def routes(at: str) -> list[Route]:
    """The pages below one repository's address ``at``."""
    return [
        Route("GET", f"{at}/discussions", show_list, Access.READ),
        Route("GET", f"{at}/discussions/new", show_new, Access.CONTRIBUTE),
        Route("POST", f"{at}/discussions/new", open_new, Access.CONTRIBUTE, acts=("", "preview")),
        Route("GET", f"{at}/discussions/{{num}}", show_talk, Access.READ),
        Route(
            "POST",
            f"{at}/discussions/{{num}}",
            act,
            Access.CONTRIBUTE,
            acts=("comment", "edit", "hide", "rename", "open", "closed", "merge", "preview"),
        ),
        Route("GET", f"{at}/discussions/{{num}}/files", show_files, Access.READ),
    ]
