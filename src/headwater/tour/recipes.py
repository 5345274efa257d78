"""The recipes of the tour, as anyone could write them. Inputs are pinned by commit, so a recipe's text says all of what a run does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headwater.tour.material import Put


@dataclass(frozen=True)
class At:
    """A repository (``models/ns/name``) at a commit."""

    repo: str
    commit: str


@dataclass(frozen=True)
class Size:
    """How much of everything: ``WHOLE`` for a tour, ``SMALL`` for the least that goes through every step."""

    most_files: int  # of each source of texts
    most_bytes: int
    steps: int
    checkpoint_every: int
    batch_size: int
    accumulate: int
    max_length: int
    items: int  # of each task of the suite
    check_tokens: int  # that conversions are compared on


WHOLE = Size(
    most_files=400,
    most_bytes=6_000_000,
    steps=40,
    checkpoint_every=20,
    batch_size=2,
    accumulate=2,
    max_length=256,
    items=5,
    check_tokens=1024,
)
SMALL = Size(
    most_files=20,
    most_bytes=300_000,
    steps=2,
    checkpoint_every=2,
    batch_size=1,
    accumulate=1,
    max_length=64,
    items=1,
    check_tokens=128,
)


def _recipe(
    kind: str,
    name: str,
    inputs: Mapping[str, At],
    output: tuple[str, str],
    cpus: int,
    own: Mapping[str, object],
    memory_gb: int = 3,
    *,
    private: bool = False,
) -> str:
    """As YAML, of which JSON is a part: values are written as JSON, so no text needs thought about quotes."""
    given = "\n".join(
        f"  {each}: {{repo: {at.repo}, revision: {json.dumps(at.commit)}}}" for each, at in inputs.items()
    )
    # A YAML mapping of one line each, so that people can read it on the run's page.
    fields = "\n".join(f"  {field}: {json.dumps(value, ensure_ascii=False)}" for field, value in own.items())
    return (
        f"kind: {kind}\nname: {json.dumps(name, ensure_ascii=False)}\ninputs:\n{given}\n"
        f"outputs:\n  {output[0]}: {{repo: {output[1]}{', private: true' if private else ''}}}\n"
        f"resources: {{cpus: {cpus}, memory_gb: {memory_gb}}}\nseed: 1\nwith:\n{fields}\n"
    )


def to_safetensors(model: At, output: str, *, size: Size, cpus: int) -> str:
    own = {"format": "safetensors", "check": {"tokens": size.check_tokens}}
    return _recipe("convert", "Tour: the model as safetensors", {"model": model}, ("model", output), cpus, own)


def corpus(texts: At, base: At, suite: At, put: Sequence[Put], output: str, *, cpus: int, private: bool) -> str:
    sources = [
        {
            "name": each.texts.name,
            "input": "texts",
            "files": [f"{each.texts.name}/**/*"],
            "description": each.texts.description,
            **({} if each.texts.licence is None else {"licence": each.texts.licence}),
        }
        for each in put
    ]
    licences = sorted({each.texts.licence for each in put if each.texts.licence is not None})
    own: dict[str, object] = {
        "sources": sources,
        "steps": [
            {"op": "normalize"},
            {"op": "language", "languages": ["zh", "en"]},
            {"op": "rules"},
            {"op": "repetition"},
            {"op": "pii", "action": "replace"},
            {"op": "decontaminate", "input": "suite"},
            {"op": "exact"},
            {"op": "fuzzy"},
        ],
        "tokenizer": {"input": "base"},
    }
    if licences:
        own["licence"] = " AND ".join(licences)
    inputs = {"texts": texts, "base": base, "suite": suite}
    return _recipe("corpus", "Tour: a corpus out of the texts", inputs, ("corpus", output), cpus, own, private=private)


def train(base: At, data: At, output: str, *, size: Size, cpus: int, private: bool) -> str:
    own = {
        "method": "pretrain",
        "steps": size.steps,
        "lora": {"rank": 8, "alpha": 16},
        "learning_rate": 2e-4,
        "batch_size": size.batch_size,
        "accumulate": size.accumulate,
        "max_length": size.max_length,
        "checkpoints": {"every": size.checkpoint_every},
    }
    # Beside the weights: logits of 49,152 words for each token of a batch, a few times over.
    inputs = {"base": base, "data": data}
    return _recipe(
        "train", "Tour: continued training by LoRA", inputs, ("model", output), cpus, own, memory_gb=4, private=private
    )


def evaluate(
    model: At, suite: At, tasks: Sequence[str], output: str, *, when: str, size: Size, cpus: int, private: bool
) -> str:
    own = {"tasks": list(tasks), "limit": size.items, "batch_size": 4}
    inputs = {"model": model, "suite": suite}
    return _recipe(
        "evaluate", f"Tour: the suite {when} the training", inputs, ("results", output), cpus, own, private=private
    )


def to_gguf(model: At, output: str, *, types: Sequence[str], size: Size, cpus: int, private: bool) -> str:
    own = {"format": "gguf", "types": list(types), "check": {"tokens": size.check_tokens}}
    return _recipe(
        "convert",
        "Tour: the trained model for llama.cpp",
        {"model": model},
        ("model", output),
        cpus,
        own,
        private=private,
    )
