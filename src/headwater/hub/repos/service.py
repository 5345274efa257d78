"""What may happen to a whole repository: create, rename, change its settings, copy, delete.

A repository's id never changes and is never used again. Its names are a list: the current one, and former ones that lead
on to it; the names of a deleted one stay with the namespace they are in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headwater import accounts, ledger, queue
from headwater.accounts import Action, NotAllowed, NotSignedIn, Resource
from headwater.db import Tx
from headwater.hub import access, community, events, quotas, search
from headwater.hub.errors import NameTaken
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.names import check_name
from headwater.hub.repos import store
from headwater.hub.repos.attributes import default_attributes, space_card
from headwater.hub.repos.authors import author_of
from headwater.hub.repos.errors import BadSetting, NameLeadsOn, TargetTaken
from headwater.kernel import AccountId, Actor, Page, decode_number, encode_cursor, utcnow
from headwater.web import Site

FIRST_MESSAGE = "initial commit"
LONGEST_REASON = 500
REFS_IN_ONE_ENTRY = 200
SDKS = ("static", "gradio", "docker", "streamlit")


@dataclass(frozen=True)
class Settings:
    """What may be changed; None leaves a value as it is. ``gated`` is "", "auto" or "manual"."""

    is_private: bool | None = None
    gated: str | None = None
    default_branch: str | None = None  # its short name


def create_repository(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    *,
    is_private: bool = False,
    sdk: str | None = None,
    now: datetime | None = None,
) -> Repository:
    """Create a repository whose branch ``main`` holds one commit with the default ``.gitattributes`` (and a space's card).

    Raises:
        BadName: the name cannot be used.
        NotAllowed: the namespace is not there, or not the actor's to create in.
        NameTaken: the name is in use, or leads on to another repository.
    """
    from headwater.hub import git

    now = now or utcnow()
    check_name(name.name)
    if sdk is not None and (kind is not RepoKind.SPACE or sdk not in SDKS):
        raise BadSetting("sdk", sdk, f"one of {', '.join(SDKS)}, and only for spaces")
    first_files = [git.AddFile(".gitattributes", default_attributes(kind))]
    if kind is RepoKind.SPACE:
        sdk = sdk or "static"
        first_files.append(git.AddFile("README.md", space_card(name.name, sdk)))
    author = author_of(actor)
    built = git.build_commit(
        None,
        None,
        first_files,
        author_name=author.name,
        author_email=author.email,
        title=FIRST_MESSAGE,
        now=now,
        tmp=site.blobs.tmp,
    )

    def act(tx: Tx) -> Repository:
        repo = insert_repository(tx, site, actor, kind, name, is_private=is_private, sdk=sdk, now=now)
        search.refresh(tx, repo.id)
        published = git.publish_first(tx, actor, repo.id, f"refs/heads/{repo.default_branch}", built, now=now)
        community.queue_webhooks(tx, published.repo, scope="repo", action="create", facts={}, now=now)
        ledger.record(
            tx,
            actor,
            "repository.created",
            repo.path,
            {"repo_id": repo.id, "kind": kind.value, "private": is_private},
            private=is_private,
            repo_id=repo.id,
            owner_id=repo.owner_id,
            now=now,
        )
        return published.repo

    return site.db.write(act)


def insert_repository(
    tx: Tx,
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    *,
    is_private: bool,
    sdk: str | None,
    now: datetime,
) -> Repository:
    """The row and the name of a repository that has no commit yet; its caller gives it one.

    Raises:
        BadName, NotAllowed, NameTaken, NameLeadsOn, TooManyRepositories.
    """
    check_name(name.name)
    owner = _require_namespace(tx, actor, name)
    owned = RepoName(owner.name, name.name)
    _require_free(tx, site, kind, owned)
    repo = store.insert_repository(
        tx,
        kind=kind,
        name=owned,
        owner_id=owner.id,
        sdk=sdk,
        is_private=is_private,
        created_by=actor.account_id,
        now=now,
    )
    quotas.open_repository(tx, repo.id, owner.id, is_private=is_private)
    return repo


def delete_repository(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, *, reason: str = "", now: datetime
) -> Repository:
    """Delete a repository: nothing of it can be read from now on. Its names stay with their namespace.

    Args:
        reason: stands in the log, which nobody can change any more, as its tombstone.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed, ProofNeeded.
    """
    repo = access.get_repository(tx, actor, kind, name, Action.ADMIN)
    accounts.require_fresh(tx, actor, now=now)
    quotas.close_repository(tx, repo.id)
    store.delete_repository(tx, repo.id, now)
    search.refresh(tx, repo.id)
    queue.put(tx, events.INDEX_REPOSITORY, {"repo_id": repo.id}, unique=str(repo.id), now=now)
    community.queue_webhooks(tx, repo, scope="repo", action="delete", facts={}, now=now)
    ledger.record(
        tx,
        actor,
        "repository.deleted",
        repo.path,
        {"repo_id": repo.id, "reason": reason.strip()[:LONGEST_REASON] or "none given"},
        private=repo.is_private,
        repo_id=repo.id,
        owner_id=repo.owner_id,
        now=now,
    )
    return repo


def move_repository(
    tx: Tx, actor: Actor, kind: RepoKind, source: RepoName, target: RepoName, *, now: datetime
) -> Repository:
    """Give a repository another name, in the same or another namespace; the former name leads on to it.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed: not the actor's to move, or not to that namespace.
        BadName: the new name cannot be used.
        TargetTaken: the new name is not free.
        QuotaExceeded, TooManyRepositories: the new owner has no room for it.
        ProofNeeded: in a browser whose person has not shown for a while who they are.
    """
    check_name(target.name)
    repo = access.get_repository(tx, actor, kind, source, Action.ADMIN)
    accounts.require_fresh(tx, actor, now=now)
    owner = _require_namespace(tx, actor, target)
    target = RepoName(owner.name, target.name)
    held = store.find_name(tx, kind, target)
    if held is not None and held[0] != repo.id and held[1] != "deleted":
        raise TargetTaken(kind, target)
    quotas.move_repository(tx, repo.id, owner.id)
    store.take_name(tx, kind, target, repo.id)
    store.update_repository(
        tx, repo.id, namespace=target.namespace, name=target.name, owner_id=owner.id, updated_at=now
    )
    search.refresh(tx, repo.id)
    queue.put(tx, events.INDEX_REPOSITORY, {"repo_id": repo.id}, unique=str(repo.id), now=now)
    moved_to = {"name": str(target), "owner": {"id": f"{owner.id:024x}"}}
    community.queue_webhooks(tx, repo, scope="repo", action="move", facts={"movedTo": moved_to}, now=now)
    ledger.record(
        tx,
        actor,
        "repository.moved",
        repo.path,
        {"repo_id": repo.id, "to": f"{kind.url_prefix}{target}"},
        private=repo.is_private,
        repo_id=repo.id,
        owner_id=repo.owner_id,
        now=now,
    )
    if owner.id != repo.owner_id:
        ledger.record(
            tx,
            actor,
            "repository.received",
            f"{kind.url_prefix}{target}",
            {"repo_id": repo.id, "from": repo.path},
            private=repo.is_private,
            repo_id=repo.id,
            owner_id=owner.id,
            now=now,
        )
    return access.get_repository_by_id(tx, actor, repo.id, Action.READ)


def change_settings(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, settings: Settings, *, now: datetime
) -> Repository:
    """Change who may see a repository and its files, and which branch it shows.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed.
        BadSetting: a value that is not known, or a branch that is not there.
        QuotaExceeded: the owner's private bytes would be too many.
    """
    if settings.gated not in (None, "", "auto", "manual"):
        raise BadSetting("gated", settings.gated, "false, 'auto' or 'manual'")
    repo = access.get_repository(tx, actor, kind, name, Action.ADMIN)
    changed: dict[str, bool | str] = {}
    follows: dict[str, Any] = {}
    if settings.is_private is not None and settings.is_private != repo.is_private:
        changed["is_private"] = settings.is_private
    if settings.gated is not None and settings.gated != repo.gated:
        changed["gated"] = settings.gated
    if settings.default_branch is not None and settings.default_branch != repo.default_branch:
        changed["default_branch"] = settings.default_branch
        head = store.find_branch(tx, repo.id, settings.default_branch)
        if head is None:
            raise BadSetting("default_branch", settings.default_branch, "one of the repository's branches")
        follows = store.new_head(head)
    if not changed:
        return repo
    if "is_private" in changed:
        quotas.set_visibility(tx, repo.id, is_private=settings.is_private is True)
    store.update_repository(tx, repo.id, **changed, **follows)
    search.refresh(tx, repo.id)
    queue.put(tx, events.INDEX_REPOSITORY, {"repo_id": repo.id}, unique=str(repo.id), now=now)
    after = access.get_repository_by_id(tx, actor, repo.id, Action.READ)
    community.queue_webhooks(tx, after, scope="repo.config", action="update", facts={}, now=now)
    if "is_private" in changed:
        _tell_visibility(tx, actor, after, now)
    ledger.record(
        tx,
        actor,
        "repository.settings_changed",
        repo.path,
        changed,
        private=repo.is_private or settings.is_private is True,
        repo_id=repo.id,
        owner_id=repo.owner_id,
        now=now,
    )
    return after


def _tell_visibility(tx: Tx, actor: Actor, repo: Repository, now: datetime) -> None:
    """For those who follow the log: that what they saw is hidden now, or where the refs lead that they begin to see."""
    from headwater.hub.git import store as git_store

    given: dict[str, Any] = {"repo_id": repo.id, "owner_id": repo.owner_id, "now": now}
    if repo.is_private:
        facts: dict[str, Any] = {"repo_id": repo.id, "reason": "its owners have made it private"}
        ledger.record(tx, actor, "repository.hidden", repo.path, facts, **given)
        return
    refs = sorted(git_store.read_state(tx, repo.id).refs.items())
    for start in range(0, max(1, len(refs)), REFS_IN_ONE_ENTRY):
        part = dict(refs[start : start + REFS_IN_ONE_ENTRY])
        facts = {"repo_id": repo.id, "refs": part, "is_first": start == 0}
        ledger.record(tx, actor, "refs.shown", repo.path, facts, **given)


def set_disabled(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, *, is_disabled: bool, now: datetime
) -> Repository:
    """Close a repository for everyone but the site's administrators, or open it again. Its page stays, and says so.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed: only the site's administrators may.
    """
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    repo = access.get_repository(tx, actor, kind, name, Action.ADMIN)
    if repo.is_disabled == is_disabled:
        return repo
    store.update_repository(tx, repo.id, is_disabled=is_disabled)
    ledger.record(
        tx,
        actor,
        "repository.disabled" if is_disabled else "repository.enabled",
        repo.path,
        {"repo_id": repo.id},
        private=repo.is_private,
        repo_id=repo.id,
        owner_id=repo.owner_id,
        now=now,
    )
    return access.get_repository_by_id(tx, actor, repo.id, Action.READ)


def list_owned(
    tx: Tx, actor: Actor, owner_name: str | None, *, cursor: str | None = None, limit: int = 100
) -> Page[Repository]:
    """All repositories of an account that ``actor`` is or belongs to; ``owner_name`` None stands for their own.

    Raises:
        NotSignedIn, NotAllowed.
    """
    if actor.is_anonymous:
        raise NotSignedIn
    owner = accounts.find_account(tx, owner_name or actor.name)
    if owner is None or not accounts.allows(tx, actor, Action.READ, on=Resource(owner_id=owner.id, is_private=True)):
        raise NotAllowed(f"There is no namespace {owner_name!r} that you belong to.")
    return _page(tx, owner.id, cursor, limit)


def list_all(
    tx: Tx, actor: Actor, owner_name: str | None, *, cursor: str | None = None, limit: int = 100
) -> Page[Repository]:
    """Every repository of the site, or of one owner, for its administrators.

    Raises:
        NotSignedIn, NotAllowed, AccountNotFound.
    """
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    owner = None if owner_name is None else accounts.get_account(tx, owner_name)
    return _page(tx, None if owner is None else owner.id, cursor, limit)


def _page(tx: Tx, owner_id: AccountId | None, cursor: str | None, limit: int) -> Page[Repository]:
    after_id = decode_number(cursor) if cursor else 0
    found = store.list_repositories(tx, owner_id, after_id=after_id, limit=limit + 1)
    more = encode_cursor(found[limit - 1].id) if len(found) > limit else None
    return Page(found[:limit], more)


def _require_namespace(tx: Tx, actor: Actor, name: RepoName) -> accounts.Account:
    owner = accounts.find_account(tx, name.namespace)
    if owner is None:
        raise NotAllowed(f"There is no namespace {name.namespace!r} in which you may create repositories.")
    accounts.require(tx, actor, Action.CREATE_REPOSITORY, on=Resource(owner_id=owner.id))
    return owner


def _require_free(tx: Tx, site: Site, kind: RepoKind, name: RepoName) -> None:
    held = store.find_name(tx, kind, name)
    if held is None or held[1] == "deleted":
        return
    if held[1] == "moved":
        raise NameLeadsOn(kind, name)
    holder = access.find_by_name(tx, kind, name)
    spelled = name if holder is None else holder.name
    raise NameTaken(kind, spelled, url=f"{site.base_url}/{kind.url_prefix}{spelled}")
