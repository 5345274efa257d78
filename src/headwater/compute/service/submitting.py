"""Submitting: every problem at once, inputs pinned, then one row that waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from headwater import accounts, ledger
from headwater.accounts import Action
from headwater.compute import recipe as recipes
from headwater.compute.errors import BadRecipe, BadRunRequest, PriorityNotAllowed, RunNotFound
from headwater.compute.kinds import Kind, find_kind
from headwater.compute.models import PRIORITIES, Need, Problem, State
from headwater.compute.naming import typed_path
from headwater.compute.recipe import InputRef, OutputRef, Reading, Recipe, RepoRef
from headwater.compute.rows import Output, Run, RunHost, RunInput
from headwater.compute.service import access as run_access
from headwater.compute.service.quotas import Quota, quota_of, require_room, within
from headwater.compute.settings import ComputeSettings
from headwater.compute.store import attempts, runs
from headwater.db import Tx
from headwater.hub import access
from headwater.hub.content.reading import open_revision
from headwater.hub.errors import BadName, FileNotFound, RepositoryNotFound
from headwater.hub.git import EntryKind
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.names import check_name
from headwater.kernel import AccountId, Actor, CommitId, Grant, HeadwaterError, RepoId, utcnow
from headwater.scanning import strict_yaml
from headwater.web import Site

HOST_SEEN_S = 180


@dataclass(frozen=True)
class Source:
    """Where a recipe's text comes from; all None where it was sent as such."""

    text: str
    repo: Repository | None = None
    commit: CommitId | None = None
    path: str | None = None


@dataclass
class _Found:
    """What a recipe's names stand for."""

    inputs: list[RunInput] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    owner_id: AccountId | None = None
    reads_private: bool = False
    is_private: bool = False
    problems: list[Problem] = field(default_factory=list)


def submit(
    site: Site,
    actor: Actor,
    *,
    text: str | None = None,
    repo: str | None = None,
    path: str | None = None,
    revision: str | None = None,
    priority: str = "normal",
    parent_id: int | None = None,
    begun_from: Source | None = None,
) -> Run:
    """Put a run into the queue: of a recipe's text, or of a file in a repository.

    ``begun_from`` is where a text was taken from: it is that file where nothing was changed, and as private as it is in any case.

    Raises:
        BadRecipe: with every problem there is; nothing was kept.
        NotSignedIn, NotAllowed, BadRunRequest, PriorityNotAllowed, TooManyWaiting.
        RepositoryNotFound, RevisionNotFound, FileNotFound, GateClosed: of the recipe's file.
    """
    _require_hand(actor)
    if priority not in PRIORITIES:
        raise BadRunRequest(f"{priority!r} is no priority; there are {', '.join(PRIORITIES)}")
    if PRIORITIES[priority] > 0 and not actor.is_site_admin:
        raise PriorityNotAllowed
    source = read_source(site, actor, text=text, repo=repo, path=path, revision=revision)
    if begun_from is not None and begun_from.text == source.text:
        source = begun_from
    of_private = _is_of_private(site, actor, (source, begun_from), parent_id)
    recipe, found = _look_into(site, actor, source.text, of_private=of_private)
    return site.db.write(
        _keep, actor, recipe, source, found, PRIORITIES[priority], parent_id, site.settings.of(ComputeSettings)
    )


def _is_of_private(site: Site, actor: Actor, sources: Sequence[Source | None], parent_id: int | None) -> bool:
    """Whether the recipe comes from a private repository, or is a changed one of a run that is private.

    Raises:
        RunNotFound
    """
    if any(one is not None and one.repo is not None and one.repo.is_private for one in sources):
        return True
    return parent_id is not None and site.db.read(run_access.get, actor, parent_id, Action.READ).is_private


def _require_hand(actor: Actor) -> None:
    """That it is somebody, with a credential that changes anything at all; what a recipe names is asked one by one.

    Raises:
        NotSignedIn, NotAllowed
    """
    if actor.account_id is None:
        raise accounts.NotSignedIn
    limits = actor.limits
    if limits is not None and (
        limits.role == "read"
        or (limits.role == "fine" and not any(each.action in ("write", "admin") for each in limits.grants))
    ):
        raise accounts.NotAllowed(f"The token {limits.name!r} may not write anything. Use one that may.")


def check(
    site: Site, actor: Actor, text: str, parent_id: int | None = None, begun_from: Source | None = None
) -> Recipe:
    """All of ``submit`` but the run.

    Raises:
        BadRecipe, NotSignedIn, RunNotFound
    """
    if actor.account_id is None:
        raise accounts.NotSignedIn
    return _look_into(site, actor, text, of_private=_is_of_private(site, actor, (begun_from,), parent_id))[0]


def _look_into(site: Site, actor: Actor, text: str, *, of_private: bool = False) -> tuple[Recipe, _Found]:
    """Read it, and look up what it names: what is wrong in its text hides nothing that is missing.

    ``of_private``: it stands in a private repository, or comes from a private run.

    Raises:
        BadRecipe
    """
    reading = recipes.read(text)
    found = _resolve(site, actor, reading, _Found(reads_private=of_private, is_private=of_private))
    problems = reading.problems + found.problems
    if reading.recipe is None or problems:
        raise BadRecipe(problems)
    return reading.recipe, found


def read_source(
    site: Site, actor: Actor, *, text: str | None, repo: str | None, path: str | None, revision: str | None
) -> Source:
    """The recipe's text, and where it stands if it stands in a repository."""
    if (text is None) == (repo is None):
        raise BadRunRequest("give the recipe's text, or the repository and path where it stands")
    if text is not None:
        return Source(text)
    if repo is None or not path:
        raise BadRunRequest("a repository was named and no path in it, such as recipes/corpus.yaml")
    try:
        ref = recipes.parse_repo(repo)
    except BadName as exc:
        raise RepositoryNotFound from exc
    kind = ref.kind or RepoKind.MODEL
    with open_revision(site, actor, kind, ref.name, revision, action=Action.READ_FILES) as at:
        entry = at.snap.entry(at.commit, path)
        if entry is None or entry.kind is not EntryKind.FILE:
            raise FileNotFound(path, at.commit)
        if entry.sha256 is not None or entry.size_bytes > strict_yaml.MAX_BYTES:
            raise BadRunRequest(f"{path} is larger than a recipe may be ({strict_yaml.MAX_BYTES >> 10} KiB)")
        try:
            found = at.snap.read_blob(entry.oid).decode()
        except UnicodeDecodeError as exc:
            raise BadRunRequest(f"{path} is not valid UTF-8") from exc
        return Source(found, at.repo, at.commit, path)


# ---- what names stand for


def _resolve(site: Site, actor: Actor, reading: Reading, found: _Found) -> _Found:
    for name, ref in reading.inputs.items():
        _resolve_input(site, actor, name, ref, found)
    for name, out in reading.outputs.items():
        site.db.read(_resolve_output, actor, reading.kind, name, out, found)
    if reading.need is not None:
        owner_id = found.owner_id or actor.account_id
        site.db.read(_check_need, reading.need, owner_id, site.settings.of(ComputeSettings), found)
    if reading.recipe is None:
        return found
    if found.owner_id is None:
        found.owner_id = actor.account_id
        _check_submitter(site, actor, found)
    if reading.kind.check is not None and not found.problems:
        found.problems += site.db.read(reading.kind.check, actor, reading.recipe)
    return found


def _resolve_input(site: Site, actor: Actor, name: str, ref: InputRef, found: _Found) -> None:
    where = f"inputs.{name}"
    kinds = list(RepoKind) if ref.repo.kind is None else [ref.repo.kind]
    there: list[tuple[Repository, CommitId]] = []
    refusal: HeadwaterError | None = None
    for kind in kinds:
        try:
            with open_revision(site, actor, kind, ref.repo.name, ref.revision, action=Action.READ_FILES) as at:
                there.append((at.repo, at.commit))
        except RepositoryNotFound:
            continue
        except HeadwaterError as exc:
            refusal = exc
    if len(there) > 1:
        what = f"there is more than one repository {ref.repo.name}"
        found.problems.append(Problem(f"{where}.repo", what, "Put models/, datasets/ or spaces/ before it."))
    elif there:
        repo, commit = there[0]
        found.inputs.append(RunInput(name, repo.id, typed_path(repo), ref.revision or repo.default_branch, commit))
        found.reads_private |= repo.is_private
        found.is_private |= repo.is_private
    elif refusal is not None:
        part = "revision" if refusal.code in ("revision_not_found", "ambiguous_revision") else "repo"
        found.problems.append(Problem(f"{where}.{part}", refusal.message))
    else:
        what = f"there is no repository {ref.repo}, or you may not read it"
        found.problems.append(Problem(f"{where}.repo", what, "Check its name and type."))


def _resolve_output(tx: Tx, actor: Actor, of: Kind, name: str, out: OutputRef, found: _Found) -> None:
    where = f"outputs.{name}.repo"
    kind = out.repo.kind or RepoKind(of.output_type)
    try:
        check_name(out.repo.name.name)
        there = access.find_by_name(tx, kind, out.repo.name)
        if there is not None:
            repo = access.check_repository(tx, actor, there, Action.WRITE)
            if found.reads_private and not repo.is_private and out.is_private is not False:
                what = "it is public, and something private is read: what is written tells of that"
                found.problems.append(Problem(where, what, "Name a private one, or say `private: false`."))
            if out.is_private and not repo.is_private:
                what = "it is public already, and `private: true` does not change what is there"
                found.problems.append(Problem(where, what, "Make it private first, or name another."))
            found.outputs.append(Output(name, repo.id, typed_path(repo), repo.is_private))
            found.is_private |= repo.is_private
            found.owner_id = found.owner_id or repo.owner_id
            return
        owner = accounts.find_account(tx, out.repo.name.namespace)
        if owner is None:
            what = f"there is no person or organisation {out.repo.name.namespace!r}"
            found.problems.append(Problem(where, what, "Create it first, or write to a namespace of yours."))
            return
        accounts.require(tx, actor, Action.CREATE_REPOSITORY, on=accounts.namespace_resource(owner))
    except RepositoryNotFound:
        found.problems.append(Problem(where, "it is not yours to write", "Name another."))
    except HeadwaterError as exc:
        found.problems.append(Problem(where, exc.message))
    else:
        target = RepoRef(kind, RepoName(owner.name, out.repo.name.name))
        # Its files name what they were made of: what is made of private things is not public by an oversight.
        is_private = found.reads_private if out.is_private is None else out.is_private
        found.outputs.append(Output(name, None, str(target), is_private))
        found.is_private |= is_private
        found.owner_id = found.owner_id or owner.id


def _check_submitter(site: Site, actor: Actor, found: _Found) -> None:
    """A run without outputs is the submitter's own."""

    def look(tx: Tx) -> None:
        own = accounts.namespace_resource(accounts.get_self(tx, actor))
        accounts.require(tx, actor, Action.CREATE_REPOSITORY, on=own)

    site.db.read(look)


def _check_need(tx: Tx, need: Need, owner_id: AccountId | None, settings: ComputeSettings, found: _Found) -> None:
    """That its owner's quota and some host could ever hold it; where no host is known, it waits for one."""
    if owner_id is not None:
        _check_quota(quota_of(attempts.quotas(tx).get(owner_id), settings), need, found)
    hosts = attempts.hosts_seen_since(tx, utcnow() - timedelta(seconds=HOST_SEEN_S))
    if not hosts or any(could_hold(host, need) for host in hosts):
        return
    n_before = len(found.problems)
    largest = max(hosts, key=lambda host: (host.gpus, host.cpus, host.memory_bytes))
    for part, asked, has in (
        ("cpus", need.cpus, max(host.cpus for host in hosts)),
        ("memory_gb", need.memory_bytes / 1e9, max(host.memory_bytes for host in hosts) / 1e9),
        ("gpus", need.gpus, max(host.gpus for host in hosts)),
    ):
        if asked > has:
            what = f"it asks for {asked:g}, and no host here has more than {has:.4g}"
            found.problems.append(Problem(f"resources.{part}", what, f"Ask for at most {has:.4g}."))
    chips = sorted({host.chip for host in hosts if host.chip})
    if need.chip is not None and need.chip not in chips:
        what = f"no host here has the chip {need.chip!r}"
        found.problems.append(Problem("resources.chip", what, f"There are: {', '.join(chips) or 'none'}."))
    if len(found.problems) > n_before:
        return
    what = f"no single host has all of this; the largest has {largest.cpus:g} processors and {largest.memory_bytes / 1e9:.4g} GB"
    found.problems.append(Problem("resources", what, "Ask for less."))


def _check_quota(quota: Quota, need: Need, found: _Found) -> None:
    if within(quota, Need(0, 0, 0), 0, need):
        return
    if quota.runs == 0:
        what = "its owner's quota is of no runs"
        found.problems.append(Problem("resources", what, "Ask the site's administrators for a larger one."))
    for part, asked, has in (
        ("cpus", need.cpus, quota.cpus),
        ("memory_gb", need.memory_bytes / 1e9, None if quota.memory_bytes is None else quota.memory_bytes / 1e9),
        ("gpus", need.gpus, quota.gpus),
    ):
        if has is not None and asked > has:
            what = f"it asks for {asked:g}, and the quota of its owner is {has:.4g}"
            found.problems.append(Problem(f"resources.{part}", what, f"Ask for at most {has:.4g}."))


def could_hold(host: RunHost, need: Need) -> bool:
    """Whether an empty host has what is needed."""
    return (
        need.cpus <= host.cpus
        and need.memory_bytes <= host.memory_bytes
        and need.gpus <= host.gpus
        and (need.chip is None or need.chip == host.chip)
    )


# ---- keeping it


def _keep(
    tx: Tx,
    actor: Actor,
    recipe: Recipe,
    source: Source,
    found: _Found,
    priority: int,
    parent_id: int | None,
    settings: ComputeSettings,
) -> Run:
    now, time_limit_s = utcnow(), recipe.need.time_limit_s or settings.time_limit_s
    if actor.account_id is None or found.owner_id is None:
        raise accounts.NotSignedIn
    if parent_id is not None:
        run_access.get(tx, actor, parent_id, Action.READ)
    require_room(tx, settings, owner_id=found.owner_id, created_by=actor.account_id)
    run_id = runs.insert_run(
        tx,
        {
            "kind": recipe.kind.name,
            "name": recipe.name,
            "state": State.QUEUED.value,
            "owner_id": found.owner_id,
            "created_by": actor.account_id,
            "is_private": found.is_private,
            "priority": priority,
            "recipe_text": recipe.text,
            "recipe_digest": recipe.digest,
            "recipe_repo_id": None if source.repo is None else source.repo.id,
            "recipe_commit": source.commit,
            "recipe_path": source.path,
            "resolved": _resolved(recipe, source, found.inputs, found.outputs, time_limit_s),
            "cpus": recipe.need.cpus,
            "memory_bytes": recipe.need.memory_bytes,
            "gpus": recipe.need.gpus,
            "chip": recipe.need.chip,
            "time_limit_s": time_limit_s,
            "retries": recipe.retries,
            "parent_id": parent_id,
            "created_at": now,
            "due_at": now,
        },
    )
    runs.insert_parts(tx, run_id, found.inputs, found.outputs)
    made = runs.find_run(tx, run_id)
    if made is None:
        raise RunNotFound
    record(
        tx,
        actor,
        "run.submitted",
        made,
        {
            "recipe": recipe.digest,
            "inputs": {each.name: {"repo": each.repo_path, "commit": each.commit} for each in found.inputs},
            "outputs": {each.name: each.repo_path for each in found.outputs},
        },
    )
    return made


def record(tx: Tx, actor: Actor, kind: str, run: Run, facts: dict[str, Any]) -> None:
    """An entry about a run; ``runs/<number>`` is its public name.

    It names what the run reads: where that is private and somebody else's, it is for who submitted the run alone.
    """
    ledger.record(
        tx,
        actor,
        kind,
        f"runs/{run.id}",
        {"kind": run.kind, **facts},
        private=run.is_private,
        owner_id=run.created_by if runs.has_foreign(tx, run.id, run.owner_id) else run.owner_id,
        now=utcnow(),
    )


def _resolved(
    recipe: Recipe, source: Source, inputs: Sequence[RunInput], outputs: Sequence[Output], time_limit_s: int
) -> dict[str, Any]:
    """The recipe as its program sees it."""
    need = recipe.need
    found: dict[str, Any] = {
        "kind": recipe.kind.name,
        "name": recipe.name,
        "inputs": {
            each.name: {"repo": each.repo_path, "revision": each.revision, "commit": each.commit} for each in inputs
        },
        "outputs": {each.name: {"repo": each.repo_path, "private": each.is_private} for each in outputs},
        "resources": {
            "cpus": need.cpus,
            "memory_gb": need.memory_bytes / 1e9,
            "gpus": need.gpus,
            "chip": need.chip,
            "time_limit_s": time_limit_s,
        },
        "retries": recipe.retries,
        "seed": recipe.seed,
        "with": recipe.own_json(),
        "digest": recipe.digest,
    }
    if source.repo is not None:
        found["recipe"] = {"repo": typed_path(source.repo), "commit": source.commit, "path": source.path}
    return found


def grants_of(tx: Tx, run: Run, inputs: Sequence[RunInput], outputs: Sequence[Output]) -> list[Grant]:
    """What a run's token reaches: its inputs to read, its outputs to put commits into, and what its kind adds."""
    found: dict[RepoId, str] = {each.repo_id: "read" for each in inputs}
    found |= {each.repo_id: "push" for each in outputs if each.repo_id is not None}
    kind = find_kind(run.kind)
    more = kind.grants(tx, run) if kind is not None and kind.grants is not None else ()
    return [Grant(action, repo_id=repo_id) for action, repo_id in [*((a, r) for r, a in found.items()), *more]]
