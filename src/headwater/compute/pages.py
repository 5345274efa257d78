"""Pages of runs: the list, one run as it goes, a new one, several side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts, web
from headwater.accounts import Action
from headwater.compute import charts, examples
from headwater.compute import recipe as recipes
from headwater.compute.comparing import Comparison, comparison, flatten
from headwater.compute.door import ids_of, number_of
from headwater.compute.errors import BadRecipe, BadRunRequest
from headwater.compute.kinds import find_kind, kinds
from headwater.compute.models import PRIORITIES, Problem, State
from headwater.compute.rows import Run, RunHost
from headwater.compute.service import access, lifecycle, reading, submitting
from headwater.compute.service.reading import Whole
from headwater.compute.settings import ComputeSettings
from headwater.compute.store import attempts, runs, said
from headwater.db import Tx
from headwater.hub.errors import BadName
from headwater.kernel import Actor, HeadwaterError, utcnow
from headwater.web import Access, Route, shell

shell.register_pages("compute", Path(__file__).parent)

PER_PAGE = 40
MOST_READ = 10_000  # points, for drawings that show a few hundred
TAIL_BYTES = 128 << 10  # of the log, on the page itself
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # colours of a terminal
TONES = {
    State.QUEUED: "",
    State.STARTING: "water",
    State.RUNNING: "water",
    State.SUCCEEDED: "good",
    State.FAILED: "bad",
    State.CANCELLED: "warn",
    State.LOST: "bad",
}


@dataclass(frozen=True)
class Line:
    """A run in a list."""

    run: Run
    owner: str
    submitter: str

    @property
    def tone(self) -> str:
        return TONES[self.run.state]

    @property
    def share(self) -> float | None:
        return share_of(self.run)

    @property
    def seconds(self) -> float | None:
        return seconds_of(self.run)


@dataclass(frozen=True)
class RunsPage:
    lines: Sequence[Line]
    states: Sequence[tuple[str, str, bool]]  # word, address, whether it is chosen
    kinds: Sequence[tuple[str, str, bool]]
    owner: str
    next_href: str | None
    hosts: Sequence[RunHost]
    n_waiting: int
    n_going: int
    may_submit: bool


@dataclass(frozen=True)
class LogView:
    """What a reader sees first: the end of the log. ``after`` is where the live part goes on."""

    text: str
    after: int
    is_cut: bool


@dataclass(frozen=True)
class RunPage:
    whole: Whole
    tone: str
    share: float | None
    seconds: float | None
    curves: Sequence[charts.Curve]
    log: LogView
    result: Sequence[tuple[str, Any]]
    settings: Sequence[tuple[str, Any]]
    may_act: bool
    panel: str
    panel_data: Any

    @property
    def run(self) -> Run:
        return self.whole.run

    @property
    def href(self) -> str:
        return f"/runs/{self.run.id}"


@dataclass(frozen=True)
class NewPage:
    text: str
    priority: str
    priorities: Sequence[str]
    problems: Sequence[Problem]
    problem: HeadwaterError | None
    is_good: bool
    kinds: Sequence[tuple[str, str, str]]  # name, extra, what is missing
    parent: int | None
    file: Mapping[str, str]  # where the text was taken from: repo, path, revision


@dataclass(frozen=True)
class ComparePage:
    lines: Sequence[Line]
    compared: Comparison
    curves: Sequence[charts.Curve]


def share_of(run: Run) -> float | None:
    """How much of a run is done, from 0 to 1; None where it does not say."""
    progress = run.progress or {}
    done, total = progress.get("done"), progress.get("total")
    if not total or done is None:
        return None
    return float(max(0.0, min(1.0, done / total)))


def seconds_of(run: Run) -> float | None:
    """How long it has been, or was, at work."""
    if run.started_at is None:
        return None
    return ((run.ended_at or utcnow()) - run.started_at).total_seconds()


# ---- the list


async def show_list(request: Request) -> Response:
    """``GET /runs``."""
    return shell.render(request, "compute/runs.html", await web.read_tx(request, load_list, request))


def load_list(tx: Tx, actor: Actor, request: Request) -> RunsPage:
    asked = request.query_params
    state, kind, owner = asked.get("state", ""), asked.get("kind", ""), asked.get("owner", "")
    states = [one for one in State if one.value == state]
    found = reading.list_runs(
        tx, actor, states=states, kind=kind or None, owner=owner or None, cursor=asked.get("cursor"), limit=PER_PAGE
    )
    names = reading.names_of(tx, found.items)
    counts = runs.count_active(tx)
    return RunsPage(
        lines=[Line(run, names[run.owner_id], names[run.created_by]) for run in found.items],
        states=[("all", _href(kind=kind, owner=owner), not states)]
        + [(one.value, _href(state=one.value, kind=kind, owner=owner), one in states) for one in State],
        kinds=[
            (name, _href(state=state, kind="" if name == kind else name, owner=owner), name == kind) for name in kinds()
        ],
        owner=owner,
        next_href=None if found.cursor is None else _href(state=state, kind=kind, owner=owner, cursor=found.cursor),
        hosts=attempts.hosts_seen_since(tx, utcnow() - timedelta(seconds=submitting.HOST_SEEN_S)),
        n_waiting=counts.get(State.QUEUED.value, 0),
        n_going=counts.get(State.STARTING.value, 0) + counts.get(State.RUNNING.value, 0),
        may_submit=not actor.is_anonymous,
    )


def _href(**values: str) -> str:
    given = {name: value for name, value in values.items() if value}
    return f"/runs?{urlencode(given)}" if given else "/runs"


# ---- one run


async def show_one(request: Request) -> Response:
    """``GET /runs/{id}``."""
    return shell.render(request, "compute/run.html", await web.read_tx(request, load_one, number_of(request)))


def _is_table(value: Any) -> bool:
    """Rows of something, which the kind's own panel shows."""
    return isinstance(value, list) and bool(value) and all(isinstance(row, list) for row in value)


def load_one(tx: Tx, actor: Actor, run_id: int) -> RunPage:
    """Raises: RunNotFound."""
    whole = reading.get_whole(tx, actor, run_id)
    run, kind = whole.run, find_kind(whole.run.kind)
    data = None if kind is None or kind.panel_data is None else kind.panel_data(tx, actor, run)
    shown = () if kind is None or data is None else kind.panel_shows
    rest = {name: each for name, each in (run.result or {}).items() if name not in shown and not _is_table(each)}
    return RunPage(
        whole=whole,
        tone=TONES[run.state],
        share=share_of(run),
        seconds=seconds_of(run),
        curves=_curves(tx, run),
        log=_log(tx, run),
        result=list(flatten(rest).items()),
        settings=list(flatten(run.resolved.get("with", {})).items()),
        may_act=accounts.allows(tx, actor, Action.WRITE, on=run.resource),
        panel="" if kind is None else kind.panel,
        panel_data=data,
    )


def _curves(tx: Tx, run: Run) -> list[charts.Curve]:
    points = said.points_of(tx, [run.id], every=max(1, run.n_points // MOST_READ))[run.id]
    # What is being learnt first: a reader looks for it.
    names = sorted(points, key=lambda name: ("loss" not in name, name))
    return [charts.draw(name, [("", points[name])]) for name in names]


def _log(tx: Tx, run: Run) -> LogView:
    pieces = said.log_tail(tx, run.id, TAIL_BYTES)
    text = "".join(piece.text for piece in pieces)
    after = pieces[-1].number if pieces else 0
    return LogView(plain(text), after, is_cut=bool(pieces) and pieces[0].number > 1)


def plain(text: str) -> str:
    """As a terminal would have shown it in the end: without colours, and of a line that was written over, its last form."""
    text = _CODES.sub("", text).replace("\r\n", "\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


async def show_curves(request: Request) -> Response:
    """``GET /runs/{id}/curves``: the drawings alone, for the page that is open."""

    def load(tx: Tx, actor: Actor, run_id: int) -> Sequence[charts.Curve]:
        return _curves(tx, access.get(tx, actor, run_id, Action.READ))

    found = await web.read_tx(request, load, number_of(request))
    return shell.render(request, "compute/curves_alone.html", found)


async def act(request: Request) -> Response:
    """``POST /runs/{id}``: cancel or retry."""
    form = await shell.read_form(request)
    run_id = number_of(request)
    if form["act"] == "cancel":
        await web.write_tx(request, lifecycle.cancel, run_id)
        return shell.redirect(request, f"/runs/{run_id}", flash="runs.flash_cancelled")
    await web.write_tx(request, lifecycle.retry, run_id, web.site_of(request).settings.of(ComputeSettings))
    return shell.redirect(request, f"/runs/{run_id}", flash="runs.flash_retried")


# ---- a new one


async def show_new(request: Request) -> Response:
    """``GET /runs/new``: a kind's example (``kind``; ``of`` is the repository it is about), or what a former run did (``from``), or a
    file says (``repo`` and ``path``).
    """
    asked = request.query_params
    parent, text, file = None, "", {}
    number = _number(asked.get("from", ""))
    if number is not None:
        found = await web.read_tx(request, reading.get_run, number)
        parent, text = found.id, found.recipe_text
    elif asked.get("repo"):
        file = {name: asked.get(name, "") for name in _FILE}
        text = (await _read_file(request, file)).text
    actor = web.actor_of(request)
    if actor.is_anonymous:
        raise accounts.NotSignedIn
    if not text:
        kind = find_kind(asked.get("kind", "")) or next(iter(kinds().values()), None)
        text = examples.fill(kind, actor.name, _about(asked.get("of", "")))
    return shell.render(request, "compute/new.html", _new(text, parent, file))


_FILE = ("repo", "path", "revision")


async def _read_file(request: Request, file: Mapping[str, str]) -> submitting.Source:
    """Raises: RepositoryNotFound, RevisionNotFound, FileNotFound, GateClosed, BadRunRequest."""
    repo, path, revision = (file[name] for name in _FILE)
    found: submitting.Source = await web.call(
        request, submitting.read_source, text=None, repo=repo, path=path, revision=revision or None
    )
    return found


def _about(text: str) -> tuple[str, str] | None:
    """A repository's type and name, as an address has them."""
    try:
        found = recipes.parse_repo(text)
    except BadName:
        return None
    return None if found.kind is None else (found.kind.value, str(found.name))


def _number(text: str) -> int | None:
    """A run's, as an address or a form has it."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _new(
    text: str,
    parent: int | None,
    file: Mapping[str, str],
    *,
    priority: str = "normal",
    problems: Sequence[Problem] = (),
    problem: HeadwaterError | None = None,
    is_good: bool = False,
) -> NewPage:
    return NewPage(
        text=text,
        priority=priority,
        priorities=list(PRIORITIES),
        problems=problems,
        problem=problem,
        is_good=is_good,
        kinds=[(kind.name, kind.extra, ", ".join(kind.missing())) for kind in kinds().values()],
        parent=parent,
        file=file,
    )


async def submit(request: Request) -> Response:
    """``POST /runs/new``: look at it, or put it into the queue."""
    form = await shell.read_form(request)
    text = form["recipe"].replace("\r\n", "\n")
    parent = _number(form["parent"])
    priority = form["priority"] or "normal"
    file = {name: form[name] for name in _FILE} if form["repo"] else {}
    try:
        begun = await _read_file(request, file) if file else None
        if form["act"] == "check":
            await web.call(request, submitting.check, text, parent, begun)
            return shell.render(request, "compute/new.html", _new(text, parent, file, priority=priority, is_good=True))
        made = await web.call(
            request, submitting.submit, text=text, priority=priority, parent_id=parent, begun_from=begun
        )
    except BadRecipe as bad:
        page = _new(text, parent, file, priority=priority, problems=bad.problems)
        return shell.render(request, "compute/new.html", page, status=422)
    except BadRunRequest as bad_request:
        page = _new(text, parent, file, problem=bad_request)
        return shell.render(request, "compute/new.html", page, status=400)
    return shell.redirect(request, f"/runs/{made.id}", flash="runs.flash_submitted")


# ---- several


async def show_compared(request: Request) -> Response:
    """``GET /runs/compare?ids=1&ids=2``."""
    return shell.render(request, "compute/compare.html", await web.read_tx(request, load_compared, ids_of(request)))


def load_compared(tx: Tx, actor: Actor, ids: Sequence[int]) -> ComparePage:
    found = reading.compare(tx, actor, ids)
    names = reading.names_of(tx, [each.run for each in found])
    compared = comparison(found)
    return ComparePage(
        lines=[Line(each.run, names[each.run.owner_id], names[each.run.created_by]) for each in found],
        compared=compared,
        curves=[
            charts.draw(name, [(str(number), points) for number, points in zip(compared.ids, series, strict=True)])
            for name, series in compared.curves.items()
        ],
    )


ROUTES = [
    Route("GET", "/runs", show_list, Access.READ),
    Route("GET", "/runs/new", show_new, Access.CONTRIBUTE),
    Route("POST", "/runs/new", submit, Access.CONTRIBUTE, acts=("submit", "check")),
    Route("GET", "/runs/compare", show_compared, Access.READ),
    Route("GET", "/runs/{id}", show_one, Access.READ),
    Route("POST", "/runs/{id}", act, Access.WRITE, acts=("cancel", "retry")),
    Route("GET", "/runs/{id}/curves", show_curves, Access.READ),
]
