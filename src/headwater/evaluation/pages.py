"""Evaluations on pages: beside a model's card, all of a model's, a suite's leaderboard, and what a run's page adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.compute.door import number_of
from headwater.compute.errors import BadRecipe
from headwater.evaluation import ranking, service
from headwater.evaluation.models import Compared, Mean, Score, by_ability, compare, overall
from headwater.evaluation.ranking import Asked, Board
from headwater.evaluation.service import Shown
from headwater.hub.models import Repository
from headwater.hub.pages.doors import show
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.kernel import Actor
from headwater.web import Access, Route, Site, shell

if TYPE_CHECKING:
    from headwater.compute import Run
    from headwater.db import Tx

shell.register_pages("evaluation", Path(__file__).parent)

SHOWN_BESIDE_CARD = 3


def percent(mean: Mean | Score | None) -> str:
    """``61.3``: shares as people say them."""
    return "–" if mean is None else f"{100 * mean.value:.1f}"


@dataclass(frozen=True)
class Card:
    """An evaluation in short: ``abilities`` with their means, ``total`` the unweighted mean of these."""

    shown: Shown
    abilities: Sequence[tuple[str, Mean]]
    total: Mean | None
    again: Sequence[Shown]

    @property
    def href(self) -> str:
        return f"/runs/{self.shown.run.id}"

    @property
    def main(self) -> list[Score]:
        return [score for score in self.shown.evaluation.scores if score.is_main]


def card_of(shown: Shown, again: Sequence[Shown] = ()) -> Card:
    abilities = by_ability(shown.evaluation.scores)
    return Card(shown, sorted(abilities.items()), overall(abilities), again)


@dataclass(frozen=True)
class ModelSection:
    repo: Repository
    cards: Sequence[Card]
    n_more: int


def load_section(tx: Tx, actor: Actor, repo: Repository) -> ModelSection | None:
    """What is known of this model, the latest first; None where nobody has evaluated it."""
    found = service.latest_of_each(service.list_shown(tx, actor, model_repo_id=repo.id, limit=50))
    if not found:
        return None
    return ModelSection(
        repo, [card_of(each) for each in found[:SHOWN_BESIDE_CARD]], max(0, len(found) - SHOWN_BESIDE_CARD)
    )


# ---- all of a model's


@dataclass(frozen=True)
class ModelPage:
    head: Head
    cards: Sequence[Card]
    may_submit: bool
    recipe: str


RECIPE = """kind: evaluate
name: {name} on a suite
inputs:
  model: {{repo: models/{path}, revision: {revision}}}
  suite: {{repo: datasets/namespace/suite, revision: main}}
outputs:
  results: {{repo: datasets/{path}-results{private}}}
resources: {{cpus: 2, memory_gb: 4}}
with:
  batch_size: 8
"""


def load_model(site: Site, actor: Actor, request: Request) -> ModelPage:
    """``GET /{ns}/{name}/evaluations``. Raises: RepositoryNotFound, Moved."""
    kind, name = name_of(request)
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "evaluations")
        found = service.list_shown(tx, actor, model_repo_id=head.repo.id)
        again: dict[int, list[Shown]] = {}
        for each in service.list_shown(tx, actor, reproduces=[each.run.id for each in found]) if found else []:
            again.setdefault(int(each.evaluation.reproduces or 0), []).append(each)
    first = [
        each
        for each in found
        if each.evaluation.reproduces is None or each.evaluation.reproduces not in {one.run.id for one in found}
    ]
    return ModelPage(
        head,
        [card_of(each, again.get(each.run.id, ())) for each in first],
        not actor.is_anonymous,
        RECIPE.format(
            name=head.repo.name.name,
            path=head.repo.name,
            revision=head.repo.default_branch,
            private=", private: true" if head.repo.is_private or head.repo.gated else "",
        ),
    )


async def reproduce(request: Request) -> Response:
    """``POST /evaluations/{id}``: the same recipe once more, as the reader's own run."""
    await shell.read_form(request)
    number = number_of(request)
    try:
        made = await web.call(request, service.reproduce, number)
    except BadRecipe as bad:
        page = RefusedPage(number, [str(each) for each in bad.problems])
        return shell.render(request, "evaluation/refused.html", page, status=422)
    return shell.redirect(request, f"/runs/{made.id}", flash="evaluation.flash_submitted")


@dataclass(frozen=True)
class RefusedPage:
    number: int
    problems: Sequence[str]


# ---- a suite's leaderboard


@dataclass(frozen=True)
class Column:
    """``href`` sorts by it, or turns the order round."""

    name: str
    href: str
    is_current: bool
    ascending: bool


@dataclass(frozen=True)
class BoardPage:
    head: Head
    board: Board
    fixed: dict[str, Column]
    columns: Sequence[Column]
    by: Sequence[tuple[str, str, bool]]
    api_href: str
    partial_href: str | None  # shows what alone is there: evaluations on part of the items


def asked_of(request: Request) -> Asked:
    given = request.query_params
    return Asked(
        by=given.get("by", "") if given.get("by") in ranking.BY else ranking.BY[0],
        sort=given.get("sort", ranking.TOTAL)[:128],
        ascending=given.get("order") == "up",
        name=given.get("name", "")[:200].strip(),
        commit=given.get("commit", "")[:40],
        tasks=given.get("tasks", "")[:12],
        every=given.get("every") == "1",
        partial=given.get("partial") == "1",
    )


def load_board(site: Site, actor: Actor, request: Request) -> BoardPage:
    """``GET /datasets/{ns}/{name}/leaderboard``. Raises: RepositoryNotFound, Moved."""
    kind, name = name_of(request)
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "leaderboard")
        found = service.list_shown(tx, actor, suite_repo_id=head.repo.id, limit=service.MOST_LOOKED_AT)
    asked = asked_of(request)
    made = ranking.board(found, asked)
    here = head.of("leaderboard")

    def column(key: str) -> Column:
        is_current = asked.sort == key
        up = not asked.ascending if is_current else key == "name"
        return Column(key, _href(here, asked, sort=key, order="up" if up else "down"), is_current, asked.ascending)

    are_all_partial = made.n_partial > 0 and not made.lines and not asked.partial and not asked.name
    return BoardPage(
        head=head,
        board=made,
        fixed={key: column(key) for key in ("name", ranking.TOTAL, "date")},
        columns=[column(key) for key in made.columns],
        by=[(each, _href(here, asked, by=each, sort=ranking.TOTAL), each == asked.by) for each in ranking.BY],
        api_href=f"/api/v1/leaderboards/{head.repo.name}?{urlencode({'by': asked.by})}",
        partial_href=_href(here, asked, partial="1") if are_all_partial else None,
    )


def _href(here: str, asked: Asked, **changed: str) -> str:
    values = {
        "by": asked.by,
        "sort": asked.sort,
        "order": "up" if asked.ascending else "down",
        "name": asked.name,
        "commit": asked.commit,
        "tasks": asked.tasks,
        "every": "1" if asked.every else "",
        "partial": "1" if asked.partial else "",
    } | changed
    return f"{here}?{urlencode({key: value for key, value in values.items() if value})}"


# ---- on a run's page


@dataclass(frozen=True)
class RunPanel:
    card: Card
    original: Shown | None
    compared: Sequence[Compared]
    may_submit: bool

    @property
    def n_same(self) -> int:
        return sum(each.is_same for each in self.compared)

    @property
    def verdict(self) -> str:
        """Of all scores together."""
        found = {each.verdict for each in self.compared}
        return next((word for word in ("missing", "differs", "close") if word in found), "same")


def panel_of(tx: Tx, actor: Actor, run: Run) -> RunPanel | None:
    """None until it has ended well."""
    found = service.list_shown(tx, actor, run_ids=[run.id], limit=1)
    if not found:
        return None
    shown = found[0]
    first = (
        []
        if shown.evaluation.reproduces is None
        else service.list_shown(tx, actor, run_ids=[shown.evaluation.reproduces], limit=1)
    )
    again = service.list_shown(tx, actor, reproduces=[run.id], limit=20)
    return RunPanel(
        card_of(shown, again),
        first[0] if first else None,
        compare(first[0].evaluation.scores, shown.evaluation.scores) if first else (),
        not actor.is_anonymous,
    )


ROUTES = [
    Route("POST", "/evaluations/{id}", reproduce, Access.CONTRIBUTE),
    Route("GET", "/datasets/{ns}/{name}/leaderboard", show("evaluation/board.html", load_board), Access.READ),
    Route("GET", "/{ns}/{name}/evaluations", show("evaluation/model.html", load_model), Access.READ),
]

__all__ = ["ROUTES", "load_section", "panel_of", "percent"]
