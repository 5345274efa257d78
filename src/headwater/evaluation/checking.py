"""What of a recipe of kind ``evaluate`` cannot work, told before anything runs: the suite itself is read, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.accounts import Action
from headwater.compute import Problem
from headwater.evaluation import suites
from headwater.evaluation.recipe_names import MODEL, RESULTS, SUITE
from headwater.hub import access
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.git import EntryKind, GitStore
from headwater.hub.models import RepoKind, Repository
from headwater.kernel import HeadwaterError
from headwater.scanning import strict_yaml

if TYPE_CHECKING:
    from headwater.compute import Recipe
    from headwater.db import Tx
    from headwater.kernel import Actor
    from headwater.web import Site

LIKELIHOOD_ON_ENDPOINT = (
    "it compares log-likelihoods of given answers, and endpoints do not give those: "
    "chat gives none for the prompt, and llama.cpp gives wrong ones without an error"
)


@dataclass(frozen=True)
class Check:
    """Asked with the submitter's own rights, after inputs and outputs were found."""

    site: Site

    def __call__(self, tx: Tx, actor: Actor, recipe: Recipe) -> list[Problem]:
        problems = _parts(recipe)
        if problems:
            return problems
        repos = {name: self._repo(tx, actor, recipe, name) for name in recipe.inputs}
        problems = _kinds(repos) + _privacy(tx, repos, recipe)
        suite = repos[SUITE]
        if suite.kind is RepoKind.DATASET:
            problems += self._suite(suite, recipe)
        if recipe.own.endpoint is not None:
            problems += _endpoint(tx, actor, recipe, repos)
        return problems

    def _repo(self, tx: Tx, actor: Actor, recipe: Recipe, name: str) -> Repository:
        ref = recipe.inputs[name].repo
        for kind in [ref.kind] if ref.kind is not None else list(RepoKind):
            found = access.find_by_name(tx, kind, ref.name)
            if found is not None:
                return access.check_repository(tx, actor, found, Action.READ_FILES)
        raise RepositoryNotFound

    def _suite(self, repo: Repository, recipe: Recipe) -> list[Problem]:
        with self.site.part(GitStore).open(repo.id) as snap:
            commit = snap.resolve(recipe.inputs[SUITE].revision or repo.default_branch, repo.default_branch)
            paths: list[str] = []
            empty: set[str] = set()
            texts: dict[str, str] = {}
            problems: list[Problem] = []
            for entry in snap.iter_files(commit):
                if entry.kind is not EntryKind.FILE:
                    continue
                paths.append(entry.path)
                if entry.size_bytes == 0:
                    empty.add(entry.path)
                if not suites.is_yaml(entry.path):
                    continue
                if len(texts) >= suites.MOST_FILES:
                    return [
                        Problem(
                            f"inputs.{SUITE}",
                            f"the suite has more than {suites.MOST_FILES} YAML files",
                            "Make several of it.",
                        )
                    ]
                if entry.sha256 is not None or entry.size_bytes > strict_yaml.MAX_BYTES:
                    what = f"{entry.path} is larger than {strict_yaml.MAX_BYTES >> 10} KiB"
                    problems.append(Problem(f"inputs.{SUITE}", what, "Keep data out of YAML."))
                    continue
                try:
                    texts[entry.path] = snap.read_blob(entry.oid).decode()
                except UnicodeDecodeError:
                    problems.append(
                        Problem(f"inputs.{SUITE}", f"{entry.path} is not valid UTF-8", "Write it as UTF-8.")
                    )
        suite, wrong = suites.read(texts, paths)
        problems += [Problem(f"inputs.{SUITE}: {each.where}", each.what, each.do) for each in wrong]
        chosen = recipe.own.tasks or tuple(suite.default())
        problems += [
            Problem(
                f"inputs.{SUITE}: {path}", f"the task {task.name} has no items: the file is empty", "Put items into it."
            )
            for task in {task.name: task for name in chosen for task in suite.below(name)}.values()
            for path in task.files
            if path in empty
        ]
        return problems or chosen_problems(suite, recipe.own.tasks, is_endpoint=recipe.own.endpoint is not None)


def chosen_problems(suite: suites.Suite, tasks: tuple[str, ...], *, is_endpoint: bool) -> list[Problem]:
    """What is wrong with the choice of tasks: names that are none, and tasks that an endpoint cannot be asked."""
    known = ", ".join([*suite.groups, *suite.tasks][:20])
    problems = [
        Problem(f"with.tasks.{number}", f"the suite has no task, group or tag {name!r}", f"It has: {known}.")
        for number, name in enumerate(tasks)
        if not suite.knows(name)
    ]
    if is_endpoint and not problems:
        for name in tasks or suite.default():
            bad = sorted(task.name for task in suite.below(name) if task.needs_likelihood)
            if bad:
                shown = ", ".join(bad[:5]) + (" …" if len(bad) > 5 else "")
                fit = [each for each in suite.top() if not any(task.needs_likelihood for task in suite.below(each))]
                do = f"Name tasks that generate ({', '.join(fit[:5]) or 'there is none'}), or give the model itself as an input."
                problems.append(
                    Problem(
                        "with.tasks", f"{name} cannot be asked of an endpoint ({shown}): {LIKELIHOOD_ON_ENDPOINT}", do
                    )
                )
    return problems


def _parts(recipe: Recipe) -> list[Problem]:
    problems = []
    wanted = {SUITE: "the suite: a dataset repository with lm-eval YAML and its data"}
    if recipe.own.endpoint is None:
        wanted[MODEL] = "the model, or with.endpoint instead"
    for name, what in wanted.items():
        if name not in recipe.inputs:
            problems.append(Problem("inputs", f"there is no input {name!r}", f"Name {what}."))
    problems += [
        Problem(f"inputs.{name}", "nothing uses it", f"An evaluation reads {MODEL!r} and {SUITE!r}.")
        for name in recipe.inputs
        if name not in (MODEL, SUITE)
    ]
    if recipe.own.endpoint is not None and MODEL in recipe.inputs:
        problems.append(Problem(f"inputs.{MODEL}", "there is an endpoint, too", "Keep one of them."))
    if set(recipe.outputs) != {RESULTS}:
        problems.append(
            Problem(
                "outputs", f"an evaluation has one output, {RESULTS!r}", "Name the dataset repository of its results."
            )
        )
    return problems


def _kinds(repos: dict[str, Repository]) -> list[Problem]:
    wanted = {MODEL: RepoKind.MODEL, SUITE: RepoKind.DATASET}
    return [
        Problem(f"inputs.{name}.repo", f"it is a {repo.kind.value}", f"Name a {wanted[name].value}.")
        for name, repo in repos.items()
        if repo.kind is not wanted[name]
    ]


def _privacy(tx: Tx, repos: dict[str, Repository], recipe: Recipe) -> list[Problem]:
    """Results hold the suite's items and the model's words: they are as private as these."""
    out = recipe.outputs[RESULTS]
    if out.repo.kind not in (None, RepoKind.DATASET):
        return [Problem(f"outputs.{RESULTS}.repo", f"it is a {out.repo.kind.value}", "Name a dataset.")]
    if _keeps_private(tx, recipe, repos):
        return []
    return [
        _told_to_all(str(repo.name), "private" if repo.is_private else "not open to everyone")
        for repo in repos.values()
        if repo.is_private or repo.gated
    ]


def _keeps_private(tx: Tx, recipe: Recipe, repos: dict[str, Repository]) -> bool:
    out = recipe.outputs[RESULTS]
    there = access.find_by_name(tx, RepoKind.DATASET, out.repo.name)
    if there is not None:
        return there.is_private
    return any(repo.is_private for repo in repos.values()) if out.is_private is None else out.is_private


def _told_to_all(name: str, how: str) -> Problem:
    return Problem(
        f"outputs.{RESULTS}",
        f"results hold what is in {name}, which is {how}",
        "Set private: true, and keep them in a private repository.",
    )


def _endpoint(tx: Tx, actor: Actor, recipe: Recipe, repos: dict[str, Repository]) -> list[Problem]:
    from headwater.serving import service
    from headwater.serving.models import TASKS

    model = recipe.own.endpoint.model
    try:
        found = service.get_for_use(tx, actor, model).endpoint
    except HeadwaterError as exc:
        return [Problem("with.endpoint.model", exc.message, "Start it, or name another.")]
    if found.task != TASKS[0]:
        return [Problem("with.endpoint.model", f"{model} embeds, and writes no answers", "Name one that generates.")]
    if found.resource.is_private and not _keeps_private(tx, recipe, repos):
        return [_told_to_all(model, "for its owner's members alone")]
    return []
