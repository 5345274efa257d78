"""What a front matter may say, field by field: clear messages for people, and lenient reading for the index.

Checking and reading are apart on purpose. ``check`` is what a client hears before it commits; a card that came by a push with
a wrong field still gives its other fields to the index.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from headwater.hub.cards import licences
from headwater.hub.cards.models import Problem
from headwater.hub.cards.vocabulary import PIPELINE_TAGS, SDKS
from headwater.hub.models import RepoKind

Check = Callable[[str, Any], list[Problem]]

_REPO_ID = re.compile(r"[\w.-]{1,96}(?:/[\w.-]{1,96})?")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*|code|multilingual|other")
_RELATIONS = ("adapter", "finetune", "merge", "quantized")
_SIZES = re.compile(r"n<1K|unknown|other|n>1T|\d{1,3}[KMBT]?<n<\d{1,3}[KMBT]")


def check(data: Mapping[str, Any], kind: RepoKind) -> list[Problem]:
    """Everything wrong with a front matter, worst first."""
    problems = [
        problem
        for name, value in data.items()
        if value is not None and name in _CHECKS
        for problem in _CHECKS[name](f'"{name}"', value)
    ]
    if data.get("license") == "other" and not data.get("license_name"):
        problems.append(
            _warning('"license" is "other": name it in "license_name", and link its text in "license_link"')
        )
    if kind is RepoKind.SPACE and not data.get("sdk"):
        problems.append(_warning(f'"sdk" is missing: one of {", ".join(SDKS)}'))
    return sorted(problems, key=lambda problem: not problem.is_error)


def texts(value: Any, *, limit: int = 200) -> list[str]:
    """A field that may hold one text or a list of them, as a list; what is neither is left out."""
    values = value if isinstance(value, list) else [value]
    return [v.strip() for v in values if isinstance(v, str) and v.strip()][:limit]


def text(value: Any) -> str | None:
    """A field that must hold one text; anything else counts as absent."""
    return value.strip() or None if isinstance(value, str) else None


def _error(message: str) -> Problem:
    return Problem(message)


def _warning(message: str) -> Problem:
    return Problem(message, is_error=False)


def _text(label: str, value: Any) -> list[Problem]:
    return [] if isinstance(value, str) else [_error(f"{label} must be a string")]


def _flag(label: str, value: Any) -> list[Problem]:
    return [] if isinstance(value, bool) else [_error(f"{label} must be a boolean")]


def _list(label: str, value: Any) -> list[Problem]:
    if not isinstance(value, list):
        return [_error(f"{label} must be an array")]
    return [
        _error(f'{label[:-1]}[{i}]" must be a string') for i, v in enumerate(value[:1000]) if not isinstance(v, str)
    ][:5]


def _text_or_list(label: str, value: Any) -> list[Problem]:
    return [] if isinstance(value, str) else _list(label, value)


def _mapping(label: str, value: Any) -> list[Problem]:
    return [] if isinstance(value, dict) else [_error(f"{label} must be an object")]


def _one_of(words: tuple[str, ...]) -> Check:
    def run(label: str, value: Any) -> list[Problem]:
        return [] if value in words else [_error(f"{label} must be one of [{', '.join(words)}]")]

    return run


def _licence(label: str, value: Any) -> list[Problem]:
    if problems := _text_or_list(label, value):
        return problems
    for licence_id in texts(value):
        if licence_id.lower() in licences.IDS:
            continue
        meant = licences.near(licence_id)
        # huggingface_hub's suite matches "must be one of" (tests/test_repocard.py).
        known = ", ".join(meant or ["apache-2.0", "mit", "mulanpsl-2.0", "cc-by-4.0", "gpl-3.0", "openrail"])
        return [
            _error(
                f"{label} must be one of [{known}, …], an SPDX id in lower case; {licence_id[:80]!r} is not known. "
                'For another licence write "license: other" with "license_name" and "license_link"'
            )
        ]
    return []


def _language(label: str, value: Any) -> list[Problem]:
    if problems := _text_or_list(label, value):
        return problems
    return [
        _warning(f"{label}: {code[:40]!r} is no ISO 639 code such as zh or en")
        for code in texts(value)
        if not _LANGUAGE.fullmatch(code)
    ][:5]


def _tags(label: str, value: Any) -> list[Problem]:
    if problems := _list(label, value):
        return problems
    return [
        _warning(f"{label}: {tag[:40]!r}… is longer than 100 letters and is left out")
        for tag in value
        if len(tag) > 100
    ][:5]


def _repo_ids(label: str, value: Any) -> list[Problem]:
    if problems := _text_or_list(label, value):
        return problems
    return [
        _warning(f"{label}: {name[:80]!r} is no repository's name such as lab/model")
        for name in texts(value)
        if not _REPO_ID.fullmatch(name)
    ][:5]


def _task(label: str, value: Any) -> list[Problem]:
    if problems := _text(label, value):
        return problems
    return [] if value in PIPELINE_TAGS else [_warning(f"{label}: {value[:80]!r} is no known task")]


def _tasks(label: str, value: Any) -> list[Problem]:
    if problems := _text_or_list(label, value):
        return problems
    return [_warning(f"{label}: {task[:80]!r} is no known task") for task in texts(value) if task not in PIPELINE_TAGS][
        :5
    ]


def _sizes(label: str, value: Any) -> list[Problem]:
    if problems := _text_or_list(label, value):
        return problems
    return [
        _warning(f"{label}: {v[:40]!r} is no size such as 1K<n<10K") for v in texts(value) if not _SIZES.fullmatch(v)
    ][:5]


def _model_index(label: str, value: Any) -> list[Problem]:
    if not isinstance(value, list):
        return [_error(f"{label} must be an array")]
    problems: list[Problem] = []
    for i, model in enumerate(value[:100]):
        at = f"{label[:-1]}[{i}]"
        if not isinstance(model, dict):
            problems.append(_error(f'{at}" must be an object'))
            continue
        if not isinstance(model.get("name"), str):
            problems.append(_error(f'{at}.name" is required and must be a string'))
        results = model.get("results")
        if not isinstance(results, list):
            problems.append(_error(f'{at}.results" is required and must be an array'))
            continue
        for j, result in enumerate(results[:1000]):
            problems += _result(f"{at}.results[{j}]", result)
    return problems[:20]


def _result(at: str, result: Any) -> list[Problem]:
    if not isinstance(result, dict):
        return [_error(f'{at}" must be an object')]
    problems = []
    task, dataset, metrics = result.get("task"), result.get("dataset"), result.get("metrics")
    if not isinstance(task, dict) or not isinstance(task.get("type"), str):
        problems.append(_error(f'{at}.task.type" is required and must be a string'))
    if dataset is not None and (not isinstance(dataset, dict) or not isinstance(dataset.get("name"), str)):
        problems.append(_error(f'{at}.dataset.name" must be a string'))
    if not isinstance(metrics, list):
        problems.append(_error(f'{at}.metrics" is required and must be an array'))
        return problems
    for k, metric in enumerate(metrics[:1000]):
        if not isinstance(metric, dict) or not isinstance(metric.get("type"), str):
            problems.append(_error(f'{at}.metrics[{k}].type" is required and must be a string'))
        elif "value" not in metric:
            problems.append(_error(f'{at}.metrics[{k}].value" is required'))
    return problems


def _widget(label: str, value: Any) -> list[Problem]:
    values = value if isinstance(value, list) else [value]
    return [] if all(isinstance(v, dict) for v in values) else [_error(f"{label} must be an array of objects")]


def _configs(label: str, value: Any) -> list[Problem]:
    if not isinstance(value, list):
        return [_error(f"{label} must be an array")]
    problems, seen = [], set()
    for i, config in enumerate(value[:2000]):
        at = f"{label[:-1]}[{i}]"
        if not isinstance(config, dict):
            problems.append(_error(f'{at}" must be an object'))
            continue
        name = config.get("config_name")
        if not isinstance(name, str):
            problems.append(_error(f'{at}.config_name" is required and must be a string'))
        elif name in seen:
            problems.append(_error(f'{at}.config_name": {name[:80]!r} stands twice'))
        else:
            seen.add(name)
        files = config.get("data_files")
        if files is not None and not isinstance(files, str | list | dict):
            problems.append(_error(f'{at}.data_files" must be a string, an array or an object'))
    return problems[:20]


def _object_or_list(label: str, value: Any) -> list[Problem]:
    values = value if isinstance(value, list) else [value]
    return (
        []
        if all(isinstance(v, dict) for v in values)
        else [_error(f"{label} must be an object or an array of objects")]
    )


def _number(label: str, value: Any) -> list[Problem]:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    return [] if good else [_error(f"{label} must be a number")]


def _text_or_number(label: str, value: Any) -> list[Problem]:
    return [] if isinstance(value, str) else [_error(f"{label} must be a string")] if _number(label, value) else []


def _emissions(label: str, value: Any) -> list[Problem]:
    return [] if isinstance(value, dict) else _number(label, value)


def _app_file(label: str, value: Any) -> list[Problem]:
    if problems := _text(label, value):
        return problems
    bad = value.startswith("/") or ".." in value.split("/") or "\\" in value
    return [_error(f"{label} must be a path inside the repository")] if bad else []


def _port(label: str, value: Any) -> list[Problem]:
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535
    return [] if good else [_error(f"{label} must be a port number")]


_CHECKS: dict[str, Check] = {
    # all
    "license": _licence,
    "license_name": _text,
    "license_link": _text,
    "language": _language,
    "tags": _tags,
    "thumbnail": _text,
    "title": _text_or_number,
    "description": _text,
    "extra_gated_prompt": _text,
    "extra_gated_heading": _text,
    "extra_gated_description": _text,
    "extra_gated_button_content": _text,
    "extra_gated_fields": _mapping,
    "extra_gated_eu_disallowed": _flag,
    # models
    "base_model": _repo_ids,
    "base_model_relation": _one_of(_RELATIONS),
    "new_version": _text,
    "datasets": _repo_ids,
    "metrics": _text_or_list,
    "pipeline_tag": _task,
    "library_name": _text,
    "model_name": _text,
    "model-index": _model_index,
    "widget": _widget,
    "co2_eq_emissions": _emissions,
    # datasets
    "pretty_name": _text,
    "task_categories": _tasks,
    "task_ids": _text_or_list,
    "size_categories": _sizes,
    "annotations_creators": _text_or_list,
    "language_creators": _text_or_list,
    "multilinguality": _text_or_list,
    "source_datasets": _text_or_list,
    "configs": _configs,
    "dataset_info": _object_or_list,
    "viewer": _flag,
    # spaces
    "sdk": _one_of(SDKS),
    "sdk_version": _text_or_number,
    "python_version": _text_or_number,
    "app_file": _app_file,
    "app_port": _port,
    "emoji": _text,
    "colorFrom": _text,
    "colorTo": _text,
    "pinned": _flag,
    "fullWidth": _flag,
    "models": _repo_ids,
    "short_description": _text,
    "header": _one_of(("mini", "default")),
}
