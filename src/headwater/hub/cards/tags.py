"""The tags of a repository: what its card says and its files show, in the form that lists filter by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.hub.cards.metadata import text, texts
from headwater.hub.cards.vocabulary import (
    ARCHITECTURES,
    DATASET_FORMATS,
    NOT_DATA,
    PIPELINE_TAGS,
    ROOT_FILES,
    SDKS,
    SUFFIXES,
)
from headwater.hub.models import RepoKind

MAX_TAGS = 300
MAX_TAG_LENGTH = 100
_ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})", re.IGNORECASE)
_DATASET_FIELDS = (
    "task_categories",
    "task_ids",
    "annotations_creators",
    "language_creators",
    "multilinguality",
    "source_datasets",
    "size_categories",
)


@dataclass(frozen=True)
class FileFacts:
    """What the names of files, and ``config.json``, tell. ``names`` are paths of the root and of a ``data`` folder."""

    names: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Derived:
    tags: tuple[str, ...]
    library: str | None = None
    pipeline_tag: str | None = None
    auto_model: str | None = None


def derive(kind: RepoKind, data: Mapping[str, Any], body: str, files: FileFacts) -> Derived:
    """Tags as they are shown, the library and the task; a pure function, so that it can be repeated."""
    if kind is RepoKind.MODEL:
        return _of_model(data, body, files)
    if kind is RepoKind.DATASET:
        return Derived(_clean(_of_dataset(data, body, files)))
    return Derived(_clean(_of_space(data)))


def to_filters(kind: RepoKind, tags: Iterable[str], *, library: str | None, pipeline_tag: str | None) -> set[str]:
    """What a repository is found under: its tags, and the typed form of those that are shown bare."""
    found = set(tags)
    if library:
        found |= {library, f"library:{library}"}
    if pipeline_tag:
        found |= {pipeline_tag, f"pipeline_tag:{pipeline_tag}"}
    if kind is RepoKind.MODEL:
        found |= {f"language:{tag}" for tag in found if _LANGUAGE_TAG.fullmatch(tag)}
        found |= {f"library:{tag}" for tag in found if tag in _FORMATS}
    return {tag for tag in found if len(tag) <= 255}


_LANGUAGE_TAG = re.compile(r"[a-z]{2}(?:-[A-Za-z]{2,4})?")
_FORMATS = frozenset({tag for _, tag, _ in SUFFIXES} | {tag for _, tag, _ in ROOT_FILES if tag})


def _of_model(data: Mapping[str, Any], body: str, files: FileFacts) -> Derived:
    roots = {name for name in files.names if "/" not in name}
    library = text(data.get("library_name"))
    formats: list[str] = []
    guesses: list[str] = []
    for name, tag, speaks_for in ROOT_FILES:
        if name in roots:
            formats += [tag] if tag else []
            guesses += [speaks_for] if speaks_for else []
    for suffix, tag, speaks_for in SUFFIXES:
        if any(name.endswith(suffix) for name in roots):
            formats.append(tag)
            guesses += [speaks_for] if speaks_for else []
    architectures = texts(files.config.get("architectures"), limit=5)
    model_type = text(files.config.get("model_type"))
    if architectures or model_type:
        guesses.insert(0, "transformers") if "adapter_config.json" not in roots else guesses.append("transformers")
        if "sentence-transformers" in guesses:
            guesses.remove("sentence-transformers")
            guesses.insert(0, "sentence-transformers")
    library = library or (guesses[0] if guesses else None)
    auto_model, guessed_task = _of_architecture(architectures)
    if library == "sentence-transformers":
        guessed_task = "sentence-similarity"
    task = text(data.get("pipeline_tag"))
    own = texts(data.get("tags"), limit=MAX_TAGS)
    task = task or next((tag for tag in own if tag in PIPELINE_TAGS and tag != "other"), None) or guessed_task
    base_models = texts(data.get("base_model"), limit=50)
    relation = text(data.get("base_model_relation")) or _guess_relation(roots, base_models)
    tags = [
        *([library] if library else []),
        *(guess for guess in guesses if guess != library),
        *formats,
        *([model_type] if model_type else []),
        *([task] if task else []),
        *own,
        *texts(data.get("language"), limit=200),
        *(f"dataset:{name}" for name in texts(data.get("datasets"), limit=100)),
        *_arxiv(body),
        *(f"base_model:{name}" for name in base_models),
        *(f"base_model:{relation}:{name}" for name in base_models if relation),
        *_common(data),
    ]
    return Derived(_clean(tags), library, task, auto_model)


def _of_dataset(data: Mapping[str, Any], body: str, files: FileFacts) -> list[str]:
    suffixes = {
        DATASET_FORMATS[suffix]
        for name in files.names
        if name.rpartition("/")[2] not in NOT_DATA
        for suffix in ["." + name.rpartition(".")[2].lower()]
        if suffix in DATASET_FORMATS
    }
    return [
        *(f"{name}:{value}" for name in _DATASET_FIELDS for value in texts(data.get(name), limit=100)),
        *(f"language:{code}" for code in texts(data.get("language"), limit=200)),
        *(f"format:{name}" for name in sorted(suffixes)),
        *_arxiv(body),
        *texts(data.get("tags"), limit=MAX_TAGS),
        *_common(data),
    ]


def _of_space(data: Mapping[str, Any]) -> list[str]:
    sdk = text(data.get("sdk"))
    return [
        *([sdk] if sdk in SDKS else []),
        *texts(data.get("tags"), limit=MAX_TAGS),
        *(f"dataset:{name}" for name in texts(data.get("datasets"), limit=100)),
        *(f"model:{name}" for name in texts(data.get("models"), limit=100)),
        *_common(data),
    ]


def _common(data: Mapping[str, Any]) -> list[str]:
    return [
        *(f"license:{licence.lower()}" for licence in texts(data.get("license"), limit=10)),
        *(f"region:{region.lower()}" for region in texts(data.get("region"), limit=3)),
    ]


def _of_architecture(architectures: list[str]) -> tuple[str | None, str | None]:
    for name in architectures:
        for ending, auto_model, task in ARCHITECTURES:
            if name.endswith(ending):
                return auto_model, task
    return None, None


def _guess_relation(roots: set[str], base_models: list[str]) -> str | None:
    if not base_models:
        return None
    if "adapter_config.json" in roots:
        return "adapter"
    if any(name.endswith(".gguf") for name in roots):
        return "quantized"
    return "merge" if len(base_models) > 1 else "finetune"


def _arxiv(body: str) -> list[str]:
    return [f"arxiv:{number}" for number in dict.fromkeys(_ARXIV.findall(body))][:50]


def _clean(tags: Iterable[str]) -> tuple[str, ...]:
    """Each once, none too long, none with control characters."""
    good = (tag for tag in tags if len(tag) <= MAX_TAG_LENGTH + 60 and tag.isprintable())
    return tuple(dict.fromkeys(good))[:MAX_TAGS]
