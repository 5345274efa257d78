"""What people see of grades and lineages: the tab "Openness" of a repository, and the graph of what it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from headwater import licensing, web
from headwater.db import Tx
from headwater.governance import service
from headwater.governance.drawing import Drawing, Thing, draw
from headwater.governance.facts import VALUES, Evidence
from headwater.governance.lineages import Graph
from headwater.governance.models import Kept
from headwater.governance.rules import by_criterion
from headwater.governance.service import Grade, Judged
from headwater.hub.models import RepoName
from headwater.hub.pages import addresses
from headwater.hub.pages.doors import leads_on, show
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.hub.pages.talk import SHOWN_AGAIN
from headwater.kernel import Actor, HeadwaterError, utcnow
from headwater.web import Access, Route, Site, shell

shell.register_pages("governance", Path(__file__).parent)


@dataclass(frozen=True)
class Place:
    """Evidence as a link. ``label`` is the path, or the repository where it is another."""

    label: str
    href: str


@dataclass(frozen=True)
class Line:
    """One criterion. ``topics`` are the topics that a reason misses, which have names in each language."""

    judged: Judged
    places: Sequence[Place]
    topics: Sequence[str]
    rule_sources: Sequence[str]
    applies_from: str


@dataclass(frozen=True)
class OpennessPage:
    head: Head
    grade: Grade
    lines: Sequence[Line]
    may_decide: bool
    values: Sequence[str] = VALUES
    problem: HeadwaterError | None = None
    typed: Mapping[str, str] | None = None


@dataclass(frozen=True)
class VerdictLine:
    """One word on the lineage. ``chain`` has names with their addresses, "" where there is none."""

    verdict: licensing.Verdict
    chain: Sequence[tuple[str, str]]
    licence: str


@dataclass(frozen=True)
class Step:
    """One arrow in words."""

    parent: str
    parent_href: str
    child: str
    child_href: str
    relation: str


@dataclass(frozen=True)
class LineagePage:
    head: Head
    drawing: Drawing
    outcome: str
    verdicts: Sequence[VerdictLine]
    steps: Sequence[Step]
    is_cut: bool


def load(
    tx: Tx,
    actor: Actor,
    request: Request,
    problem: HeadwaterError | None = None,
    typed: Mapping[str, str] | None = None,
) -> OpennessPage:
    """``GET …/openness``. Raises: RepositoryNotFound, Moved."""
    kind, name = name_of(request)
    head = find_head(tx, actor, kind, name, "openness")
    grade = service.get_grade(tx, actor, kind, name)
    lines = []
    for each in grade.rows:
        rule = by_criterion()[each.row.criterion]
        missing = each.row.words.get("missing")
        topics = str(missing).split(", ") if missing else ()
        places = [_place(one, head.repo.path) for one in each.row.evidence]
        lines.append(Line(each, places, topics, rule.sources, rule.applies_from.isoformat()))
    return OpennessPage(head, grade, lines, service.may_decide(actor), problem=problem, typed=typed)


def _place(each: Evidence, own: str) -> Place:
    base = f"/{each.repo}"
    other = "" if each.repo == own else f"{each.repo}: "
    if each.path:
        at = "blob" if "." in each.path.rpartition("/")[2] or each.path.rpartition("/")[2].isupper() else "tree"
        return Place(f"{other}{each.path}", f"{base}/{at}/{each.commit}/{quote(each.path)}")
    return Place(f"{each.repo}@{each.commit[:7]}", f"{base}/tree/{each.commit}")


def show_openness(site: Site, actor: Actor, request: Request) -> OpennessPage:
    with site.db.reading() as tx:
        return load(tx, actor, request)


@leads_on
async def change(request: Request) -> Response:
    """``POST …/openness``: to decide a criterion, or take a decision back."""
    form = await shell.read_form(request)
    kind, name = name_of(request)
    now = utcnow()
    try:
        if form["act"] == "withdraw":
            text = form["id"]
            number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1
            await web.write_tx(request, service.withdraw, kind, name, number, now=now)
            flash = "openness.withdrawn"
        else:
            wish = (form["criterion"], form["value"], form["reason"])
            await web.write_tx(request, service.override, kind, name, *wish, now=now)
            flash = "openness.decided"
    except HeadwaterError as problem:
        if problem.kind not in SHOWN_AGAIN:
            raise
        typed = {key: form[key][:3000] for key in ("criterion", "value", "reason")}
        page = await web.read_tx(request, load, request, problem=problem, typed=typed)
        return shell.render(request, "governance/openness.html", page, status=web.status_of(problem))
    return shell.redirect(request, f"/{kind.url_prefix}{name}/openness", flash=flash)


# -- lineage


def show_lineage(site: Site, actor: Actor, request: Request) -> LineagePage:
    """``GET …/lineage``. Raises: RepositoryNotFound, Moved."""
    kind, name = name_of(request)
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "openness")
        view = service.get_lineage(tx, actor, kind, RepoName(name.namespace, name.name))
    graph = view.graph
    things = _things(graph)
    by_id = {thing.id: thing for thing in things}
    arrows = [(each.child, each.parent, each.way, each.relation) for each in graph.arrows]
    verdicts = [
        VerdictLine(
            each,
            [(by_id[one].name, by_id[one].href) if one in by_id else (one, "") for one in each.chain],
            _licence_name(each.licence),
        )
        for each in view.verdicts
    ]
    steps = [
        Step(by_id[p].name, by_id[p].href, by_id[c].name, by_id[c].href, relation)
        for c, p, _, relation in arrows
        if p in by_id and c in by_id
    ]
    return LineagePage(head, draw(things, arrows), view.worst, verdicts, steps, graph.is_cut)


def _things(graph: Graph) -> list[Thing]:
    found = []
    for name, repo in graph.repos.items():
        note = _licences_and_label(graph.grades.get(name))
        found.append(
            Thing(name, str(repo.name), note, repo.kind.value, f"/{quote(repo.path)}", is_self=name == graph.root)
        )
    found += [Thing(name, link.name, "", "absent", "") for name, link in graph.absent.items()]
    for name, run in graph.runs.items():
        found.append(Thing(name, run.name, f"{run.kind} · {run.state.value}", "run", f"/runs/{run.id}"))
    for name, endpoint in graph.endpoints.items():
        href = f"/endpoints/{quote(endpoint.owner)}/{quote(endpoint.name)}"
        note = " · ".join(each for each in (_licences_and_label(graph.grade_behind(endpoint)), endpoint.engine) if each)
        found.append(Thing(name, endpoint.model, note, "endpoint", href))
    return found


def _licences_and_label(grade: Kept | None) -> str:
    if grade is None:
        return ""
    label = grade.label if grade.label != "unknown" else ""
    return " · ".join(each for each in (", ".join(grade.licences) or grade.declared, label) if each)


def _licence_name(key: str) -> str:
    licence = licensing.find_licence(key) if key else None
    return licence.name if licence is not None else key


def _of_repository(prefix: str) -> list[Route]:
    at = f"/{prefix}{{ns}}/{{name}}"
    return [
        Route("GET", f"{at}/openness", show("governance/openness.html", show_openness), Access.READ),
        Route("POST", f"{at}/openness", change, Access.SITE_ADMIN, acts=("decide", "withdraw")),
        Route("GET", f"{at}/lineage", show("governance/lineage.html", show_lineage), Access.READ),
    ]


ROUTES = [route for prefix in addresses.PREFIXES for route in _of_repository(prefix)]
