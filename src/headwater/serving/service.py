"""Acts on endpoints: create, change, start, stop, delete, find, list. What is asked of them goes through ``gateway``.

An endpoint is its owner's: members who may write start and stop it, administrators delete it. Who may ask it is decided
here as well: members of the owner, or, where ``access`` says so, everyone who is signed in; a key needs the scope for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from headwater import accounts, ledger
from headwater.accounts import Action, Resource
from headwater.accounts.names import MAX_NAME_LENGTH, name_key
from headwater.db import Tx
from headwater.hub import access as hub_access
from headwater.hub.content.reading import open_revision
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.names import check_name, parse_repo_name
from headwater.kernel import Actor, HeadwaterError, RepoId
from headwater.serving import engines, store
from headwater.serving.errors import BadEndpoint, EndpointNotFound, NotServable
from headwater.serving.models import ACCESSES, ENGINES, TASKS, Endpoint, Served, State
from headwater.web import Site

MOST_SLOTS, MOST_CONTEXT = 256, 1 << 22
LEAST_IDLE_S, MOST_IDLE_S = 30, 7 * 86_400
LONGEST_MODEL = 2 * MAX_NAME_LENGTH + 1
DEFAULT_CONTEXT, DEFAULT_SLOTS, DEFAULT_IDLE_S = 4096, 4, 900

# What makes a model readable for llama.cpp; its output can be served.
_RECIPE = """kind: convert
name: "GGUF of {repo}"
inputs:
  model:
    repo: "models/{repo}"
    revision: "{commit}"
outputs:
  model:
    repo: "models/{owner}/{name}-GGUF"
with:
  format: gguf
  types: [Q4_K_M]
"""


@dataclasses.dataclass(frozen=True)
class Wish:
    """What somebody asks to have served. ``engine`` "" and ``file`` None: whatever fits."""

    model: str
    revision: str | None = None
    owner: str | None = None  # whose endpoint it becomes; the actor's own where none is named
    name: str | None = None  # the repository's, where none is given
    file: str | None = None
    engine: str = ""
    task: str = "generate"
    access: str = "members"
    context_tokens: int = DEFAULT_CONTEXT
    slots: int = DEFAULT_SLOTS
    idle_s: int = DEFAULT_IDLE_S
    starts: bool = True


def create(site: Site, actor: Actor, wish: Wish, *, now: datetime) -> Served:
    """A new endpoint, which starts at once unless it shall not.

    Raises:
        BadEndpoint: with every problem that the wish has.
        NotSignedIn, NotAllowed: the actor may not do this in that namespace.
        RepositoryNotFound, RevisionNotFound, GateClosed: the model is not theirs to read.
        NotServable: no engine can serve what this revision holds; says what to do.
        EndpointNameTaken
    """
    _check(wish)
    kind, repo_name = RepoKind.MODEL, parse_repo_name(wish.model.removeprefix("models/"))
    if actor.account_id is None:
        raise accounts.NotSignedIn

    def may(tx: Tx) -> accounts.Account:
        owner = accounts.get_self(tx, actor) if wish.owner is None else accounts.get_account(tx, wish.owner)
        accounts.require(tx, actor, Action.WRITE, on=Resource(owner_id=owner.id))
        return owner

    site.db.read(may)  # before a word about the model
    with open_revision(site, actor, kind, repo_name, wish.revision, action=Action.READ_FILES) as at:
        found = [(entry.path, entry.size_bytes) for entry in at.snap.iter_files(at.commit)]
        repo, commit = at.repo, at.commit
    try:
        chosen = engines.choose(site.settings, found, engine=wish.engine, file=wish.file, repo=str(repo.name))
    except NotServable as refusal:
        if refusal.needs_gguf:
            refusal.recipe = _RECIPE.format(
                repo=repo.name, commit=commit, owner=wish.owner or actor.name, name=repo.name.name
            )
        raise
    name = wish.name or repo.name.name

    def act(tx: Tx) -> Served:
        owner = may(tx)
        here = hub_access.get_repository_by_id(tx, actor, repo.id, Action.READ_FILES)
        if wish.access == "everyone" and (here.is_private or here.gated):
            # Whoever lets others use a model that not all may read must be one who could let them read it.
            accounts.require(tx, actor, Action.ADMIN, on=here.resource)
        values = {
            "owner_id": owner.id,
            "name": name,
            "name_key": name_key(name),
            "repo_id": here.id,
            "commit_id": commit,
            "file": chosen.file,
            "engine": chosen.engine,
            "task": wish.task,
            "access": wish.access,
            "context_tokens": wish.context_tokens,
            "slots": wish.slots,
            "idle_s": wish.idle_s,
            "wanted": "running" if wish.starts else "stopped",
            "created_by": actor.account_id,
            "created_at": now,
            "changed_at": now,
        }
        made = store.find(tx, store.insert_endpoint(tx, values, now=now))
        if made is None:
            raise EndpointNotFound(name)
        facts = {"model": here.path, "commit": commit, "engine": chosen.engine, "access": wish.access}
        _record(tx, actor, "endpoint.created", made.endpoint, facts, now=now)
        return made

    return site.db.write(act)


def get(tx: Tx, actor: Actor, owner: str, name: str) -> Served:
    """For those who may know of it: members of its owner, or everyone.

    Raises:
        EndpointNotFound
    """
    found = store.find_by_name(tx, name_key(owner), name_key(name))
    if found is None:
        raise EndpointNotFound(f"{owner}/{name}")
    _require(tx, actor, Action.READ, found.endpoint)
    return found


def get_for_use(tx: Tx, actor: Actor, model: str) -> Served:
    """What a client's ``model`` names, if they may ask it.

    Raises:
        EndpointNotFound: absent or hidden. NotSignedIn, NotAllowed
    """
    owner, _, name = model.partition("/")
    if len(model) > LONGEST_MODEL or not model.isprintable():
        raise EndpointNotFound(model)
    # By this very spelling, as other sites have it; in the snapshot it is asked for again and again.
    found = tx.remembered(("endpoint", owner, name), lambda: store.find_by_name(tx, name_key(owner), name_key(name)))
    if found is None:
        if actor.is_anonymous:
            raise accounts.NotSignedIn
        raise EndpointNotFound(model)
    _require(tx, actor, Action.INFER, found.endpoint)
    return found


def list_usable(tx: Tx, actor: Actor) -> list[Served]:
    """Every endpoint that the actor may ask, newest first."""
    if actor.is_anonymous:
        raise accounts.NotSignedIn
    found = store.list_all(tx, visible=accounts.visible(tx, dataclasses.replace(actor, limits=None)))
    limits = actor.limits
    return [one for one in found if limits is None or accounts.may_infer(limits, one.endpoint.resource)]


def list_visible(
    tx: Tx, actor: Actor, *, repo_id: RepoId | None = None, repo_ids: Sequence[RepoId] | None = None
) -> list[Served]:
    """Those that the actor may know of, newest first; of one model or of some, where ids are given."""
    wanted = repo_ids if repo_id is None else [repo_id]
    return store.list_all(tx, visible=accounts.visible(tx, actor), repo_ids=wanted)


def may_change(tx: Tx, actor: Actor, one: Endpoint, action: Action = Action.WRITE) -> bool:
    return accounts.allows(tx, actor, action, on=one.owned)


def start(tx: Tx, actor: Actor, owner: str, name: str, *, now: datetime) -> Served:
    """Have it run; where it failed, try again at once.

    Raises:
        EndpointNotFound, NotAllowed
    """
    found = get_owned(tx, actor, owner, name)
    if found.endpoint.wanted != "running" or found.standing.state in (State.FAILED, State.BACKING_OFF):
        store.change(tx, found.endpoint.id, {"wanted": "running"}, now=now)
        store.set_state(tx, found.endpoint.id, State.WAITING, now=now, n_failures=0, retry_at=None, wake_at=now)
        _record(tx, actor, "endpoint.started", found.endpoint, {}, now=now)
    elif found.standing.state is State.ASLEEP:
        store.note_use(tx, found.endpoint.id, now=now, wakes=True)
    return _again(tx, found)


def stop(tx: Tx, actor: Actor, owner: str, name: str, *, now: datetime) -> Served:
    """Have it end; the supervisor ends its engine within a moment.

    Raises:
        EndpointNotFound, NotAllowed
    """
    found = get_owned(tx, actor, owner, name)
    if found.endpoint.wanted != "stopped":
        store.change(tx, found.endpoint.id, {"wanted": "stopped"}, now=now)
        # Nobody asks it from this moment on, though its engine may still be there.
        store.set_state(tx, found.endpoint.id, State.STOPPED, now=now)
        _record(tx, actor, "endpoint.stopped", found.endpoint, {}, now=now)
    return _again(tx, found)


def change(tx: Tx, actor: Actor, owner: str, name: str, values: Mapping[str, Any], *, now: datetime) -> Served:
    """Change who may ask it, when it sleeps, or whether it keeps what is asked and answered.

    Raises:
        EndpointNotFound, NotAllowed, BadEndpoint
    """
    found = get_owned(tx, actor, owner, name, Action.ADMIN)
    given = {key: value for key, value in values.items() if key in ("access", "idle_s", "keeps_contents")}
    problems = [f"{key!r} cannot be changed" for key in values if key not in given]
    if "access" in given and given["access"] not in ACCESSES:
        problems.append(f"access is one of {', '.join(ACCESSES)}")
    if "idle_s" in given:
        problems += _problems_of_idle(given["idle_s"])
    if "keeps_contents" in given and not isinstance(given["keeps_contents"], bool):
        problems.append("keeps_contents is true or false")
    if problems:
        raise BadEndpoint(problems)
    if given.get("access") == "everyone" and found.endpoint.access != "everyone":
        repo = hub_access.get_repository_by_id(tx, actor, found.endpoint.repo_id, Action.READ_FILES)
        if repo.is_private or repo.gated:
            accounts.require(tx, actor, Action.ADMIN, on=repo.resource)
    before = {key: getattr(found.endpoint, key) for key in given}
    new = {key: value for key, value in given.items() if value != before[key]}
    if new:
        store.change(tx, found.endpoint.id, new, now=now)
        _record(tx, actor, "endpoint.changed", found.endpoint, new, now=now)
    return _again(tx, found)


def delete(tx: Tx, actor: Actor, owner: str, name: str, *, now: datetime) -> None:
    """End it for good. What was used of it stays counted; what it kept of contents goes.

    Raises:
        EndpointNotFound, NotAllowed
    """
    from headwater.serving import usage_store

    found = get_owned(tx, actor, owner, name, Action.ADMIN)
    store.change(tx, found.endpoint.id, {"wanted": "stopped", "name_key": None, "deleted_at": now}, now=now)
    store.set_state(tx, found.endpoint.id, State.STOPPED, now=now)
    usage_store.forget_exchanges(tx, endpoint_id=found.endpoint.id)
    _record(tx, actor, "endpoint.deleted", found.endpoint, {}, now=now)


def may_see_model(tx: Tx, actor: Actor, one: Endpoint) -> bool:
    """Whether the actor may know which repository it serves: everyone may ask some endpoints of private models."""
    return accounts.allows(tx, actor, Action.READ, on=one.repo_resource)


def get_owned(tx: Tx, actor: Actor, owner: str, name: str, action: Action = Action.WRITE) -> Served:
    """As ``get``, for who may look after it.

    Raises:
        EndpointNotFound, NotSignedIn, NotAllowed
    """
    found = get(tx, actor, owner, name)
    accounts.require(tx, actor, action, on=found.endpoint.owned)
    return found


def _require(tx: Tx, actor: Actor, action: Action, one: Endpoint) -> None:
    try:
        accounts.require(tx, actor, action, on=one.resource)
    except accounts.Hidden as exc:
        if action is Action.INFER and actor.is_anonymous:
            raise accounts.NotSignedIn from exc
        raise EndpointNotFound(one.model) from exc


def _again(tx: Tx, found: Served) -> Served:
    now = store.find(tx, found.endpoint.id)
    return found if now is None else now


def _check(wish: Wish) -> None:
    problems: list[str] = []
    if not wish.model:
        problems.append("model is needed, as namespace/name")
    else:
        problems += _refusal(parse_repo_name, wish.model.removeprefix("models/"))
    if wish.name is not None:
        problems += _refusal(check_name, wish.name)
    if wish.engine and wish.engine not in ENGINES:
        problems.append(f"engine is one of {', '.join(ENGINES)}, or empty for whatever fits")
    if wish.task not in TASKS:
        problems.append(f"task is one of {', '.join(TASKS)}")
    if wish.access not in ACCESSES:
        problems.append(f"access is one of {', '.join(ACCESSES)}")
    if not 64 <= wish.context_tokens <= MOST_CONTEXT:
        problems.append(f"context_tokens is a number from 64 to {MOST_CONTEXT}")
    if not 1 <= wish.slots <= MOST_SLOTS:
        problems.append(f"slots is a number from 1 to {MOST_SLOTS}")
    problems += _problems_of_idle(wish.idle_s)
    if problems:
        raise BadEndpoint(problems)


def _refusal(check: Any, text: str) -> Sequence[str]:
    try:
        check(text)
    except HeadwaterError as error:
        return [error.message.rstrip(".")]
    return []


def _problems_of_idle(value: Any) -> list[str]:
    if type(value) is int and (value == 0 or LEAST_IDLE_S <= value <= MOST_IDLE_S):
        return []
    return [f"idle_s is 0 for never, or seconds from {LEAST_IDLE_S} to {MOST_IDLE_S}"]


def _record(tx: Tx, actor: Actor, kind: str, one: Endpoint, facts: dict[str, Any], *, now: datetime) -> None:
    ledger.record(
        tx,
        actor,
        kind,
        f"endpoints/{one.model}",
        facts,
        private=one.access == "members" or one.repo_resource.is_private,
        owner_id=one.owner_id,
        now=now,
    )


__all__ = [
    "RepoName",
    "Wish",
    "change",
    "create",
    "delete",
    "get",
    "get_for_use",
    "get_owned",
    "list_usable",
    "list_visible",
    "may_change",
    "may_see_model",
    "start",
    "stop",
]
