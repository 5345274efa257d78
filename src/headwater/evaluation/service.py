"""What may happen to evaluations: taking what a run found out, looking at them, ranking, and asking for the same again."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from headwater import accounts, compute
from headwater.compute import Run, RunId, State
from headwater.compute.service.reading import find_seen, get_parts
from headwater.db import Tx
from headwater.evaluation import store
from headwater.evaluation.errors import EvaluationNotFound
from headwater.evaluation.models import Evaluation, Score
from headwater.evaluation.recipe_names import MODEL, RESULTS, SUITE
from headwater.hub import access
from headwater.hub.models import Repository
from headwater.kernel import SYSTEM, Actor, CommitId, HeadwaterError, RepoId, utcnow
from headwater.scanning import strict_yaml
from headwater.serving import service as serving
from headwater.serving.models import Endpoint

if TYPE_CHECKING:
    from headwater.web import Site

MOST_SCORES = 400  # of one evaluation in tables; its results repository has them all
MOST_LISTED = 200
MOST_LOOKED_AT = 2000  # evaluations of one suite or model
_FIELDS = (
    "task",
    "metric",
    "filter",
    "is_group",
    "is_main",
    "ability",
    "version",
    "n_items",
    "value",
    "stderr",
    "is_higher_better",
)


# ---- when a run ends


def take_result(tx: Tx, run: Run) -> None:
    """Keep the scores of a run of kind ``evaluate`` that ended well; what is no score in its result is left out."""
    result = run.result
    if run.state is not State.SUCCEEDED or not isinstance(result, Mapping) or store.exists(tx, run.id):
        return
    parts = get_parts(tx, run)
    inputs = {each.name: each for each in parts.inputs}
    suite, model = inputs.get(SUITE), inputs.get(MODEL)
    own = run.resolved.get("with", {})
    endpoint = _endpoint_of(run)
    if suite is None or (model is None and endpoint is None):
        return
    served = None if endpoint is None else _served(tx, run, endpoint)
    made = next((each for each in reversed(parts.commits) if each.output == RESULTS), None)
    rows = result.get("scores")
    scores = [score for row in (rows if isinstance(rows, list) else []) if (score := _score(row)) is not None]
    store.insert_evaluation(
        tx,
        Evaluation(
            run_id=run.id,
            model_repo_id=model.repo_id if model is not None else served.repo_id if served is not None else None,
            model_commit=model.commit if model is not None else served.commit if served is not None else None,
            endpoint=endpoint,
            suite_repo_id=suite.repo_id,
            suite_commit=suite.commit,
            results_repo_id=None if made is None else made.repo_id,
            results_commit=None if made is None else made.commit,
            results_folder=str(result.get("folder", ""))[:500],
            command=str(result.get("command", ""))[:20_000],
            harness=str(result.get("harness", ""))[:80],
            few_shot=own.get("few_shot"),
            item_limit=own.get("limit"),
            seed=int(run.resolved.get("seed", 0)),
            is_cut=bool(result.get("is_cut")),
            reproduces=_reproduced(tx, run),
            ended_at=run.ended_at or utcnow(),
            scores=_distinct(scores)[:MOST_SCORES],
        ),
    )


def _endpoint_of(run: Run) -> str | None:
    model = (run.resolved.get("with", {}).get("endpoint") or {}).get("model")
    return None if model is None else str(model)


def _served(tx: Tx, run: Run, model: str) -> Endpoint | None:
    """The endpoint, where it was the same one from before the run began: a commit is never changed under its name."""
    try:
        found = serving.get_for_use(tx, SYSTEM, model).endpoint
    except HeadwaterError:
        return None
    return found if run.started_at is not None and found.created_at <= run.started_at else None


def grants_of(tx: Tx, run: Run) -> list[tuple[str, RepoId]]:
    """To ask the endpoint that the recipe names, and to read nothing more by that."""
    model = _endpoint_of(run)
    try:
        return [] if model is None else [("infer", serving.get_for_use(tx, SYSTEM, model).endpoint.repo_id)]
    except HeadwaterError:  # it is gone: the program hears it from the gateway
        return []


def _reproduced(tx: Tx, run: Run) -> RunId | None:
    """The evaluation that this run repeats: the one it was made from, where both asked the same."""
    if run.parent_id is None:
        return None
    found = store.list_evaluations(tx, run_ids=[run.parent_id], limit=1)
    if not found:
        return None
    own, first = run.resolved, found[0]
    inputs = {each.name: each for each in get_parts(tx, run).inputs}
    model = inputs.get(MODEL)
    same = (
        first.suite_commit == inputs[SUITE].commit
        and first.endpoint == _endpoint_of(run)
        and (model is None or first.model_commit == model.commit)
        and first.few_shot == own["with"].get("few_shot")
        and first.item_limit == own["with"].get("limit")
        and first.seed == own.get("seed")
    )
    return first.run_id if same else None


def _score(row: Any) -> Score | None:
    if not isinstance(row, list) or len(row) != len(_FIELDS):
        return None
    given = dict(zip(_FIELDS, row, strict=True))
    value, stderr, n_items = given["value"], given["stderr"], given["n_items"]
    if not isinstance(value, int | float) or not math.isfinite(value) or not isinstance(given["task"], str):
        return None
    return Score(
        task=given["task"][:128],
        metric=str(given["metric"])[:64],
        filter=str(given["filter"])[:64],
        is_group=given["is_group"] is True,
        is_main=given["is_main"] is True,
        ability=str(given["ability"])[:100],
        version=str(given["version"])[:40],
        n_items=n_items if isinstance(n_items, int) else None,
        value=float(value),
        stderr=float(stderr) if isinstance(stderr, int | float) and math.isfinite(stderr) else None,
        is_higher_better=given["is_higher_better"] is not False,
    )


def _distinct(scores: Iterable[Score]) -> list[Score]:
    return list({score.key: score for score in scores}.values())


# ---- looking


@dataclass(frozen=True)
class Shown:
    """An evaluation with the repositories that it names, as far as its reader may know of them."""

    evaluation: Evaluation
    run: Run
    model: Repository | None
    suite: Repository
    results: Repository | None

    @property
    def name(self) -> str:
        """What was asked, as people call it."""
        return str(self.evaluation.endpoint or (self.model and self.model.name))


def list_shown(
    tx: Tx,
    actor: Actor,
    *,
    model_repo_id: RepoId | None = None,
    suite_repo_id: RepoId | None = None,
    run_ids: Collection[int] | None = None,
    reproduces: Collection[int] | None = None,
    limit: int = MOST_LISTED,
) -> list[Shown]:
    """The latest first. An evaluation shows to those who may see its run, its model and its suite: a constant number of queries."""
    found = store.list_evaluations(
        tx,
        run_ids=run_ids,
        model_repo_id=model_repo_id,
        suite_repo_id=suite_repo_id,
        reproduces=reproduces,
        limit=limit,
    )
    return _visible(tx, actor, found)


def list_page(
    tx: Tx,
    actor: Actor,
    *,
    model_repo_id: RepoId | None = None,
    suite_repo_id: RepoId | None = None,
    before: int | None,
    limit: int,
) -> tuple[list[Shown], int | None]:
    """Those to be seen among the next ``limit``, and where to go on from; None where none are left."""
    found = store.list_evaluations(
        tx, model_repo_id=model_repo_id, suite_repo_id=suite_repo_id, before=before, limit=limit
    )
    return _visible(tx, actor, found), found[-1].run_id if len(found) == limit else None


def _visible(tx: Tx, actor: Actor, found: Sequence[Evaluation]) -> list[Shown]:
    if not found:
        return []
    runs = {run.id: run for run in find_seen(tx, actor, [each.run_id for each in found])}
    ids = {
        number
        for each in found
        for number in (each.model_repo_id, each.suite_repo_id, each.results_repo_id)
        if number is not None
    }
    repos = access.get_visible(tx, actor, ids)
    return [
        Shown(
            each,
            runs[each.run_id],
            None if each.model_repo_id is None else repos.get(each.model_repo_id),
            repos[each.suite_repo_id],
            None if each.results_repo_id is None else repos.get(each.results_repo_id),
        )
        for each in found
        if each.run_id in runs
        and each.suite_repo_id in repos
        and (each.endpoint is not None or each.model_repo_id in repos)
    ]


def get_shown(tx: Tx, actor: Actor, run_id: int) -> Shown:
    """Raises: EvaluationNotFound: absent or hidden."""
    found = list_shown(tx, actor, run_ids=[run_id], limit=1) if 0 < run_id < 1 << 31 else []
    if not found:
        raise EvaluationNotFound
    return found[0]


def latest_of_each(found: Sequence[Shown]) -> list[Shown]:
    """Of several of the same thing the latest: one line a model and way of asking."""
    kept: dict[tuple[object, ...], Shown] = {}
    for each in found:
        kept.setdefault(each.evaluation.subject, each)
    return list(kept.values())


# ---- the same again


def reproduce(site: Site, actor: Actor, run_id: int) -> Run:
    """Submit the recipe of an evaluation with its inputs pinned to what they were; results go to the submitter's own repository.

    Raises:
        EvaluationNotFound, NotSignedIn, NotAllowed, BadRecipe
    """
    if actor.account_id is None:
        site.db.read(get_shown, actor, run_id)
        raise accounts.NotSignedIn
    found = site.db.read(get_shown, actor, run_id)
    return compute.submit(site, actor, text=pinned_recipe(found, actor.name), parent_id=found.run.id)


def pinned_recipe(found: Shown, owner: str) -> str:
    """The recipe with commits for revisions and an output of ``owner``'s, as YAML. What it asks is the same."""
    given = strict_yaml.load(found.run.recipe_text)
    for name, pinned in found.run.resolved.get("inputs", {}).items():
        repo = found.suite if name == SUITE else found.model
        path = pinned["repo"] if repo is None else f"{repo.kind.plural}/{repo.name}"
        given["inputs"][name] = {"repo": path, "revision": pinned["commit"]}
    outputs = found.run.resolved.get("outputs", {})
    name = outputs.get(RESULTS, {}).get("repo", found.suite.name.name).rpartition("/")[2]
    name = name.removesuffix("-reproduced")[:80]
    given["outputs"] = {RESULTS: {"repo": f"datasets/{owner}/{name}-reproduced", "private": found.run.is_private}}
    text = yaml.safe_dump(given, allow_unicode=True, sort_keys=False, width=120)
    # The dumper knows an older YAML: where both differ on a text, JSON says the same in each.
    return text if strict_yaml.load(text) == given else json.dumps(given, ensure_ascii=False, indent=1) + "\n"


def commits_of(found: Evaluation) -> dict[str, CommitId | None]:
    return {MODEL: found.model_commit, SUITE: found.suite_commit, RESULTS: found.results_commit}
