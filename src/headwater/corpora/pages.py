"""The corpus report of a dataset, as a page; and what the page of a run of kind ``corpus`` adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import Request

from headwater.blobs import read_all
from headwater.corpora import report as reports
from headwater.hub import gate
from headwater.hub.content import reading
from headwater.hub.errors import FileNotFound, RevisionNotFound
from headwater.hub.pages import addresses
from headwater.hub.pages.doors import show
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.kernel import Actor
from headwater.web import Access, Route, Site, shell

if TYPE_CHECKING:
    from headwater.compute import Run
    from headwater.db import Tx

shell.register_pages("corpora", Path(__file__).parent)

_BAR = 200  # the length of the longest bar, in its own units


@dataclass(frozen=True)
class Bar:
    """One line of a chart: ``length`` of ``_BAR``, and of it ``rest`` that went."""

    label: str
    value: int
    length: float
    rest: float = 0.0


@dataclass(frozen=True)
class ReportPage:
    """``report`` is None where the repository has none; ``is_unreadable`` where it has a file of that name that is none."""

    head: Head
    revision: str
    report: reports.Report | None
    is_unreadable: bool
    file_href: str
    raw_href: str
    drops_href: str
    sources: Sequence[Bar] = ()
    languages: Sequence[Bar] = ()
    steps: Sequence[Bar] = ()
    lengths: Sequence[Bar] = ()
    recipe: str = ""


RECIPE = """kind: corpus
name: {name}
inputs:
  pages: {{repo: {path}}}
outputs:
  corpus: {{repo: {path}-corpus}}
with:
  sources:
    - {{name: pages, input: pages}}
  preview: 1000   # shows what would happen; take it out to build
"""


def load(site: Site, actor: Actor, request: Request) -> ReportPage:
    """``GET /datasets/{ns}/{name}/corpus``. Raises: RepositoryNotFound, Moved, GateClosed."""
    kind, name = name_of(request)
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "corpus")
    revision = request.query_params.get("revision") or head.repo.default_branch
    found, is_unreadable = _read(site, actor, head, revision)
    charts = _charts(found) if found is not None else {}
    return ReportPage(
        head=head,
        revision=revision,
        report=found,
        is_unreadable=is_unreadable,
        file_href=addresses.at(head.repo, "blob", revision, reports.FILE),
        raw_href=addresses.at(head.repo, "resolve", revision, reports.FILE),
        drops_href=addresses.at(head.repo, "tree", revision, "drops"),
        recipe=RECIPE.format(name=head.repo.name.name, path=f"datasets/{head.repo.name}"),
        **charts,
    )


def _read(site: Site, actor: Actor, head: Head, revision: str) -> tuple[reports.Report | None, bool]:
    try:
        file = reading.find_file(site, actor, head.repo.kind, head.repo.name, revision, reports.FILE)
    except (FileNotFound, RevisionNotFound, gate.FileHeld):
        return None, False
    if file.entry.size_bytes > reports.LARGEST_BYTES:
        return None, True
    try:
        return reports.parse(read_all(file.source)), False
    except reports.NoReport:
        return None, True


def _charts(report: reports.Report) -> dict[str, Sequence[Bar]]:
    return {
        "sources": _bars([(source.name, source.kept.tokens or source.kept.documents) for source in report.sources]),
        "languages": _bars([(code, counts.tokens or counts.documents) for code, counts in report.languages[:20]]),
        "steps": _steps(report),
        "lengths": _bars([(f"{least:,}–{2 * least - 1:,}", n) for least, n in report.lengths]),
    }


def _bars(rows: Sequence[tuple[str, int]]) -> list[Bar]:
    most = max((value for _, value in rows), default=0)
    return [Bar(label, value, _share(value, most)) for label, value in rows]


def _steps(report: reports.Report) -> list[Bar]:
    """What is left after each step, and what it took."""
    most = max((step.before for step in report.steps), default=0)
    return [Bar(step.name, step.after, _share(step.after, most), _share(step.dropped, most)) for step in report.steps]


def _share(value: int, most: int) -> float:
    return round(_BAR * value / most, 2) if most else 0.0


@dataclass(frozen=True)
class Examples:
    """Of one reason, or one step that changed texts: how many documents, and some of them."""

    name: str
    documents: int
    some: Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class RunPanel:
    """What a run of kind ``corpus`` shows: a preview's examples, or how much came out and where its report is."""

    is_preview: bool
    documents: int
    kept: int
    tokens: int
    size_bytes: int
    dropped: Sequence[Examples] = ()
    changed: Sequence[Examples] = ()
    staying: Sequence[Mapping[str, str]] = ()
    report_href: str = ""


def panel_of(tx: Tx, actor: Actor, run: Run) -> RunPanel | None:
    """None while there is no result."""
    result = run.result
    if not result:
        return None
    commit = result.get("commit")
    repo = next((str(each["repo"]) for each in run.resolved.get("outputs", {}).values()), "")
    is_preview = result.get("preview") is True
    return RunPanel(
        is_preview=is_preview,
        documents=reports.number(result.get("documents")),
        kept=reports.number(result.get("kept")),
        tokens=reports.number(result.get("tokens")),
        size_bytes=reports.number(result.get("bytes")),
        dropped=_examples(result.get("dropped")),
        changed=_examples(result.get("changed")),
        staying=_texts(result.get("examples")),
        report_href=f"/{repo}/corpus?revision={quote(commit)}" if isinstance(commit, str) and repo else "",
    )


def _examples(value: Any) -> list[Examples]:
    given = value.items() if isinstance(value, dict) else ()
    return [
        Examples(str(name), reports.number(each.get("documents")), _texts(each.get("examples")))
        for name, each in given
        if isinstance(each, dict)
    ]


def _texts(value: Any) -> list[dict[str, str]]:
    given = value if isinstance(value, list) else ()
    return [
        {key: str(said) for key, said in each.items() if said is not None} for each in given if isinstance(each, dict)
    ]


ROUTES = [
    Route("GET", "/datasets/{ns}/{name}/corpus", show("corpora/report.html", load), Access.READ),
]
