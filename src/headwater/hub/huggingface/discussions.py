"""Discussions and pull requests, as huggingface_hub's ``community`` part calls them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from headwater import accounts
from headwater.accounts import Account, Action
from headwater.hub.access import get_repository
from headwater.hub.community import attachments, pulls
from headwater.hub.community import discussions as service
from headwater.hub.community.errors import BadField, DiscussionNotFound
from headwater.hub.community.models import Discussion, DiscussionFilter, Event, EventKind, Status
from headwater.hub.community.rendering import Renderer
from headwater.hub.huggingface import fields
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.kernel import AccountId, Actor, to_iso, utcnow
from headwater.web import (
    Access,
    JsonResponse,
    Route,
    Site,
    actor_of,
    call,
    read_json_object,
    read_tx,
    receive_body,
    site_of,
    write_tx,
)

REPO = "/api/{type:models|datasets|spaces}/{ns}/{name}"
TYPES = {"all": None, "discussion": False, "pull_request": True}
STATUSES = ("all", "open", "closed", "draft", "merged")
BODY_LIMIT_BYTES = 1 << 20
DELETED = {"name": "deleted", "type": "user"}


@dataclass(frozen=True)
class Target:
    """Which repository a path names, and which number in it."""

    kind: RepoKind
    name: RepoName
    num: int = 0

    @classmethod
    def of(cls, request: Request) -> Target:
        values = request.path_params
        text = values.get("num", "0")
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise DiscussionNotFound(text)
        return cls(RepoKind.from_plural(values["type"]), RepoName(values["ns"], values["name"]), int(text))


async def list_discussions(request: Request) -> Response:
    """``GET …/discussions?p=&type=&status=&author=``."""
    target, query = Target.of(request), request.query_params
    kind, status = query.get("type", "all"), query.get("status", "all")
    if kind not in TYPES:
        raise BadField("type", " or ".join(TYPES))
    if status not in STATUSES:
        raise BadField("status", " or ".join(STATUSES))
    wanted = DiscussionFilter(TYPES[kind], status, query.get("author") or None, query.get("search") or None)
    page = fields.number(query.get("p"), "p", default=0, most=1_000_000)
    found = await read_tx(request, service.list_discussions, target.kind, target.name, wanted, page=page)
    live = sum(n for (_, state), n in found.counts.items() if Status(state).is_live)
    return JsonResponse(
        {
            "discussions": [_summary(site_of(request), found.repo, item, found.people) for item in found.page.items],
            "count": found.page.count,
            "start": found.page.start,
            "numOpenDiscussions": live,
            "numClosedDiscussions": sum(found.counts.values()) - live,
        }
    )


async def get_discussion(request: Request) -> Response:
    """``GET …/discussions/{num}[?diff=1]``."""
    with_diff = request.query_params.get("diff", "") not in ("", "0", "false")
    return JsonResponse(await call(request, _read_detail, Target.of(request), with_diff=with_diff))


async def create_discussion(request: Request) -> Response:
    """``POST …/discussions``; a pull request made so starts as a draft, its ref where the branch stands."""
    target = Target.of(request)
    body = await read_json_object(request, limit_bytes=BODY_LIMIT_BYTES)
    title, text, now = fields.text(body, "title"), fields.text(body, "description", ""), utcnow()
    if fields.optional_bool(body, "pullRequest"):
        base = fields.optional_text(body, "base")
        repo, made = await write_tx(
            request, pulls.open_pull_request, target.kind, target.name, title=title, body=text, base=base, now=now
        )
    else:
        repo, made = await write_tx(
            request, service.open_discussion, target.kind, target.name, title=title, body=text, now=now
        )
    return JsonResponse({"num": made.num, "url": _url(site_of(request), repo, made), "pullRequest": made.is_pull})


async def comment(request: Request) -> Response:
    """``POST …/discussions/{num}/comment``."""
    target, body = Target.of(request), await read_json_object(request, limit_bytes=BODY_LIMIT_BYTES)
    text = fields.text(body, "comment")
    event = await write_tx(request, service.add_comment, target.kind, target.name, target.num, text, now=utcnow())
    return await _answer_event(request, "newMessage", event)


async def edit_comment(request: Request) -> Response:
    """``POST …/discussions/{num}/comment/{id}/edit``."""
    target, body = Target.of(request), await read_json_object(request, limit_bytes=BODY_LIMIT_BYTES)
    event = await write_tx(
        request,
        service.edit_comment,
        target.kind,
        target.name,
        target.num,
        request.path_params["comment"],
        fields.text(body, "content"),
        now=utcnow(),
    )
    return await _answer_event(request, "updatedComment", event)


async def hide_comment(request: Request) -> Response:
    """``POST …/discussions/{num}/comment/{id}/hide``."""
    target = Target.of(request)
    event = await write_tx(
        request,
        service.hide_comment,
        target.kind,
        target.name,
        target.num,
        request.path_params["comment"],
        now=utcnow(),
    )
    return await _answer_event(request, "updatedComment", event)


async def rename(request: Request) -> Response:
    """``POST …/discussions/{num}/title``."""
    target, body = Target.of(request), await read_json_object(request)
    title = fields.text(body, "title")
    event = await write_tx(
        request, service.rename_discussion, target.kind, target.name, target.num, title, now=utcnow()
    )
    return await _answer_event(request, "newTitle", event)


async def change_status(request: Request) -> Response:
    """``POST …/discussions/{num}/status``."""
    target, body = Target.of(request), await read_json_object(request, limit_bytes=BODY_LIMIT_BYTES)
    event = await write_tx(
        request,
        service.change_status,
        target.kind,
        target.name,
        target.num,
        fields.text(body, "status"),
        comment=fields.optional_text(body, "comment"),
        now=utcnow(),
    )
    return await _answer_event(request, "newStatus", event)


async def merge(request: Request) -> Response:
    """``POST …/discussions/{num}/merge``."""
    target, body = Target.of(request), await read_json_object(request, limit_bytes=BODY_LIMIT_BYTES)
    merged = await call(
        request,
        pulls.merge_pull_request,
        target.kind,
        target.name,
        target.num,
        comment=fields.optional_text(body, "comment"),
        now=utcnow(),
    )
    return JsonResponse({"status": merged.status.value, "mergeCommitId": merged.merge_commit})


async def upload_image(request: Request) -> Response:
    """``POST /uploads``, the picture itself as the body: answers the address to name in a comment."""
    site = site_of(request)
    await read_tx(request, attachments.require_attaching)  # before any byte is taken
    made = await receive_body(request, functools.partial(attachments.receive, site, actor_of(request)))
    return PlainTextResponse(f"{site.base_url}{attachments.path_of(made)}")


def _read_detail(site: Site, actor: Actor, target: Target, *, with_diff: bool) -> dict[str, Any]:
    detail = site.db.read(service.get_detail, actor, target.kind, target.name, target.num)
    discussion = detail.discussion
    answer = _summary(site, detail.repo, discussion, detail.people)
    pushed = pulls.expand_commits(site, detail.repo, detail.events)
    renderer = Renderer(detail.repo, own_origin=site.base_url)
    events: list[dict[str, Any]] = []
    for event in detail.events:
        if event.kind is not EventKind.COMMIT:
            events.append(_event(site, event, detail.people, renderer))
            continue
        for at, info in enumerate(pushed.get(event.id, [])):
            told = _event(site, event, detail.people, renderer)
            # One push may bring several commits, and an id must not come twice.
            told["id"] = event.public_id if at == 0 else f"{event.public_id[:8]}{info.oid[:16]}"
            told["data"] = {"subject": info.title, "oid": info.oid}
            events.append(told)
    answer["events"] = events
    if discussion.is_pull:
        # A difference is made of files, so a closed gate hides it.
        with_diff = with_diff and detail.may_read_files
        changes = pulls.read_changes(site, detail.repo, discussion, with_diff=with_diff)
        answer["filesWithConflicts"] = [] if changes is None else list(changes.conflicts)
        answer["changes"] = {"base": discussion.base_ref}
        if discussion.merge_commit is not None:
            answer["changes"]["mergeCommitId"] = discussion.merge_commit
        if with_diff and changes is not None and changes.diff is not None:
            answer["diff"] = changes.diff.unified()
    return answer


async def _answer_event(request: Request, key: str, event: Event) -> Response:
    return JsonResponse({key: await call(request, _read_event, Target.of(request), event)})


def _read_event(site: Site, actor: Actor, target: Target, event: Event) -> dict[str, Any]:
    ids = {event.author_id, *(edit.author_id for edit in event.edits)}
    if event.edited_by is not None:
        ids.add(event.edited_by)
    with site.db.reading() as tx:
        repo = get_repository(tx, actor, target.kind, target.name, Action.READ)
        people = accounts.get_accounts(tx, ids)
    return _event(site, event, people, Renderer(repo, own_origin=site.base_url))


def _summary(
    site: Site, repo: Repository, discussion: Discussion, people: Mapping[AccountId, Account]
) -> dict[str, Any]:
    return {
        "num": discussion.num,
        "title": discussion.title,
        "status": discussion.status.value,
        "isPullRequest": discussion.is_pull,
        "author": author_json(site, people.get(discussion.author_id)),
        "createdAt": to_iso(discussion.created_at),
        "updatedAt": to_iso(discussion.updated_at),
        "numComments": discussion.n_comments,
        "repo": {"name": str(repo.name), "type": repo.kind.value},
        "url": _url(site, repo, discussion),
    }


def _event(site: Site, event: Event, people: Mapping[AccountId, Account], renderer: Renderer) -> dict[str, Any]:
    author = author_json(site, people.get(event.author_id))
    told: dict[str, Any] = {
        "id": event.public_id,
        "type": event.kind.value,
        "createdAt": to_iso(event.created_at),
        "author": author,
        "data": event.data,
    }
    if event.kind is EventKind.COMMENT:
        editor = author if event.edited_by is None else author_json(site, people.get(event.edited_by))
        told["data"] = {
            "edited": event.edited_at is not None,
            "hidden": event.hidden_at is not None,
            "hiddenBy": "" if event.hidden_by is None else author_json(site, people.get(event.hidden_by))["name"],
            "latest": {
                "raw": event.body,
                "html": renderer.render(event.body),
                "updatedAt": to_iso(event.edited_at or event.created_at),
                "author": editor,
            },
            "numEdits": len(event.edits),
            "history": [
                {
                    "raw": edit.body,
                    "updatedAt": to_iso(edit.written_at),
                    "author": author_json(site, people.get(edit.author_id)),
                }
                for edit in event.edits
            ],
        }
    return told


def author_json(site: Site, account: Account | None) -> dict[str, Any]:
    """Who wrote it; accounts are never deleted, yet the clients have a word for it."""
    if account is None:
        return dict(DELETED)
    return {
        "name": account.name,
        "fullname": account.full_name or account.name,
        "avatarUrl": avatar_url(site, account),
        "type": "user" if account.kind.value == "person" else "org",
        "isPro": False,
    }


def avatar_url(site: Site, account: Account) -> str:
    """Where a picture of the account is served: drawn from its name."""
    return f"{site.base_url}/avatars/{account.name}.svg"


def _url(site: Site, repo: Repository, discussion: Discussion) -> str:
    return f"{site.base_url}/{repo.path}/discussions/{discussion.num}"


ROUTES = [
    Route("GET", f"{REPO}/discussions", list_discussions, Access.READ, "hf"),
    Route("POST", f"{REPO}/discussions", create_discussion, Access.CONTRIBUTE, "hf"),
    Route("GET", f"{REPO}/discussions/{{num}}", get_discussion, Access.READ, "hf"),
    Route("POST", f"{REPO}/discussions/{{num}}/comment", comment, Access.CONTRIBUTE, "hf"),
    Route("POST", f"{REPO}/discussions/{{num}}/comment/{{comment}}/edit", edit_comment, Access.CONTRIBUTE, "hf"),
    Route("POST", f"{REPO}/discussions/{{num}}/comment/{{comment}}/hide", hide_comment, Access.CONTRIBUTE, "hf"),
    Route("POST", f"{REPO}/discussions/{{num}}/title", rename, Access.CONTRIBUTE, "hf"),
    Route("POST", f"{REPO}/discussions/{{num}}/status", change_status, Access.CONTRIBUTE, "hf"),
    Route("POST", f"{REPO}/discussions/{{num}}/merge", merge, Access.WRITE, "hf"),
    Route("POST", "/uploads", upload_image, Access.CONTRIBUTE, "hf"),
]
