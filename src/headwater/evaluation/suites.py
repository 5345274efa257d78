"""Suites: what the lm-eval YAML of a dataset repository says, read without running any of it.

lm-eval takes YAML that names Python (``!function``), downloads data by name, and imports metrics: of strangers' suites none of
that is taken. Whatever is not known here to be data is refused with its reason, so that a new feature of lm-eval is refused,
too, until somebody has looked at it. What passes is written out again as plain configurations, and only these are loaded:
what was looked at is what runs.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.compute import Problem
from headwater.scanning import strict_yaml

MOST_FILES = 2000
MOST_TASKS = 2000
DEEPEST_INCLUDE = 8
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
FORMATS = frozenset({"json", "parquet", "csv", "text"})
LIKELIHOOD = frozenset({"multiple_choice", "loglikelihood", "loglikelihood_rolling"})
GENERATION = frozenset({"generate_until"})

# Fields of a task that are data to lm-eval, wherever they stand.
_TASK_FIELDS = frozenset(
    """task task_alias tag dataset_path dataset_name dataset_kwargs test_split validation_split training_split
    fewshot_split doc_to_text doc_to_target doc_to_choice doc_to_decontamination_query gen_prefix description
    target_delimiter fewshot_delimiter fewshot_config num_fewshot metric_list output_type generation_kwargs repeats
    filter_list should_decontaminate metadata""".split()  # noqa: SIM905 -- a list of this length reads better as text
)
_GROUP_FIELDS = frozenset({"group", "group_alias", "task", "aggregate_metric_list", "metadata"})
_FEWSHOT_FIELDS = frozenset({"sampler", "samples", "split", "doc_to_text", "doc_to_target", "doc_to_choice"})
_METRICS = frozenset(
    """acc acc_norm acc_mutual_info acc_bytes exact_match f1 mcc brier_score perplexity word_perplexity byte_perplexity
    bits_per_byte bleu chrf ter bypass likelihood checked""".split()  # noqa: SIM905
)
_METRIC_FIELDS = frozenset(
    """metric aggregation higher_is_better ignore_case ignore_punctuation ignore_numbers regexes_to_ignore""".split()  # noqa: SIM905
)
_AGGREGATIONS = frozenset(
    {
        "mean",
        "median",
        "perplexity",
        "weighted_perplexity",
        "bits_per_byte",
        "f1",
        "matthews_corrcoef",
        "bleu",
        "chrf",
        "ter",
        "brier_score",
        "bypass",
        "nanmean",
    }
)
_FILTERS = frozenset(
    """take_first take_first_k majority_vote regex remove_whitespace multi_choice_regex lowercase uppercase map
    decontaminate format_span""".split()  # noqa: SIM905
)  # fmt: skip
_GENERATION_FIELDS = frozenset(
    """until max_gen_toks max_new_tokens max_tokens temperature top_p top_k do_sample num_beams repetition_penalty seed""".split()  # noqa: SIM905
)

_WHOLE_NUMBERS = {
    "num_fewshot": (0, 100),
    "repeats": (1, 100),
    "max_gen_toks": (1, 131_072),
    "max_new_tokens": (1, 131_072),
    "max_tokens": (1, 131_072),
    "num_beams": (1, 64),
}
_KINDS_OF_FIELDS: dict[str, Any] = {
    "metadata": dict,
    "dataset_kwargs": dict,
    "metric_list": list,
    "filter_list": list,
    "tag": (str, list),
}


@dataclass(frozen=True)
class Task:
    """``config`` is what lm-eval is given; its data files are paths in the suite. ``ability`` is what it is counted under."""

    name: str
    path: str
    output_type: str
    version: str
    ability: str
    tags: tuple[str, ...]
    files: tuple[str, ...]
    config: Mapping[str, Any]

    @property
    def needs_likelihood(self) -> bool:
        return self.output_type in LIKELIHOOD


@dataclass(frozen=True)
class Group:
    name: str
    path: str
    members: tuple[str, ...]
    config: Mapping[str, Any]


@dataclass
class Suite:
    tasks: dict[str, Task] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)

    def tags(self) -> set[str]:
        return {tag for task in self.tasks.values() for tag in task.tags}

    def below(self, name: str) -> list[Task]:
        """The tasks that a name stands for: itself, a group's, a tag's."""
        found: dict[str, Task] = {}
        waiting, seen = [name], set()
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            if one in self.tasks:
                found[one] = self.tasks[one]
            if one in self.groups:
                waiting += self.groups[one].members
            for task in self.tasks.values():
                if one in task.tags:
                    found[task.name] = task
        return [found[each] for each in sorted(found)]

    def knows(self, name: str) -> bool:
        return name in self.tasks or name in self.groups or name in self.tags()

    def default(self) -> list[str]:
        """What to run where nothing was chosen: what calls itself so (``metadata: {default: true}``), or else all."""
        known: list[Task | Group] = [*self.groups.values(), *self.tasks.values()]
        named = [
            one.name
            for one in known
            if isinstance(given := one.config.get("metadata"), dict) and given.get("default") is True
        ]
        return named or self.top()

    def top(self) -> list[str]:
        """Groups and tasks that no other group has: all there is."""
        held = {member for group in self.groups.values() for member in group.members}
        in_group = {task.name for name in self.groups for task in self.below(name)}
        return [name for name in sorted(self.groups) if name not in held] + [
            name for name in sorted(self.tasks) if name not in in_group
        ]


def is_yaml(path: str) -> bool:
    """Whether a file of the repository may be of a task: hidden folders are none of lm-eval's business."""
    return path.endswith((".yaml", ".yml")) and not any(part.startswith(".") for part in path.split("/"))


def read(texts: Mapping[str, str], files: Collection[str]) -> tuple[Suite, list[Problem]]:
    """A suite out of its YAML files, and all that is wrong with them.

    Args:
        texts: of the YAML files by path. files: every path of the repository.
    """
    return _Reader(texts, frozenset(files)).read()


class _Reader:
    def __init__(self, texts: Mapping[str, str], files: frozenset[str]) -> None:
        self.texts, self.files = texts, files
        self.suite = Suite()
        self.problems: list[Problem] = []
        self._parsed: dict[str, Any] = {}

    def read(self) -> tuple[Suite, list[Problem]]:
        included = set()
        for path in sorted(self.texts):
            data = self._load(path)
            if isinstance(data, dict):
                for each in _texts(data.get("include")):
                    included.add(posixpath.normpath(posixpath.join(posixpath.dirname(path), each)))
        for path in sorted(self.texts):
            data = self._load(path)
            if not isinstance(data, dict) or not ({"task", "group"} & set(data)) or path.startswith("recipes/"):
                continue  # other YAML, and what others include
            whole = self._include(path, data, 0)
            if "group" in whole:
                self._group(path, whole)
            elif isinstance(whole.get("task"), str):
                self._task(path, whole)
            elif path not in included:
                self._say(path, "`task` is a list, and there is no `group`", "Name the group, or give one task a file.")
        if not self.suite.tasks and not self.problems:
            self._say("suite", "it has no task", "Put lm-eval task files (*.yaml with `task:`) into the repository.")
        self._references()
        return self.suite, self.problems

    def _say(self, path: str, what: str, do: str = "") -> None:
        problem = Problem(path, what, do)
        if problem not in self.problems:
            self.problems.append(problem)

    def _load(self, path: str) -> Any:
        if path not in self._parsed:
            self._parsed[path] = None
            text = self.texts[path]
            code = re.search(r"^[^#\n]*!(?:function|python|!)[^\s]*", text, re.MULTILINE)
            try:
                self._parsed[path] = strict_yaml.load(text)
            except strict_yaml.BadYaml as exc:
                if code is not None or "Tags such as" in exc.why:
                    where = path if exc.line is None else f"{path} line {exc.line}"
                    self._say(
                        where,
                        "it names Python code (`!function` or another tag), and code of a suite is never run here",
                        "Write it with Jinja templates, `filter_list` and the metrics that lm-eval has.",
                    )
                else:
                    self._say(path, exc.why, "Write it as plain YAML.")
        return self._parsed[path]

    def _include(self, path: str, data: dict[str, Any], depth: int) -> dict[str, Any]:
        """With what it includes below it; later words win."""
        whole: dict[str, Any] = {}
        given = data.get("include")
        if given is not None and not _texts(given):
            self._say(path, "`include` is no path", "Name a YAML file of the suite.")
        for each in _texts(given):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), each))
            if each.startswith("/") or target.startswith("..") or target not in self.texts:
                self._say(
                    path,
                    f"it includes {each!r}, which is no YAML file of this suite",
                    "Include files of the suite alone.",
                )
            elif depth >= DEEPEST_INCLUDE:
                self._say(path, "files include each other without end", "Take the circle out.")
            else:
                found = self._load(target)
                if isinstance(found, dict):
                    whole |= self._include(target, found, depth + 1)
        return whole | {key: value for key, value in data.items() if key != "include"}

    # ---- one task

    def _task(self, path: str, data: dict[str, Any]) -> None:
        name = data["task"]
        if not NAME.fullmatch(name):
            self._say(path, f"{name[:80]!r} is no name of a task", "Use letters, digits, and _ . -")
            return
        if name in self.suite.tasks or name in self.suite.groups:
            self._say(path, f"the name {name!r} is used twice", "Give each task and group a name of its own.")
            return
        for key in sorted(set(data) - _TASK_FIELDS):
            self._say(path, f"the field `{key[:60]}` is not taken here", _WHY.get(key, "Take it out."))
        kind = data.get("output_type", "generate_until")
        if not _among(kind, LIKELIHOOD | GENERATION):
            self._say(
                path,
                f"the output_type {str(kind)[:60]!r} is not known",
                f"Use one of: {', '.join(sorted(LIKELIHOOD | GENERATION))}.",
            )
        files = self._data(path, data)
        self._metrics(path, data)
        self._filters(path, data)
        self._fewshot(path, data)
        self._generation(path, data)
        self._values(path, data)
        for key in ("doc_to_text", "doc_to_target", "doc_to_choice", "description"):
            if _has_code(data.get(key)):
                self._say(path, f"`{key}` is a call of Python", "Write it as a Jinja template.")
        if not any(isinstance(data.get(key), str) for key in ("test_split", "validation_split")):
            self._say(
                path, "there is neither `test_split` nor `validation_split`", "Say which of data_files holds the items."
            )
        given = data.get("metadata")
        metadata: dict[str, Any] = given if isinstance(given, dict) else {}
        tags = tuple(_texts(data.get("tag")))
        ability = metadata.get("ability") or (tags[0] if tags else "")
        config = {key: value for key, value in data.items() if key in _TASK_FIELDS}
        config["metadata"] = {"version": 1.0} | metadata
        if len(self.suite.tasks) >= MOST_TASKS:
            self._say("suite", f"it has more than {MOST_TASKS} tasks", "Make several suites of it.")
            return
        self.suite.tasks[name] = Task(
            name, path, str(kind), str(config["metadata"]["version"])[:40], str(ability)[:100], tags, files, config
        )

    def _data(self, path: str, data: dict[str, Any]) -> tuple[str, ...]:
        """The files it reads, as paths of the repository; in ``data`` they stay as they were."""
        kind = data.get("dataset_path")
        if not _among(kind, FORMATS):
            self._say(
                path,
                f"its data is {str(kind)[:120]!r}, and data comes from the suite's own repository alone",
                f"Set dataset_path to one of {', '.join(sorted(FORMATS))}, and name files in dataset_kwargs.data_files.",
            )
        if data.get("dataset_name") is not None:
            self._say(path, "`dataset_name` chooses a part of a dataset elsewhere", "Take it out.")
        kwargs = data.get("dataset_kwargs")
        given = kwargs.get("data_files") if isinstance(kwargs, dict) else None
        if isinstance(kwargs, dict):
            for key in sorted(set(kwargs) - {"data_files", "field"}):
                self._say(path, f"`dataset_kwargs.{key[:60]}` is not taken here", "Only data_files and field are.")
        by_split = given if isinstance(given, dict) else {"train": given}
        found: list[str] = []
        for split, names in by_split.items():
            wanted = _texts(names)
            if not wanted:
                self._say(
                    path,
                    f"`dataset_kwargs.data_files` names no file for {str(split)[:60]!r}",
                    "Name files of the suite.",
                )
            for each in wanted:
                target = self._find(path, each)
                if target is None:
                    self._say(
                        path, f"there is no file {each[:200]!r} in the suite", "Name it from the suite's own folder."
                    )
                else:
                    found.append(target)
        return tuple(dict.fromkeys(found))

    def _find(self, path: str, name: str) -> str | None:
        return find_file(self.files, path, name)

    def _metrics(self, path: str, data: dict[str, Any]) -> None:
        for each in _dicts(data.get("metric_list")):
            metric = each.get("metric")
            if not _among(metric, _METRICS):
                what = f"the metric {str(metric)[:60]!r} is none that lm-eval has by itself"
                self._say(
                    path,
                    what,
                    f"Metrics that are downloaded or imported are not run. There are: {', '.join(sorted(_METRICS))}.",
                )
            if each.get("aggregation") is not None and not _among(each["aggregation"], _AGGREGATIONS):
                self._say(
                    path,
                    f"the aggregation {str(each['aggregation'])[:60]!r} is not known",
                    f"There are: {', '.join(sorted(_AGGREGATIONS))}.",
                )
            for key in sorted(set(each) - _METRIC_FIELDS):
                self._say(path, f"`metric_list.{key[:60]}` is not taken here", "Take it out.")

    def _filters(self, path: str, data: dict[str, Any]) -> None:
        for chain in _dicts(data.get("filter_list")):
            for each in _dicts(chain.get("filter")):
                if not _among(each.get("function"), _FILTERS - {"map", "decontaminate"}):
                    known = ", ".join(sorted(_FILTERS - {"map", "decontaminate"}))
                    self._say(
                        path, f"the filter {str(each.get('function'))[:60]!r} is not known here", f"There are: {known}."
                    )

    def _fewshot(self, path: str, data: dict[str, Any]) -> None:
        given = data.get("fewshot_config")
        if given is None:
            return
        if not isinstance(given, dict) or set(given) - _FEWSHOT_FIELDS:
            self._say(
                path,
                "`fewshot_config` has fields that are not taken here",
                f"There are: {', '.join(sorted(_FEWSHOT_FIELDS))}.",
            )
        elif given.get("sampler", "default") not in ("default", "first_n"):
            self._say(path, "`fewshot_config.sampler` is not known", "Use default or first_n.")
        elif given.get("samples") is not None and not isinstance(given["samples"], list):
            self._say(path, "`fewshot_config.samples` is no list", "Write the examples out.")

    def _generation(self, path: str, data: dict[str, Any]) -> None:
        given = data.get("generation_kwargs")
        if given is None:
            return
        if not isinstance(given, dict):
            self._say(path, "`generation_kwargs` is no mapping", "Write until, max_gen_toks, temperature and so on.")
            return
        for key in sorted(set(given) - _GENERATION_FIELDS):
            self._say(
                path,
                f"`generation_kwargs.{key[:60]}` is not taken here",
                f"There are: {', '.join(sorted(_GENERATION_FIELDS))}.",
            )

    def _values(self, path: str, data: dict[str, Any]) -> None:
        """Fields whose value lm-eval would stumble over, or would work on without end."""
        given = data.get("generation_kwargs")
        numbers = {**data, **(given if isinstance(given, dict) else {})}
        for key, (least, most) in _WHOLE_NUMBERS.items():
            value = numbers.get(key)
            if value is not None and (type(value) is not int or not least <= value <= most):
                self._say(path, f"`{key}` is {str(value)[:60]!r}", f"Use a whole number from {least} to {most:,}.")
        for key, kind in _KINDS_OF_FIELDS.items():
            if data.get(key) is not None and not isinstance(data[key], kind):
                what = "a mapping" if kind is dict else "a list" if kind is list else "a text, or a list of texts"
                self._say(path, f"`{key}` is not {what}", f"Write it as {what}.")

    # ---- groups

    def _group(self, path: str, data: dict[str, Any]) -> None:
        name = data["group"]
        if not isinstance(name, str) or not NAME.fullmatch(name):
            self._say(path, f"{str(name)[:80]!r} is no name of a group", "Use letters, digits, and _ . -")
            return
        if name in self.suite.groups or name in self.suite.tasks:
            self._say(path, f"the name {name!r} is used twice", "Give each task and group a name of its own.")
            return
        for key in sorted(set(data) - _GROUP_FIELDS):
            self._say(path, f"the field `{key[:60]}` is not taken here", "Take it out.")
        members = data.get("task")
        names = [each for each in members if isinstance(each, str)] if isinstance(members, list) else _texts(members)
        if not names or (isinstance(members, list) and len(names) != len(members)):
            self._say(
                path, "`task` of a group is a list of names", "Give each task a file of its own, and name it here."
            )
        for each in _dicts(data.get("aggregate_metric_list")):
            if each.get("aggregation", "mean") != "mean" or set(each) - {
                "metric",
                "aggregation",
                "weight_by_size",
                "filter_list",
            }:
                self._say(
                    path,
                    "`aggregate_metric_list` has what is not taken here",
                    "Use metric, weight_by_size, filter_list, and the mean.",
                )
        config = {key: value for key, value in data.items() if key in _GROUP_FIELDS}
        self.suite.groups[name] = Group(name, path, tuple(names), config)

    def _references(self) -> None:
        for group in self.suite.groups.values():
            for member in group.members:
                if not self.suite.knows(member):
                    self._say(
                        group.path,
                        f"the group has {member[:128]!r}, and the suite has no such task",
                        "Name tasks of this suite.",
                    )
            if self._is_circle(group.name):
                self._say(group.path, "the group has itself", "Take the circle out.")

    def _is_circle(self, name: str) -> bool:
        waiting, seen = list(self.suite.groups[name].members), set()
        while waiting:
            one = waiting.pop()
            if one == name:
                return True
            if one not in seen and one in self.suite.groups:
                seen.add(one)
                waiting += self.suite.groups[one].members
        return False


_WHY = {
    "unsafe_code": "Code that a model writes is not run here.",
    "custom_dataset": "Data comes from files of the suite.",
    "class": "Tasks that are Python classes are not run here.",
    "process_docs": "Prepare the items in the files themselves.",
    "process_results": "Use the metrics that lm-eval has.",
}


def find_file(files: Collection[str], path: str, name: str) -> str | None:
    """A data file that a task at ``path`` names: from the root of the repository, or else from beside the task."""
    if name.startswith("/") or "://" in name or "\\" in name:
        return None
    for base in ("", posixpath.dirname(path)):
        target = posixpath.normpath(posixpath.join(base, name))
        if not target.startswith("..") and target in files:
            return target
    return None


def _among(value: Any, known: Collection[str]) -> bool:
    """Of whatever a file holds: a list or a mapping is in no set."""
    return isinstance(value, str) and value in known


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _has_code(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, str) and value.lstrip().startswith("!function"))
