"""Runs: the one way work happens on compute. A recipe and pinned inputs become commits and a provenance statement.

A context above registers its kind of work when a site is put together, and that is all it needs to know of runners, queues
and tokens:

    compute.register(Kind(name="corpus", model="headwater.corpora.recipe:CorpusWith", program="headwater.corpora.program"))

What imports the database stands behind names that are looked up late: a program that a run started imports this package, too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headwater.compute.kinds import Kind, find_kind, get_kind, kinds, on_end, register
from headwater.compute.models import Problem, RunId, State

if TYPE_CHECKING:
    from headwater.compute.errors import BadRecipe, RunNotFound, UnknownKind
    from headwater.compute.recipe import Recipe
    from headwater.compute.rows import Commit, Output, Run, RunInput
    from headwater.compute.service.reading import find_around, find_makers, get_run, list_runs
    from headwater.compute.service.submitting import submit
    from headwater.web import Site

_LATE = {
    "BadRecipe": "headwater.compute.errors",
    "Commit": "headwater.compute.rows",
    "Output": "headwater.compute.rows",
    "Recipe": "headwater.compute.recipe",
    "Run": "headwater.compute.rows",
    "RunInput": "headwater.compute.rows",
    "RunNotFound": "headwater.compute.errors",
    "UnknownKind": "headwater.compute.errors",
    "find_around": "headwater.compute.service.reading",
    "find_makers": "headwater.compute.service.reading",
    "get_run": "headwater.compute.service.reading",
    "list_runs": "headwater.compute.service.reading",
    "submit": "headwater.compute.service.submitting",
}

__all__ = [
    "BadRecipe",
    "Commit",
    "Kind",
    "Output",
    "Problem",
    "Recipe",
    "Run",
    "RunId",
    "RunInput",
    "RunNotFound",
    "State",
    "UnknownKind",
    "find_around",
    "find_kind",
    "find_makers",
    "get_kind",
    "get_run",
    "install",
    "kinds",
    "list_runs",
    "on_end",
    "register",
    "submit",
]


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"headwater.compute has no {name}")
    return getattr(import_module(_LATE[name]), name)


def install(site: Site) -> None:
    """Have a repository's page say which run made it, and which could begin from it. Kinds are registered by those who know what
    they do.
    """
    from headwater.compute.makers import find_made, load_section
    from headwater.hub.models import RepoKind
    from headwater.hub.pages import marks

    marks.add_maker(find_made)
    marks.add_section(
        marks.Section("compute/section.html", load_section, frozenset({RepoKind.MODEL, RepoKind.DATASET}))
    )
