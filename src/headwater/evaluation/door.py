"""Evaluations and leaderboards for programs, below ``/api/v1``."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import Action
from headwater.compute.door import number_of
from headwater.db import Tx
from headwater.evaluation import ranking, service
from headwater.evaluation.models import Mean, Score, by_ability, overall
from headwater.evaluation.pages import asked_of
from headwater.evaluation.ranking import Asked
from headwater.evaluation.service import Shown
from headwater.hub import access
from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import Actor, decode_number, encode_cursor, to_iso
from headwater.web import Access, JsonResponse, Route
from headwater.web.openapi import Shape

PER_PAGE = 50


async def list_all(request: Request) -> Response:
    """``GET /api/v1/evaluations?model=ns/name&suite=ns/name``: the latest first."""
    asked = request.query_params
    found, after = await web.read_tx(request, _list, asked.get("model"), asked.get("suite"), asked.get("cursor"))
    return JsonResponse([shown_json(each) for each in found], headers=web.next_link(request, after))


def _list(
    tx: Tx, actor: Actor, model: str | None, suite: str | None, cursor: str | None
) -> tuple[list[Shown], str | None]:
    """Raises: RepositoryNotFound."""
    before = None if cursor is None else decode_number(cursor)
    wanted: dict[str, Any] = {}
    for key, kind, given in (("model_repo_id", RepoKind.MODEL, model), ("suite_repo_id", RepoKind.DATASET, suite)):
        if given:
            wanted[key] = access.get_repository(tx, actor, kind, _name(given), Action.READ).id
    found: list[Shown] = []
    # What may not be seen is left out after it was read: read on until a page is full or nothing is left.
    while len(found) <= PER_PAGE:
        page, last = service.list_page(tx, actor, before=before, limit=service.MOST_LISTED, **wanted)
        found += page
        if last is None:
            break
        before = last
    more = encode_cursor(found[PER_PAGE - 1].run.id) if len(found) > PER_PAGE else None
    return found[:PER_PAGE], more


def _name(text: str) -> RepoName:
    namespace, _, name = text.partition("/")
    return RepoName(namespace, name)


async def get_one(request: Request) -> Response:
    """``GET /api/v1/evaluations/{id}``, by the number of its run."""
    return JsonResponse(shown_json(await web.read_tx(request, service.get_shown, number_of(request))))


async def reproduce(request: Request) -> Response:
    """``POST /api/v1/evaluations/{id}/reproduce``: the same recipe, inputs pinned as they were, as a run of one's own."""
    made = await web.call(request, service.reproduce, number_of(request))
    return JsonResponse({"run": made.id, "reproduces": made.parent_id}, 201)


async def leaderboard(request: Request) -> Response:
    """``GET /api/v1/leaderboards/{ns}/{name}``: of a suite, with the parameters of its page: by, sort, order, name, commit, tasks, every, partial."""
    values = request.path_params
    return JsonResponse(await web.read_tx(request, _board, RepoName(values["ns"], values["name"]), asked_of(request)))


def _board(tx: Tx, actor: Actor, name: RepoName, asked: Asked) -> dict[str, Any]:
    """Raises: RepositoryNotFound."""
    repo = access.get_repository(tx, actor, RepoKind.DATASET, name, Action.READ)
    found = service.list_shown(tx, actor, suite_repo_id=repo.id, limit=service.MOST_LOOKED_AT)
    made = ranking.board(found, asked)
    return {
        "suite": str(repo.name),
        "by": asked.by,
        "columns": list(made.columns),
        "commits": list(made.commits),
        "tasks": [{"key": one.key, "tasks": list(one.tasks), "lines": one.n_lines} for one in made.sets],
        "shown": made.asked.tasks,
        "lines": [
            {
                "place": line.place,
                "total": mean_json(line.total),
                "scores": {name: mean_json(mean) for name, mean in line.cells.items()},
                **facts_json(line.shown),
            }
            for line in made.lines
        ],
    }


# ---- shapes


def mean_json(mean: Mean | None) -> dict[str, Any] | None:
    if mean is None:
        return None
    return {"value": mean.value, "stderr": mean.stderr, "low": mean.low, "high": mean.high}


def score_json(score: Score) -> dict[str, Any]:
    return {
        "task": score.task,
        "metric": score.metric,
        "filter": score.filter,
        "group": score.is_group,
        "main": score.is_main,
        "ability": score.ability or None,
        "version": score.version,
        "items": score.n_items,
        "value": score.value,
        "stderr": score.stderr,
        "higher_is_better": score.is_higher_better,
    }


def facts_json(shown: Shown) -> dict[str, Any]:
    found = shown.evaluation
    return {
        "run": found.run_id,
        "model": None if shown.model is None else str(shown.model.name),
        "model_commit": None if shown.model is None else found.model_commit,
        "endpoint": found.endpoint,
        "suite": str(shown.suite.name),
        "suite_commit": found.suite_commit,
        "results": None if shown.results is None else str(shown.results.name),
        "results_commit": None if shown.results is None else found.results_commit,
        "few_shot": found.few_shot,
        "limit": found.item_limit,
        "seed": found.seed,
        "harness": found.harness,
        "reproduces": found.reproduces,
        "private": shown.run.is_private,
        "at": to_iso(found.ended_at),
    }


def shown_json(shown: Shown) -> dict[str, Any]:
    abilities = by_ability(shown.evaluation.scores)
    return {
        **facts_json(shown),
        "command": shown.evaluation.command,
        "total": mean_json(overall(abilities)),
        "abilities": {name: mean_json(mean) for name, mean in sorted(abilities.items())},
        "scores": [score_json(each) for each in shown.evaluation.scores],
        "cut": shown.evaluation.is_cut,
    }


_ALL, _ONE = "/api/v1/evaluations", "/api/v1/evaluations/{id}"
_BOARD = "/api/v1/leaderboards/{ns}/{name}"
ROUTES = [
    Route("GET", _ALL, list_all, Access.READ, "api"),
    Route("GET", _ONE, get_one, Access.READ, "api"),
    Route("POST", f"{_ONE}/reproduce", reproduce, Access.CONTRIBUTE, "api"),
    Route("GET", _BOARD, leaderboard, Access.READ, "api"),
]

_OBJECT: dict[str, Any] = {"type": "object"}
_FACTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "run": {"type": "integer"},
        "suite": {"type": "string"},
        "suite_commit": {"type": "string"},
        "scores": {"type": "array", "items": _OBJECT},
    },
    "required": ["run", "suite", "suite_commit"],
}
SHAPES: dict[str, Shape] = {
    f"GET {_ALL}": Shape({"type": "array", "items": _FACTS}),
    f"GET {_ONE}": Shape(_FACTS),
    f"POST {_ONE}/reproduce": Shape({"type": "object", "properties": {"run": {"type": "integer"}}}, status=201),
    f"GET {_BOARD}": Shape(
        {"type": "object", "properties": {"suite": {"type": "string"}, "lines": {"type": "array", "items": _OBJECT}}}
    ),
}
