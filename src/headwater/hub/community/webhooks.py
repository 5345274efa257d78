"""Webhooks: who listens to what, and putting events into the post. Sending is in ``deliveries``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from headwater import accounts, queue
from headwater.accounts import AccountKind, Action
from headwater.db import Tx
from headwater.hub.access import get_repository, visible_among
from headwater.hub.community.errors import BadWebhook, LimitReached, WebhookNotFound
from headwater.hub.community.models import Delivery, Discussion, Event, Watched, Webhook
from headwater.hub.community.store import webhooks as store
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.kernel import AccountId, Actor, Grant, TokenLimits

SEND_WEBHOOK = "hub.send_webhook"

MAX_WEBHOOKS = 50
MAX_WATCHED = 50
MAX_URL_CHARS = 2048
MAX_SECRET_CHARS = 256
KEPT_DELIVERIES = 100
DOMAINS = ("repo", "discussion")


@dataclass(frozen=True)
class WebhookFields:
    """What a call sets; None leaves a field as it is."""

    url: str | None = None
    watched: Sequence[tuple[str, str]] | None = None  # (kind, name)
    domains: Sequence[str] | None = None
    secret: str | None = None


def create_webhook(tx: Tx, actor: Actor, fields: WebhookFields, *, now: datetime) -> Webhook:
    """Listen to people, organisations or repositories that ``actor`` may see.

    Raises:
        BadWebhook, LimitReached: as the limits above say.
    """
    owner = _owner(tx, actor)
    if store.count_webhooks(tx, owner) >= MAX_WEBHOOKS:
        raise LimitReached("webhooks of yours", MAX_WEBHOOKS, "Delete one that is no longer needed.")
    if fields.url is None:
        raise BadWebhook("Give the webhook a 'url'. (Webhooks that start jobs are not served.)")
    return store.insert_webhook(
        tx,
        owner,
        url=check_url(fields.url),
        secret=_check_secret(fields.secret),
        domains=_check_domains(DOMAINS if fields.domains is None else fields.domains),
        watched=_resolve(tx, actor, fields.watched or ()),
        grants=_grants_of(actor),
        now=now,
    )


def update_webhook(tx: Tx, actor: Actor, public_id: str, fields: WebhookFields) -> Webhook:
    """Change what ``fields`` names."""
    hook = _get(tx, _owner(tx, actor), public_id)
    values: dict[str, Any] = {}
    if fields.url is not None:
        values["url"] = check_url(fields.url)
    if fields.secret is not None:
        values["secret"] = _check_secret(fields.secret)
    if fields.domains is not None:
        values["domains"] = list(_check_domains(fields.domains))
    if fields.url is not None or fields.watched is not None or _grants_of(actor) is not None:
        # Who sets where it goes, or what it hears, answers for both: a fine-grained token cannot lead a wider one's away.
        values["grants"] = store.pack_grants(_grants_of(actor))
    if values:
        store.update_webhook(tx, hook.id, **values)
    if fields.watched is not None:
        store.set_watched(tx, hook.id, _resolve(tx, actor, fields.watched))
    return get_webhook(tx, actor, public_id)


def set_enabled(tx: Tx, actor: Actor, public_id: str, *, enabled: bool) -> Webhook:
    hook = _get(tx, _owner(tx, actor), public_id)
    store.update_webhook(tx, hook.id, is_disabled=not enabled, n_failures=0)
    return get_webhook(tx, actor, public_id)


def delete_webhook(tx: Tx, actor: Actor, public_id: str) -> None:
    hook = _get(tx, _owner(tx, actor), public_id)
    store.delete_webhook(tx, hook.id)


def list_webhooks(tx: Tx, actor: Actor) -> list[Webhook]:
    """Their own, without the names of repositories that they may no longer see."""
    return _veiled(tx, actor, store.list_webhooks(tx, _owner(tx, actor)))


def get_webhook(tx: Tx, actor: Actor, public_id: str) -> Webhook:
    return _veiled(tx, actor, [_get(tx, _owner(tx, actor), public_id)])[0]


def list_deliveries(tx: Tx, actor: Actor, public_id: str, *, limit: int = KEPT_DELIVERIES) -> list[Delivery]:
    """What was sent lately, newest first."""
    hook = _get(tx, _owner(tx, actor), public_id)
    return store.list_deliveries(tx, hook.id, limit=limit)


def send_again(tx: Tx, actor: Actor, public_id: str, delivery_id: str, *, now: datetime) -> None:
    """Put a copy of a former delivery into the post: for trying out a receiver."""
    hook = _get(tx, _owner(tx, actor), public_id)
    delivery = store.find_delivery_of(tx, hook.id, delivery_id)
    if delivery is None:
        raise WebhookNotFound
    _post(tx, hook, delivery.event, delivery.facts, now=now)


def announce(
    tx: Tx,
    repo: Repository,
    action: str,
    scope: str,
    *,
    now: datetime,
    discussion: Discussion | None = None,
    comment: Event | None = None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Put an event into the post of everyone who listens, in the transaction of the act itself.

    Someone who listens to a repository that they, or the token their webhook was made with, may not read hears nothing.

    Args:
        action: "create", "delete", "update" or "move".
        scope: "repo", "repo.content", "repo.config", "discussion" or "discussion.comment".
        facts: more keys of the payload, such as ``updatedRefs`` and ``movedTo``.
    """
    domain = scope.partition(".")[0]
    listening = [hook for hook in store.list_watching(tx, repo) if domain in hook.domains]
    if not listening:
        return
    told = {
        "event": {"action": action, "scope": scope},
        "repo": _repo_facts(repo, facts or {}),
        **({} if discussion is None else {"discussion": _discussion_facts(discussion)}),
        **({} if comment is None else {"comment": _comment_facts(comment)}),
        **(facts or {}),
    }
    owners = accounts.get_accounts(tx, {hook.account_id for hook in listening})
    for hook in listening:
        owner = owners[hook.account_id]
        limits = None if hook.grants is None else TokenLimits(0, "of a webhook", "fine", hook.grants)
        reader = Actor(account_id=owner.id, name=owner.name, is_site_admin=owner.is_site_admin, limits=limits)
        if owner.suspended_at is None and accounts.allows(tx, reader, Action.READ, on=repo.resource):
            _post(tx, hook, f"{scope} {action}", told, now=now)


def queue_webhooks(
    tx: Tx, repo: Repository, *, scope: str, action: str, facts: Mapping[str, Any], now: datetime
) -> None:
    """As ``announce``, for events of the repository itself."""
    announce(tx, repo, action, scope, now=now, facts=facts)


def check_url(url: str) -> str:
    """``url``, if it is an http(s) address without credentials.

    Where it leads is looked up and judged each time something is sent.

    Raises:
        BadWebhook: with what is wrong.
    """
    if len(url) > MAX_URL_CHARS or not url.isprintable() or " " in url:
        raise BadWebhook(f"A webhook's url has at most {MAX_URL_CHARS} characters, none of them spaces or invisible.")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as exc:
        raise BadWebhook("The webhook's url is malformed.") from exc
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadWebhook("A webhook's url begins with http:// or https:// and names a host.")
    if parts.username is not None or parts.password is not None:
        raise BadWebhook("Put no user name or password into the url; set the webhook's 'secret' instead.")
    return url


def _post(tx: Tx, hook: Webhook, event: str, facts: dict[str, Any], *, now: datetime) -> None:
    delivery_id = store.insert_delivery(tx, hook.id, event, facts, keep=KEPT_DELIVERIES, now=now)
    queue.put(tx, SEND_WEBHOOK, {"delivery_id": delivery_id}, now=now)


def _owner(tx: Tx, actor: Actor) -> AccountId:
    """Webhooks belong to persons. They hold secrets, so even looking at them takes a token that may write."""
    if actor.account_id is None:
        raise accounts.NotSignedIn
    accounts.require(tx, actor, Action.CREATE_REPOSITORY, on=accounts.Resource(owner_id=actor.account_id))
    return actor.account_id


def _grants_of(actor: Actor) -> tuple[Grant, ...] | None:
    """What bounds a webhook that ``actor`` makes; None for whoever is bound by their own rights only."""
    return actor.limits.grants if actor.limits is not None and actor.limits.role == "fine" else None


def _get(tx: Tx, owner: AccountId, public_id: str) -> Webhook:
    hook = store.find_webhook(tx, owner, public_id)
    if hook is None:
        raise WebhookNotFound
    return hook


def _veiled(tx: Tx, actor: Actor, hooks: Sequence[Webhook]) -> list[Webhook]:
    # A repository that became private may have been given a name since that its former readers should not learn.
    ids = {item.repo_id for hook in hooks for item in hook.watched if item.repo_id is not None}
    seen = visible_among(tx, actor, ids) if ids else set()
    return [
        replace(hook, watched=tuple(item for item in hook.watched if item.repo_id is None or item.repo_id in seen))
        for hook in hooks
    ]


def _resolve(tx: Tx, actor: Actor, watched: Sequence[tuple[str, str]]) -> list[Watched]:
    if not watched:
        raise BadWebhook('Say what to watch: "watched": [{"type": "user" | "org" | "model" | …, "name": "…"}].')
    if len(watched) > MAX_WATCHED:
        raise BadWebhook(f"One webhook watches at most {MAX_WATCHED} things.")
    found: dict[tuple[AccountId | None, int | None], Watched] = {}
    for kind, name in watched:
        item = _resolve_one(tx, actor, kind, name)
        found[item.account_id, item.repo_id] = item
    return list(found.values())


def _resolve_one(tx: Tx, actor: Actor, kind: str, name: str) -> Watched:
    if kind in ("user", "org"):
        account = accounts.find_account(tx, name)
        wanted = AccountKind.ORGANISATION if kind == "org" else AccountKind.PERSON
        if account is None or account.kind is not wanted:
            raise accounts.AccountNotFound(name)
        return Watched(kind, account.name, account_id=account.id)
    if kind in ("model", "dataset", "space"):
        namespace, _, short = name.partition("/")
        repo = get_repository(tx, actor, RepoKind(kind), RepoName(namespace, short), Action.READ)
        return Watched(kind, str(repo.name), repo_id=repo.id)
    raise BadWebhook(f"{kind!r} cannot be watched; choose user, org, model, dataset or space.")


def _check_domains(domains: Sequence[str]) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(domains))
    if not chosen or any(domain not in DOMAINS for domain in chosen):
        raise BadWebhook("'domains' holds 'repo', 'discussion' or both.")
    return chosen


def _check_secret(secret: str | None) -> str | None:
    if not secret:
        return None
    # It travels in a header as it is, so it must be fit for one.
    if len(secret) > MAX_SECRET_CHARS or not secret.isascii() or not secret.isprintable():
        raise BadWebhook(f"A webhook's secret has at most {MAX_SECRET_CHARS} printable ASCII characters.")
    return secret


def _repo_facts(repo: Repository, facts: Mapping[str, Any]) -> dict[str, Any]:
    head = repo.head_commit
    for moved in facts.get("updatedRefs", ()):
        if moved["ref"] == f"refs/heads/{repo.default_branch}":
            head = moved["newSha"]
    return {
        "id": f"{repo.id:024x}",
        "type": repo.kind.value,
        "name": str(repo.name),
        "private": repo.is_private,
        "headSha": head,
        "owner": {"id": f"{repo.owner_id:024x}"},
        "path": repo.path,
    }


def _discussion_facts(discussion: Discussion) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": discussion.public_id,
        "num": discussion.num,
        "title": discussion.title,
        "status": discussion.status.value,
        "isPullRequest": discussion.is_pull,
        "author": {"id": f"{discussion.author_id:024x}"},
    }
    if discussion.is_pull:
        told["changes"] = {"base": discussion.base_ref, "mergeCommitId": discussion.merge_commit}
    return told


def _comment_facts(comment: Event) -> dict[str, Any]:
    return {
        "id": comment.public_id,
        "author": {"id": f"{comment.author_id:024x}"},
        "hidden": comment.hidden_at is not None,
        "content": comment.body,
    }
