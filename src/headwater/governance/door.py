"""Grades, rules, lineages and licences for programs."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater import licensing, web
from headwater.governance import service
from headwater.governance.errors import UnknownLicence
from headwater.governance.frameworks import Component, Summary
from headwater.governance.models import Override, Row
from headwater.governance.rules import all_rules, version
from headwater.governance.service import Grade, Judged, LineageView
from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import to_iso, utcnow
from headwater.licensing.index import described
from headwater.licensing.obligations import checked_keys
from headwater.web import Access, JsonResponse, Route
from headwater.web.openapi import Shape

_AT = "/api/v1/grades/{type:models|datasets|spaces}/{ns}/{name}"


def _asked(request: Request) -> tuple[RepoKind, RepoName]:
    values = request.path_params
    return RepoKind.from_plural(values["type"]), RepoName(values["ns"], values["name"])


def facts_of_row(row: Row) -> dict[str, Any]:
    return {
        "criterion": row.criterion,
        "value": row.value,
        "basis": row.basis,
        "reason": row.reason,
        "words": dict(row.words),
        "licence": row.licence or None,
        "rule_version": row.rule_version,
        "checked_at": to_iso(row.checked_at),
        "evidence": [
            {
                "repo": each.repo,
                "commit": each.commit,
                "path": each.path or None,
                **({} if each.start is None else {"start": each.start, "end": each.end}),
            }
            for each in row.evidence
        ],
    }


def _override(each: Override | None) -> dict[str, Any] | None:
    if each is None:
        return None
    return {
        "id": each.id,
        "criterion": each.criterion,
        "value": each.value,
        "reason": each.reason,
        "machine_value": each.machine_value,
        "made_by": each.made_by,
        "made_at": to_iso(each.made_at),
        "withdrawn_by": each.withdrawn_by,
        "withdrawn_at": None if each.withdrawn_at is None else to_iso(each.withdrawn_at),
    }


def _judged(each: Judged) -> dict[str, Any]:
    return {**facts_of_row(each.row), "override": _override(each.override)}


def _component(each: Component) -> dict[str, Any]:
    return {
        "name": each.name,
        "criterion": each.criterion,
        "group": each.group,
        "value": each.value,
        "met": each.is_met,
    }


def _summary(found: Summary | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "ladder": found.ladder,
        "mof": {
            "class": found.mof.reached or None,
            "missing": list(found.mof.missing),
            "components": [_component(each) for each in found.mof.components],
        },
        "osaid": [_component(each) for each in found.osaid],
        "eu": [_component(each) for each in found.eu],
    }


def facts_of(grade: Grade) -> dict[str, Any]:
    kept = grade.kept
    return {
        "repo": grade.repo.path,
        "commit": None if kept is None else kept.commit,
        "label": None if kept is None else kept.label,
        "graded_at": None if kept is None else to_iso(kept.graded_at),
        "rules": None if kept is None else kept.rules,
        "is_behind": grade.is_behind,
        "licences": [] if kept is None else list(kept.licences),
        "verified": _summary(grade.verified),
        "with_declared": _summary(grade.declared),
        "with_decisions": _summary(grade.decided),
        "evidence": [_judged(each) for each in grade.rows],
        "overrides": [_override(each) for each in grade.overrides],
    }


def facts_of_verdict(each: licensing.Verdict) -> dict[str, Any]:
    return {
        "rule": each.rule,
        "outcome": each.outcome,
        "what": each.what,
        "licence": each.licence or None,
        "clause": each.clause or None,
        "quote": each.quote or None,
        "value": each.value or None,
        "chain": list(each.chain),
    }


def _lineage(view: LineageView) -> dict[str, Any]:
    nodes = []
    for name, repo in view.graph.repos.items():
        kept = view.graph.grades.get(name)
        nodes.append(
            {
                "id": name,
                "kind": repo.kind.value,
                "here": True,
                "licences": [] if kept is None else list(kept.licences),
                "label": None if kept is None else kept.label,
            }
        )
    nodes += [
        {"id": name, "kind": "run", "here": True, "licences": [], "label": run.state.value}
        for name, run in view.graph.runs.items()
    ]
    for name, endpoint in view.graph.endpoints.items():
        kept = view.graph.grade_behind(endpoint)
        licences, label = ([], None) if kept is None else (list(kept.licences), kept.label)
        nodes.append({"id": name, "kind": "endpoint", "here": True, "licences": licences, "label": label})
    nodes += [
        {"id": name, "kind": link.kind, "here": False, "licences": [], "label": None}
        for name, link in view.graph.absent.items()
    ]
    return {
        "repo": view.repo.path,
        "outcome": view.worst,
        "verdicts": [facts_of_verdict(each) for each in view.verdicts],
        "nodes": nodes,
        "edges": [
            {"child": each.child, "parent": each.parent, "way": each.way, "relation": each.relation}
            for each in view.graph.arrows
        ],
        "cut": view.graph.is_cut,
    }


async def get_grade(request: Request) -> Response:
    """``GET /api/v1/grades/{type}/{ns}/{name}``."""
    return JsonResponse(facts_of(await web.read_tx(request, service.get_grade, *_asked(request))))


async def get_lineage(request: Request) -> Response:
    """``GET …/lineage``: what may be seen of it, and the verdicts on its licences."""
    return JsonResponse(_lineage(await web.read_tx(request, service.get_lineage, *_asked(request))))


async def decide(request: Request) -> Response:
    """``POST …/overrides`` with ``{criterion, value, reason}``."""
    body = await web.read_json_object(request)
    given = [body.get(name) for name in ("criterion", "value", "reason")]
    made = await web.write_tx(request, service.override, *_asked(request), *given, now=utcnow())
    return JsonResponse(_override(made), 201)


async def withdraw(request: Request) -> Response:
    """``DELETE …/overrides/{id}``."""
    text = request.path_params["id"]
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1
    await web.write_tx(request, service.withdraw, *_asked(request), number, now=utcnow())
    return Response(status_code=204)


async def list_rules(request: Request) -> Response:
    """``GET /api/v1/grades/rules``: every rule with its clause, the day it applies from, and how many cases stand on either side."""
    from headwater.licensing.rules import ALL as LICENSING_RULES

    found = [
        {
            "criterion": rule.criterion,
            "version": rule.version,
            "applies_from": rule.applies_from.isoformat(),
            "kinds": sorted(rule.kinds),
            "clause": rule.clause,
            "sources": list(rule.sources),
            "reasons": dict(rule.reasons),
            "cases": {"passing": len(rule.passing), "failing": len(rule.failing)},
        }
        for rule in all_rules()
    ]
    lineage = [
        {
            "rule": rule.id,
            "version": rule.version,
            "applies_from": rule.applies_from.isoformat(),
            "says": rule.says,
            "source": rule.source,
            "cases": {"passing": len(rule.passing), "failing": len(rule.failing)},
        }
        for rule in LICENSING_RULES
    ]
    return JsonResponse({"version": version(), "openness": found, "lineage": lineage})


async def list_licences(request: Request) -> Response:
    """``GET /api/v1/licences``: those whose text is known here."""

    def act() -> list[dict[str, Any]]:
        checked = set(checked_keys())
        return [
            {
                "key": each.key,
                "spdx": each.spdx,
                "name": each.name,
                "is_open": licensing.is_open(each.key),
                "is_checked": each.key in checked,
            }
            for each in described()[0]
            if not each.part_of
        ]

    return JsonResponse(await web.in_thread(act))


async def get_licence(request: Request) -> Response:
    """``GET /api/v1/licences/{key}``: what it asks for, with the clause; ``conditions`` is null where nobody has compared them with its text."""
    key = request.path_params["key"]
    licence = await web.in_thread(licensing.find_licence, key)
    if licence is None or licence.part_of:
        raise UnknownLicence(key)
    terms = licensing.terms_of(key)
    return JsonResponse(
        {
            "key": key,
            "spdx": licence.spdx,
            "name": licence.name,
            "homepage": licence.homepage or None,
            "is_open": licensing.is_open(key),
            "is_osi_approved": licence.is_osi,
            "conditions": [
                {
                    "what": each.what,
                    "clause": each.clause,
                    "quote": each.quote,
                    "value": each.value or None,
                    "accepts": [{"key": one.key, "clause": one.clause, "quote": one.quote} for one in each.accepts],
                }
                for each in terms.conditions
            ]
            if terms.is_checked
            else None,
        }
    )


ROUTES = [
    Route("GET", "/api/v1/grades/rules", list_rules, Access.PUBLIC, "api"),
    Route("GET", "/api/v1/licences", list_licences, Access.PUBLIC, "api"),
    Route("GET", "/api/v1/licences/{key}", get_licence, Access.PUBLIC, "api"),
    Route("GET", _AT, get_grade, Access.READ, "api"),
    Route("GET", f"{_AT}/lineage", get_lineage, Access.READ, "api"),
    Route("POST", f"{_AT}/overrides", decide, Access.SITE_ADMIN, "api"),
    Route("DELETE", f"{_AT}/overrides/{{id}}", withdraw, Access.SITE_ADMIN, "api"),
]


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


_TEXT: dict[str, Any] = {"type": "string"}
_MAYBE: dict[str, Any] = {"type": ["string", "null"]}
_NUMBER: dict[str, Any] = {"type": "integer"}
_FLAG: dict[str, Any] = {"type": "boolean"}
_VALUE: dict[str, Any] = {"enum": ["open", "partial", "closed", "unknown"]}
_LIST_OF_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_OVERRIDE = _object(
    {
        "id": _NUMBER,
        "criterion": _TEXT,
        "value": _VALUE,
        "reason": _TEXT,
        "machine_value": _VALUE,
        "made_by": _TEXT,
        "made_at": _TEXT,
        "withdrawn_by": _MAYBE,
        "withdrawn_at": _MAYBE,
    }
)
_COMPONENT = _object(
    {"name": _TEXT, "criterion": _TEXT, "group": _TEXT, "value": _VALUE, "met": {"type": ["boolean", "null"]}}
)
_MOF = _object({"class": _MAYBE, "missing": _LIST_OF_TEXTS, "components": {"type": "array", "items": _COMPONENT}})
_SUMMARY = {
    "oneOf": [
        {"type": "null"},
        _object(
            {
                "ladder": _NUMBER,
                "mof": _MOF,
                "osaid": {"type": "array", "items": _COMPONENT},
                "eu": {"type": "array", "items": _COMPONENT},
            }
        ),
    ]
}
_PLACE = _object({"repo": _TEXT, "commit": _TEXT, "path": _MAYBE}, start=_NUMBER, end=_NUMBER)
_ROW = _object(
    {
        "criterion": _TEXT,
        "value": _VALUE,
        "basis": {"enum": ["verified", "declared", "none"]},
        "reason": _TEXT,
        "words": {"type": "object"},
        "licence": _MAYBE,
        "rule_version": _NUMBER,
        "checked_at": _TEXT,
        "evidence": {"type": "array", "items": _PLACE},
        "override": {"oneOf": [{"type": "null"}, _OVERRIDE]},
    }
)
_GRADE = _object(
    {
        "repo": _TEXT,
        "commit": _MAYBE,
        "label": _MAYBE,
        "graded_at": _MAYBE,
        "rules": _MAYBE,
        "is_behind": _FLAG,
        "licences": _LIST_OF_TEXTS,
        "verified": _SUMMARY,
        "with_declared": _SUMMARY,
        "with_decisions": _SUMMARY,
        "evidence": {"type": "array", "items": _ROW},
        "overrides": {"type": "array", "items": _OVERRIDE},
    }
)
_VERDICT = _object(
    {
        "rule": _TEXT,
        "outcome": {"enum": list(licensing.OUTCOMES)},
        "what": _TEXT,
        "licence": _MAYBE,
        "clause": _MAYBE,
        "quote": _MAYBE,
        "value": _MAYBE,
        "chain": _LIST_OF_TEXTS,
    }
)
_NODE = _object({"id": _TEXT, "kind": _TEXT, "here": _FLAG, "licences": _LIST_OF_TEXTS, "label": _MAYBE})
_EDGE = _object({"child": _TEXT, "parent": _TEXT, "way": _TEXT, "relation": _TEXT})
_LINEAGE = _object(
    {
        "repo": _TEXT,
        "outcome": {"enum": list(licensing.OUTCOMES)},
        "verdicts": {"type": "array", "items": _VERDICT},
        "nodes": {"type": "array", "items": _NODE},
        "edges": {"type": "array", "items": _EDGE},
        "cut": _FLAG,
    }
)
_LICENCE = _object(
    {
        "key": _TEXT,
        "spdx": _TEXT,
        "name": _TEXT,
        "homepage": _MAYBE,
        "is_open": _FLAG,
        "is_osi_approved": _FLAG,
        "conditions": {"type": ["array", "null"], "items": {"type": "object"}},
    }
)
_RULES = _object(
    {
        "version": _TEXT,
        "openness": {"type": "array", "items": {"type": "object"}},
        "lineage": {"type": "array", "items": {"type": "object"}},
    }
)
_LICENCES = {
    "type": "array",
    "items": _object({"key": _TEXT, "spdx": _TEXT, "name": _TEXT, "is_open": _FLAG, "is_checked": _FLAG}),
}

SHAPES: dict[str, Shape] = {
    "GET /api/v1/grades/rules": Shape(_RULES),
    "GET /api/v1/licences": Shape(_LICENCES),
    "GET /api/v1/licences/{key}": Shape(_LICENCE),
    f"GET {_AT}": Shape(_GRADE),
    f"GET {_AT}/lineage": Shape(_LINEAGE),
    f"POST {_AT}/overrides": Shape(
        _OVERRIDE,
        _object(
            {"criterion": _TEXT, "value": _VALUE, "reason": {"type": "string", "minLength": 10, "maxLength": 2000}}
        ),
        status=201,
    ),
    f"DELETE {_AT}/overrides/{{id}}": Shape(None, status=204),
}
