"""Looking at runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from headwater import accounts
from headwater.accounts import Action
from headwater.compute import provenance
from headwater.compute.models import RunId, State
from headwater.compute.rows import Attempt, Commit, LogPiece, Output, Run, RunInput
from headwater.compute.service import access
from headwater.compute.store import attempts, runs, said
from headwater.db import Tx
from headwater.kernel import Actor, Page, decode_number, encode_cursor

MOST_LISTED = 200
MOST_COMPARED = 8
MOST_POINTS = 40_000  # of all runs that are compared, beyond which some are left out


@dataclass(frozen=True)
class Whole:
    """A run with all that belongs to it but its log and metrics."""

    run: Run
    owner: str
    submitter: str
    inputs: Sequence[RunInput]
    outputs: Sequence[Output]
    commits: Sequence[Commit]
    attempts: Sequence[Attempt]
    notes: Sequence[tuple[int, str, Any]]
    metric_names: Sequence[str]


def get_run(tx: Tx, actor: Actor, run_id: int) -> Run:
    """Raises: RunNotFound."""
    return access.get(tx, actor, run_id, Action.READ)


def get_whole(tx: Tx, actor: Actor, run_id: int) -> Whole:
    """Raises: RunNotFound."""
    found = access.get(tx, actor, run_id, Action.READ)
    people = accounts.get_accounts(tx, {found.owner_id, found.created_by})
    return Whole(
        run=found,
        owner=people[found.owner_id].name,
        submitter=people[found.created_by].name,
        inputs=runs.inputs_of(tx, [found.id])[found.id],
        outputs=runs.outputs_of(tx, [found.id])[found.id],
        commits=runs.commits_of(tx, found.id),
        attempts=attempts.attempts_of(tx, found.id),
        notes=said.notes_of(tx, found.id),
        metric_names=said.metric_names(tx, found.id),
    )


def list_runs(
    tx: Tx,
    actor: Actor,
    *,
    states: Collection[State] = (),
    kind: str | None = None,
    owner: str | None = None,
    repo_id: int | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Run]:
    """Those the actor may see, the latest first. ``repo_id``: that read or write this repository."""
    limit = max(1, min(limit, MOST_LISTED))
    owner_id = None
    if owner is not None:
        account = accounts.find_account(tx, owner)
        if account is None:
            return Page([])
        owner_id = account.id
    found = runs.list_runs(
        tx,
        accounts.visible(tx, actor),
        states=states,
        kind=kind,
        owner_id=owner_id,
        repo_id=repo_id,
        before=None if cursor is None else decode_number(cursor),
        limit=limit + 1,
    )
    more = encode_cursor(found[limit - 1].id) if len(found) > limit else None
    return Page(found[:limit], more)


def names_of(tx: Tx, found: Iterable[Run]) -> dict[int, str]:
    """Names of the accounts that have to do with these runs."""
    ids = {number for run in found for number in (run.owner_id, run.created_by)}
    return {number: account.name for number, account in accounts.get_accounts(tx, ids).items()}


def get_log(tx: Tx, actor: Actor, run_id: int, *, after: int = 0, limit: int = 64) -> tuple[Run, list[LogPiece]]:
    """Raises: RunNotFound."""
    found = access.get(tx, actor, run_id, Action.READ)
    return found, said.log_after(tx, found.id, after, limit)


def get_log_tail(tx: Tx, actor: Actor, run_id: int, most_bytes: int) -> tuple[Run, list[LogPiece]]:
    """Raises: RunNotFound."""
    found = access.get(tx, actor, run_id, Action.READ)
    return found, said.log_tail(tx, found.id, most_bytes)


def get_points(
    tx: Tx, actor: Actor, run_id: int, names: Collection[str] = ()
) -> tuple[Run, dict[str, list[tuple[int, float | None]]]]:
    """Metrics by name. Raises: RunNotFound."""
    found = access.get(tx, actor, run_id, Action.READ)
    return found, said.points_of(tx, [found.id], names)[found.id]


@dataclass(frozen=True)
class Compared:
    run: Run
    points: dict[str, list[tuple[int, float | None]]]
    inputs: Sequence[RunInput]
    outputs: Sequence[Output]


def compare(tx: Tx, actor: Actor, ids: Sequence[int]) -> list[Compared]:
    """Several runs side by side, those of them that the actor may see, in this order."""
    wanted = list(dict.fromkeys(ids))[:MOST_COMPARED]
    found = runs.find_many(tx, accounts.visible(tx, actor), wanted)
    numbers = [run.id for run in found]
    points, inputs, outputs = (
        said.points_of(tx, numbers, every=max(1, sum(run.n_points for run in found) // MOST_POINTS)),
        runs.inputs_of(tx, numbers),
        runs.outputs_of(tx, numbers),
    )
    return [Compared(run, points[run.id], inputs[run.id], outputs[run.id]) for run in found]


def get_statement(tx: Tx, actor: Actor, run_id: int, base_url: str) -> dict[str, Any]:
    """Provenance of all that a run has made so far. Raises: RunNotFound."""
    found = access.get(tx, actor, run_id, Action.READ)
    subjects: dict[str, str] = {}
    outputs = {each.name: each.repo_path for each in runs.outputs_of(tx, [found.id])[found.id]}
    for commit in runs.commits_of(tx, found.id):
        subjects |= {f"{outputs[commit.output]}@{commit.commit}/{path}": sha for path, sha in commit.files.items()}
    if not subjects:  # it wrote nothing: what it found out is what it made
        subjects = {"result": provenance.digest_of(found.result or {})}
    facts = facts_of(tx, found, base_url)
    return provenance.statement(facts, subjects, energy=found.energy, finished_on=found.ended_at)


def facts_of(tx: Tx, found: Run, base_url: str) -> dict[str, Any]:
    """What a statement says of a run, whoever writes it: its process into each output, or this site for whoever asks."""
    recipe_path = None
    if found.recipe_repo_id is not None:
        recipe_path = found.resolved.get("recipe", {}).get("repo")
    return provenance.facts(
        base_url=base_url,
        run_id=found.id,
        kind=found.kind,
        resolved=found.resolved,
        recipe_text=found.recipe_text,
        recipe_digest=found.recipe_digest,
        recipe_repo=recipe_path,
        recipe_commit=found.recipe_commit,
        recipe_path=found.recipe_path,
        inputs=[(each.name, each.repo_path, each.commit) for each in runs.inputs_of(tx, [found.id])[found.id]],
        attempt=found.n_attempts,
        started_at=found.started_at,
        environment=found.environment or {},
    )


def find_seen(tx: Tx, actor: Actor, ids: Collection[int]) -> list[Run]:
    """Those of these runs that the actor may see, in one query."""
    return runs.find_many(tx, accounts.visible(tx, actor), ids) if ids else []


@dataclass(frozen=True)
class Parts:
    """What a run read and what it made."""

    inputs: Sequence[RunInput]
    outputs: Sequence[Output]
    commits: Sequence[Commit]


def get_parts(tx: Tx, run: Run) -> Parts:
    """Of a run that the caller has: for what is called at its end, in nobody's name."""
    return Parts(
        runs.inputs_of(tx, [run.id])[run.id], runs.outputs_of(tx, [run.id])[run.id], runs.commits_of(tx, run.id)
    )


def find_makers(tx: Tx, actor: Actor, repo_id: int, commits: Collection[str] = ()) -> list[tuple[Commit, Run]]:
    """Which runs have put these commits into a repository (or its latest ones), as far as the actor may see them."""
    made = runs.commits_in(tx, repo_id, commits) if commits else runs.latest_commits(tx, repo_id, 20)
    if not made:
        return []
    seen = {run.id: run for run in runs.find_many(tx, accounts.visible(tx, actor), [each.run_id for each in made])}
    return [(each, seen[RunId(each.run_id)]) for each in made if each.run_id in seen]


@dataclass(frozen=True)
class Around:
    """A run with the repositories that it read and those that it put something into."""

    run: Run
    read: Sequence[int]
    made: Sequence[int]


def find_around(tx: Tx, actor: Actor, repo_ids: Collection[int], *, most: int = 100) -> list[Around]:
    """The latest runs that read one of these repositories or made it, as far as the actor may see them: for lineages. Those that failed
    and made nothing are left out.
    """
    numbers = runs.numbers_around(tx, repo_ids, most) if repo_ids else []
    found = runs.find_many(tx, accounts.visible(tx, actor), numbers) if numbers else []
    ids = [each.id for each in found]
    read, made = (runs.inputs_of(tx, ids), runs.made_by_many(tx, ids)) if ids else ({}, {})
    return [
        Around(each, [one.repo_id for one in read[each.id]], made[each.id])
        for each in found
        if made[each.id] or not each.state.is_over or each.state is State.SUCCEEDED
    ]
