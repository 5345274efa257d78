"""The pinned suite: looked at once more, then written out as the plain configurations that lm-eval is given."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headwater.compute.program import Run
from headwater.evaluation import suites
from headwater.evaluation.program.problems import CannotEvaluate
from headwater.evaluation.recipe import EvaluateRecipe
from headwater.evaluation.recipe_names import SUITE


@dataclass(frozen=True)
class Chosen:
    """``names`` are what lm-eval is asked for; ``folder`` is of the suite's files, ``configs`` of what lm-eval reads."""

    suite: suites.Suite
    names: tuple[str, ...]
    tasks: tuple[suites.Task, ...]
    folder: Path
    configs: Path


def take_suite(run: Run, recipe: EvaluateRecipe) -> Chosen:
    """Raises: CannotEvaluate."""
    from huggingface_hub import HfApi

    kind, repo = run.input_repo(SUITE)
    api = HfApi(endpoint=run.endpoint, token=run.token)
    files = api.list_repo_files(repo, repo_type=kind, revision=run.input_commit(SUITE))
    wanted = [path for path in files if suites.is_yaml(path)]
    if not wanted:
        raise CannotEvaluate("bad_suite", "The suite has no YAML file of a task.")
    folder = run.input(SUITE, allow=[glob.escape(path) for path in wanted])
    texts = {path: (folder / path).read_text("utf-8") for path in wanted}
    suite, problems = suites.read(texts, files)
    if problems:
        raise CannotEvaluate("bad_suite", "\n".join(str(each) for each in problems[:50]))
    names = recipe.tasks or tuple(suite.default())
    unknown = [name for name in names if not suite.knows(name)]
    if unknown:
        raise CannotEvaluate("no_such_task", f"The suite has no task, group or tag {unknown[0]!r}.")
    tasks = {task.name: task for name in names for task in suite.below(name)}
    if recipe.endpoint is not None and any(task.needs_likelihood for task in tasks.values()):
        raise CannotEvaluate(
            "likelihood_on_endpoint", "Log-likelihoods are not asked of endpoints: name tasks that generate."
        )
    data = sorted({path for task in tasks.values() for path in task.files})
    folder = run.input(SUITE, allow=[glob.escape(path) for path in data])
    configs = run.folder / "tasks"
    write_configs(suite, folder, configs)
    return Chosen(suite, names, tuple(tasks[name] for name in sorted(tasks)), folder, configs)


def write_configs(suite: suites.Suite, folder: Path, configs: Path) -> None:
    """One file a task and group, with the data files by their whole paths."""
    configs.mkdir(parents=True, exist_ok=True)
    files = {path for task in suite.tasks.values() for path in task.files}
    for number, task in enumerate(suite.tasks.values()):
        config = dict(task.config)
        kwargs = dict(config["dataset_kwargs"])
        kwargs["data_files"] = _placed(kwargs["data_files"], task, files, folder)
        config["dataset_kwargs"] = kwargs
        _write(configs / f"task-{number:05}.yaml", config)
    for number, group in enumerate(suite.groups.values()):
        _write(configs / f"group-{number:05}.yaml", {**group.config, "task": list(group.members)})


def _placed(given: Any, task: suites.Task, files: set[str], folder: Path) -> Any:
    if isinstance(given, dict):
        return {split: _placed(names, task, files, folder) for split, names in given.items()}
    if isinstance(given, list):
        return [_placed(name, task, files, folder) for name in given]
    # Patterns are not meant: a name with * in it is that name.
    return glob.escape(str(folder / str(suites.find_file(files, task.path, given))))


def _write(path: Path, config: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False), "utf-8")
