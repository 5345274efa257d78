"""Runs for programs: submitting, looking, ending; and what a run's own process says of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.compute import recipe as recipes
from headwater.compute.errors import BadRecipe, BadRunRequest, RunNotFound
from headwater.compute.kinds import get_kind
from headwater.compute.models import Problem, State
from headwater.compute.rows import Attempt, Run
from headwater.compute.service import lifecycle, reading, reporting, submitting
from headwater.compute.service.reading import Whole
from headwater.compute.settings import ComputeSettings
from headwater.compute.streaming import Events, EventStream, Place
from headwater.db import Tx
from headwater.kernel import Actor, to_iso
from headwater.web import Access, JsonResponse, Route
from headwater.web.openapi import Schema, Shape

RUNS, ONE = "/api/v1/runs", "/api/v1/runs/{id}"
REPORT_BYTES = 4 << 20


def number_of(request: Request) -> int:
    """Raises: RunNotFound."""
    text = request.path_params["id"]
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise RunNotFound
    return int(text)


# ---- recipes


async def recipe_schema(request: Request) -> Response:
    """``GET /api/v1/recipes/schema``: JSON Schema of every recipe."""
    return JsonResponse(recipes.schema_of_all(web.site_of(request).base_url))


async def kind_schema(request: Request) -> Response:
    """``GET /api/v1/recipes/{kind}/schema``: JSON Schema of one kind's recipes."""
    kind = get_kind(request.path_params["kind"])
    address = f"{web.site_of(request).base_url}/api/v1/recipes/{kind.name}/schema"
    return JsonResponse(await web.in_thread(recipes.schema_of, kind, address))


async def check_recipe(request: Request) -> Response:
    """``POST /api/v1/recipes/check`` with ``{recipe}``: every problem it has, without starting anything."""
    body = await web.read_json_object(request)
    try:
        found = await web.call(request, submitting.check, _need_text(body, "recipe"))
    except BadRecipe as bad:
        return JsonResponse({"ok": False, "problems": [problem_json(each) for each in bad.problems]})
    return JsonResponse({"ok": True, "kind": found.kind.name, "name": found.name, "problems": []})


# ---- runs


async def list_all(request: Request) -> Response:
    """``GET /api/v1/runs``: the latest first; ``state``, ``kind`` and ``owner`` narrow it."""
    asked = request.query_params
    states = [_state(each) for each in asked.getlist("state")]
    found = await web.read_tx(
        request,
        _list,
        states=states,
        kind=asked.get("kind"),
        owner=asked.get("owner"),
        cursor=asked.get("cursor"),
        limit=_number(asked.get("limit"), 50),
    )
    return JsonResponse(found["runs"], headers=web.next_link(request, found["next"]))


def _list(tx: Tx, actor: Actor, /, **asked: Any) -> dict[str, Any]:
    page = reading.list_runs(tx, actor, **asked)
    names = reading.names_of(tx, page.items)
    return {"runs": [run_json(each, names) for each in page.items], "next": page.cursor}


async def submit(request: Request) -> Response:
    """``POST /api/v1/runs`` with ``{recipe}``, or ``{repo, path, revision?}``; and ``priority?``."""
    body = await web.read_json_object(request)
    try:
        made = await web.call(
            request,
            submitting.submit,
            text=_text(body, "recipe"),
            repo=_text(body, "repo"),
            path=_text(body, "path"),
            revision=_text(body, "revision"),
            priority=_text(body, "priority") or "normal",
            parent_id=_parent(body),
        )
    except BadRecipe as bad:
        return JsonResponse(
            {"error": bad.message, "code": bad.code, "problems": [problem_json(each) for each in bad.problems]},
            web.status_of(bad),
        )
    return JsonResponse(await web.read_tx(request, _one, made.id), 201)


async def get_one(request: Request) -> Response:
    """``GET /api/v1/runs/{id}``: the run with its inputs, outputs, commits and attempts."""
    return JsonResponse(await web.read_tx(request, _one, number_of(request)))


def _one(tx: Tx, actor: Actor, run_id: int) -> dict[str, Any]:
    return whole_json(reading.get_whole(tx, actor, run_id))


async def get_recipe(request: Request) -> Response:
    """``GET /api/v1/runs/{id}/recipe``: the recipe as it was submitted."""
    found = await web.read_tx(request, reading.get_run, number_of(request))
    return Response(found.recipe_text, media_type="application/yaml", headers={"X-Content-Type-Options": "nosniff"})


async def cancel(request: Request) -> Response:
    """``POST /api/v1/runs/{id}/cancel``: it may save what it has for 20 seconds."""
    found = await web.write_tx(request, lifecycle.cancel, number_of(request))
    return JsonResponse(await web.read_tx(request, _one, found.id))


async def retry(request: Request) -> Response:
    """``POST /api/v1/runs/{id}/retry``: the same again, with inputs pinned as they were."""
    found = await web.write_tx(
        request, lifecycle.retry, number_of(request), web.site_of(request).settings.of(ComputeSettings)
    )
    return JsonResponse(await web.read_tx(request, _one, found.id))


async def get_logs(request: Request) -> Response:
    """``GET /api/v1/runs/{id}/logs``: what was printed, as text; ``tail`` bounds it to the last bytes."""
    tail = _number(request.query_params.get("tail"), 0)
    run_id = number_of(request)
    if tail:
        _, pieces = await web.read_tx(request, reading.get_log_tail, run_id, tail)
    else:
        _, pieces = await web.read_tx(request, reading.get_log, run_id, limit=100_000)
    parts: list[str] = []
    before: tuple[int, int] | None = None
    for each in pieces:
        if before is not None and before[0] == each.attempt and before[1] < each.start:
            parts.append(f"\n[... {each.start - before[1]} bytes of this log were left out ...]\n")
        elif before is not None and before[0] != each.attempt:
            parts.append(f"\n[attempt {each.attempt}]\n")
        parts.append(each.text)
        before = (each.attempt, each.end)
    return Response("".join(parts), media_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})


async def follow(request: Request) -> Response:
    """``GET /api/v1/runs/{id}/events``: the log, the state and which metrics grew, as server-sent events."""
    run_id, after = (
        number_of(request),
        _number(request.headers.get("last-event-id") or request.query_params.get("after"), 0),
    )
    await web.read_tx(request, reading.get_run, run_id)  # before anything is sent
    actor = web.actor_of(request)
    return EventStream(Events(web.site_of(request), actor, run_id, after), Place(request, actor))


async def get_metrics(request: Request) -> Response:
    """``GET /api/v1/runs/{id}/metrics``: points by name, as ``[step, value]``; ``name`` narrows it."""
    _, found = await web.read_tx(request, reading.get_points, number_of(request), request.query_params.getlist("name"))
    return JsonResponse(found)


async def get_provenance(request: Request) -> Response:
    """``GET /api/v1/runs/{id}/provenance``: an in-toto statement (SLSA provenance v1) about all that it made so far."""
    found = await web.read_tx(request, reading.get_statement, number_of(request), web.site_of(request).base_url)
    return Response(orjson.dumps(found), media_type="application/vnd.in-toto+json")


async def compare(request: Request) -> Response:
    """``GET /api/v1/run-comparison?ids=1,2``: runs side by side: what differs in their recipes, and what came out."""
    from headwater.compute.comparing import comparison

    found = await web.read_tx(request, reading.compare, ids_of(request))
    return JsonResponse(comparison(found).as_json())


def ids_of(request: Request) -> list[int]:
    """The numbers in ``ids``; what is none is left out."""
    text = ",".join(request.query_params.getlist("ids"))
    return [
        int(part) for part in text.split(",") if part.strip().isascii() and part.strip().isdigit() and len(part) < 10
    ]


# ---- its own process


async def get_context(request: Request) -> Response:
    """``GET /api/v1/runs/{id}/context``: what a run's own process needs to begin."""
    endpoint = web.site_of(request).base_url
    return JsonResponse(await web.read_tx(request, reporting.get_context, number_of(request), endpoint))


async def report(request: Request) -> Response:
    """``POST /api/v1/runs/{id}/report``: what a run's own process says: points, progress, notes, result, commits."""
    body = await web.read_json_object(request, limit_bytes=REPORT_BYTES)
    found = reporting.parse_report(body)
    return JsonResponse(await web.call(request, reporting.take_report, number_of(request), found))


async def ensure_output(request: Request) -> Response:
    """``POST /api/v1/runs/{id}/outputs/{name}``: for a run's own process: its output's repository, created if need be."""
    name = request.path_params["name"]
    return JsonResponse(await web.call(request, reporting.ensure_output, number_of(request), name))


# ---- shapes


def run_json(run: Run, names: Mapping[int, str]) -> dict[str, Any]:
    """A run in a list."""
    return {
        "id": run.id,
        "kind": run.kind,
        "name": run.name,
        "state": run.state.value,
        "owner": names.get(run.owner_id),
        "submitter": names.get(run.created_by),
        "private": run.is_private,
        "priority": {-1: "low", 0: "normal", 1: "high"}.get(run.priority, "normal"),
        "progress": run.progress,
        "reason": None if run.reason_code is None else {"code": run.reason_code, "message": run.reason},
        "attempts": run.n_attempts,
        "parent": run.parent_id,
        "created_at": to_iso(run.created_at),
        "started_at": None if run.started_at is None else to_iso(run.started_at),
        "ended_at": None if run.ended_at is None else to_iso(run.ended_at),
        "result": run.result,
        "energy": run.energy,
        "usage": run.usage,
    }


def whole_json(whole: Whole) -> dict[str, Any]:
    """A run with all that belongs to it."""
    run = whole.run
    return {
        **run_json(run, {run.owner_id: whole.owner, run.created_by: whole.submitter}),
        "recipe": run.resolved,
        "recipe_digest": run.recipe_digest,
        "inputs": {
            each.name: {"repo": each.repo_path, "revision": each.revision, "commit": each.commit}
            for each in whole.inputs
        },
        "outputs": {
            each.name: {"repo": each.repo_path, "private": each.is_private, "exists": each.repo_id is not None}
            for each in whole.outputs
        },
        "commits": [
            {
                "output": each.output,
                "commit": each.commit,
                "revision": each.revision,
                "files": len(each.files),
                "attempt": each.attempt,
                "at": to_iso(each.made_at),
            }
            for each in whole.commits
        ],
        "attempt_list": [_attempt_json(each) for each in whole.attempts],
        "notes": [{"attempt": attempt, "text": text, "at": to_iso(at)} for attempt, text, at in whole.notes],
        "metrics": list(whole.metric_names),
        "environment": run.environment,
        "cancel_requested": run.cancel_requested_at is not None,
    }


def _attempt_json(each: Attempt) -> dict[str, Any]:
    return {
        "number": each.number,
        "state": each.state.value,
        "runner": each.runner,
        "reason": None if each.reason_code is None else {"code": each.reason_code, "message": each.reason},
        "exit_code": each.exit_code,
        "usage": each.usage,
        "started_at": to_iso(each.started_at),
        "ended_at": None if each.ended_at is None else to_iso(each.ended_at),
    }


def problem_json(problem: Problem) -> dict[str, str]:
    return {"where": problem.where, "what": problem.what, "do": problem.do}


def _state(text: str) -> State:
    try:
        return State(text)
    except ValueError as exc:
        raise BadRunRequest(f"{text[:40]!r} is no state of a run") from exc


def _number(text: str | None, default: int) -> int:
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise BadRunRequest(f"{text[:40]!r} is no number")
    return int(text)


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value: str | None = body.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRunRequest(f"{name} is a text")
    return value


def _parent(body: Mapping[str, Any]) -> int | None:
    value: int | None = body.get("parent")
    if value is not None and (type(value) is not int or not 0 < value < 1 << 31):
        raise BadRunRequest("parent is the number of a run")
    return value


def _need_text(body: Mapping[str, Any], name: str) -> str:
    found = _text(body, name)
    if found is None:
        raise BadRunRequest(f"{name} is missing")
    return found


ROUTES = [
    Route("GET", "/api/v1/recipes/schema", recipe_schema, Access.PUBLIC, "api"),
    Route("GET", "/api/v1/recipes/{kind}/schema", kind_schema, Access.PUBLIC, "api"),
    Route("POST", "/api/v1/recipes/check", check_recipe, Access.SELF, "api"),
    Route("GET", RUNS, list_all, Access.READ, "api"),
    Route("POST", RUNS, submit, Access.CONTRIBUTE, "api"),
    Route("GET", "/api/v1/run-comparison", compare, Access.READ, "api"),
    Route("GET", ONE, get_one, Access.READ, "api"),
    Route("GET", f"{ONE}/recipe", get_recipe, Access.READ, "api"),
    Route("GET", f"{ONE}/logs", get_logs, Access.READ, "api"),
    Route("GET", f"{ONE}/events", follow, Access.READ, "api"),
    Route("GET", f"{ONE}/metrics", get_metrics, Access.READ, "api"),
    Route("GET", f"{ONE}/provenance", get_provenance, Access.READ, "api"),
    Route("POST", f"{ONE}/cancel", cancel, Access.WRITE, "api"),
    Route("POST", f"{ONE}/retry", retry, Access.WRITE, "api"),
    Route("GET", f"{ONE}/context", get_context, Access.WRITE, "api"),
    Route("POST", f"{ONE}/report", report, Access.WRITE, "api"),
    Route("POST", f"{ONE}/outputs/{{name}}", ensure_output, Access.WRITE, "api"),
]

_TEXT: Schema = {"type": "string"}
_MAYBE: Schema = {"type": ["string", "null"]}
_ANY: Schema = {"type": "object"}
_RUN: Schema = {
    "type": "object",
    "required": ["id", "kind", "name", "state"],
    "properties": {
        "id": {"type": "integer"},
        "kind": _TEXT,
        "name": _TEXT,
        "state": {"enum": [state.value for state in State]},
        "created_at": _TEXT,
        "started_at": _MAYBE,
        "ended_at": _MAYBE,
    },
}
_PROBLEM: Schema = {
    "type": "object",
    "required": ["where", "what", "do"],
    "properties": {"where": _TEXT, "what": _TEXT, "do": _TEXT},
}

SHAPES: dict[str, Shape] = {
    "GET /api/v1/recipes/schema": Shape(_ANY),
    "GET /api/v1/recipes/{kind}/schema": Shape(_ANY),
    "POST /api/v1/recipes/check": Shape(
        {
            "type": "object",
            "required": ["ok", "problems"],
            "properties": {"ok": {"type": "boolean"}, "problems": {"type": "array", "items": _PROBLEM}},
        },
        {"type": "object", "required": ["recipe"], "properties": {"recipe": _TEXT}},
    ),
    f"GET {RUNS}": Shape(
        {"type": "array", "items": _RUN},
        query={
            "state": {"enum": [state.value for state in State]},
            "kind": _TEXT,
            "owner": _TEXT,
            "cursor": _TEXT,
            "limit": {"type": "integer", "minimum": 1},
        },
    ),
    f"POST {RUNS}": Shape(
        _RUN,
        {
            "type": "object",
            "properties": {
                "recipe": _TEXT,
                "repo": _TEXT,
                "path": _TEXT,
                "revision": _TEXT,
                "priority": {"enum": ["low", "normal", "high"]},
                "parent": {"type": "integer"},
            },
        },
        status=201,
    ),
    "GET /api/v1/run-comparison": Shape(_ANY, query={"ids": _TEXT}),
    f"GET {ONE}": Shape(_RUN),
    f"GET {ONE}/recipe": Shape(_TEXT, media="application/yaml"),
    f"GET {ONE}/logs": Shape(_TEXT, query={"tail": {"type": "integer", "minimum": 0}}, media="text/plain"),
    f"GET {ONE}/events": Shape(_TEXT, query={"after": {"type": "integer", "minimum": 0}}, media="text/event-stream"),
    f"GET {ONE}/metrics": Shape(_ANY, query={"name": _TEXT}),
    f"GET {ONE}/provenance": Shape(_ANY, media="application/vnd.in-toto+json"),
    f"POST {ONE}/cancel": Shape(_RUN),
    f"POST {ONE}/retry": Shape(_RUN),
    f"GET {ONE}/context": Shape(_ANY),
    f"POST {ONE}/report": Shape(_ANY, _ANY),
    f"POST {ONE}/outputs/{{name}}": Shape(_ANY, _ANY),
}
