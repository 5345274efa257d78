"""The part of a corpus that each document goes through by itself: bytes in, what is known about it out.

One batch is one message of Arrow's IPC format, so that it can be done in this process, in another, or on another host, with the same bytes as result.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from headwater.corpora import recipe as recipes
from headwater.corpora.program.operators import exact, fuzzy
from headwater.corpora.program.operators.contamination import Contamination, Item
from headwater.corpora.program.operators.documents import Documents, Operator
from headwater.corpora.program.operators.encoding import Normalize, decode, named_encoding
from headwater.corpora.program.operators.extraction import Extract
from headwater.corpora.program.operators.language import Language
from headwater.corpora.program.operators.personal import PersonalData
from headwater.corpora.program.operators.repetition import Repetition, Shares
from headwater.corpora.program.operators.rules import Limits, Rules
from headwater.corpora.program.operators.tokens import TokenCount
from headwater.corpora.program.operators.word_lists import WordList
from headwater.corpora.program.reading import RawBatch


@dataclass(frozen=True)
class Materials:
    """What steps need beside the recipe, read once by the program: so workers need no files of it."""

    tokenizer: bytes | None = None
    tokenizer_name: str | None = None
    word_lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    evaluations: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    """By input: each item's name and text."""


def operators_of(recipe: recipes.CorpusRecipe, materials: Materials) -> list[Operator]:
    """The steps that look at one document at a time, in the recipe's order; tokens are counted last.

    Raises:
        ValueError: a step could do nothing: an empty word list, an evaluation dataset without text.
    """
    return [_operator(step, materials) for step in recipe.steps if isinstance(step, recipes.LocalStep)]


def _operator(step: Any, materials: Materials) -> Operator:
    settings = step.model_dump(exclude={"op"})
    if isinstance(step, recipes.Extract):
        return Extract(step.layout)
    if isinstance(step, recipes.Normalize):
        return Normalize(**settings)
    if isinstance(step, recipes.Language):
        return Language(**settings)
    if isinstance(step, recipes.Rules):
        return Rules(Limits(**settings))
    if isinstance(step, recipes.Repetition):
        return Repetition(Shares(**settings))
    if isinstance(step, recipes.PersonalData):
        return PersonalData(**settings)
    if isinstance(step, recipes.WordList):
        words = step.words or materials.word_lists[step.name]
        return WordList(step.name, words, action=step.action, min_hits=step.min_hits)
    items = (Item(name, text) for name, text in materials.evaluations[step.input])
    return Contamination(step.input, items, n=step.n, min_units=step.min_units)


def counter_of(materials: Materials) -> TokenCount:
    return TokenCount(materials.tokenizer, tokenizer=materials.tokenizer_name)


_WARM = (
    "山里的雨下了整整三天，河水漫过了石桥。村里的人把粮食搬到高处。" * 2,
    "The rain in the hills went on for three days, and the river rose over the bridge.",
)


@dataclass
class LocalSteps:
    """Built once in each worker; ``process`` does one batch."""

    recipe: recipes.CorpusRecipe
    materials: Materials

    def __post_init__(self) -> None:
        self._operators = operators_of(self.recipe, self.materials)
        self._tokens = counter_of(self.materials)
        self._fuzzy = fuzzy_settings(self.recipe)
        self._exact = any(isinstance(step, recipes.Exact) for step in self.recipe.steps)

    def process(self, message: bytes) -> bytes:
        """A raw batch (``reading.RawBatch.to_arrow``) to a finished one; its schema's metadata holds the tallies."""
        raw = read_message(message)
        table, _ = self.run(raw)
        return write_message(table)

    def warm(self) -> None:
        """Have every kernel compiled that the steps need: done once before workers start, for they then find it on disk."""
        raw = RawBatch(0, "text")
        for number, text in enumerate(_WARM):
            raw.add(f"warm/{number}", text.encode())
        self.run(raw.to_arrow())
        if self._fuzzy is not None:
            fuzzy.deduplicate(pa.array(_WARM, pa.large_string()), self._fuzzy)

    def run(self, raw: pa.Table, watch: Any = None) -> tuple[pa.Table, Documents]:
        """The same between tables. ``watch(step, texts_before, documents)`` is called after each step, for previews."""
        layout = (raw.schema.metadata or {}).get(b"layout", b"text").decode()
        declared = (raw.schema.metadata or {}).get(b"declared", b"").decode() or None
        documents, encodings = _decoded(raw, declared)
        operators = list(self._operators)
        if layout in ("html", "man") and not any(isinstance(each, Extract) for each in operators):
            operators.insert(0, Extract(layout))
        sizes = Counter({"source.documents": len(documents), "source.bytes": int(sum(raw["n_bytes"].to_pylist()))})
        for operator in operators:
            before = list(documents.texts) if watch is not None else []
            operator(documents)
            if watch is not None:
                watch(operator.name, before, documents)
        self._tokens(documents)
        documents.tallies.update(sizes)
        documents.tallies.update({f"encoding.{name}": n for name, n in encodings.items()})
        return self._finished(raw, documents), documents

    def _finished(self, raw: pa.Table, documents: Documents) -> pa.Table:
        # What goes is told about, not kept.
        texts = ["" if reason else text for text, reason in zip(documents.texts, documents.reasons, strict=True)]
        found = Documents(texts, documents.reasons, documents.facts).to_arrow()
        table = raw.select(["id", "source", "date", "licence", "n_bytes"])
        for name in found.column_names:
            table = table.append_column(name, found[name])
        keys = [exact.content_key(text) if self._exact and text else b"" for text in texts]
        halves = np.frombuffer(b"".join(key.ljust(exact.KEY_BYTES, b"\0") for key in keys), ">u8").reshape(-1, 2)
        table = table.append_column("key_high", pa.array(halves[:, 0].astype(np.uint64)))
        table = table.append_column("key_low", pa.array(halves[:, 1].astype(np.uint64)))
        if self._fuzzy is not None:
            signed = fuzzy.sign(table["text"], self._fuzzy)
            width = self._fuzzy.permutations * 4
            # Without a text there is nothing to sign: an empty cell takes no room.
            cells = [
                row.tobytes() if n else None for row, n in zip(signed.signatures_NP, signed.n_shingles_N, strict=True)
            ]
            table = table.append_column("signature", pa.array(cells, pa.binary(width)))
            table = table.append_column("n_shingles", pa.array(signed.n_shingles_N))
        tallies = {name: n for name, n in sorted(documents.tallies.items()) if n}
        return table.replace_schema_metadata({"tallies": json.dumps(tallies)})


def fuzzy_settings(recipe: recipes.CorpusRecipe) -> fuzzy.FuzzySettings | None:
    step = next((step for step in recipe.steps if isinstance(step, recipes.Fuzzy)), None)
    if step is None:
        return None
    return fuzzy.FuzzySettings(
        threshold=step.threshold, permutations=step.permutations, bands=step.bands, rows=step.rows
    )


def _decoded(raw: pa.Table, declared: str | None) -> tuple[Documents, Counter[str]]:
    encodings: Counter[str] = Counter()
    texts: list[str] = []
    reasons: list[str | None] = raw["reason"].to_pylist()
    known = raw["encoding"].to_pylist()
    for row, data in enumerate(raw["data"].to_pylist()):
        if reasons[row] is not None:
            texts.append("")
            continue
        decoded = decode(data, declared=declared)
        if decoded is None:
            reasons[row] = "source:not_text"
            texts.append("")
            continue
        encodings[known[row] or named_encoding(decoded)] += 1
        texts.append(decoded.text)
        if not decoded.text.strip():
            reasons[row] = "source:empty"
    return Documents(texts, reasons), encodings


def write_message(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return bytes(sink.getvalue())


def read_message(message: bytes) -> pa.Table:
    with pa.ipc.open_stream(message) as reader:
        return reader.read_all()


def tallies_of(table: pa.Table) -> Counter[str]:
    return Counter(json.loads((table.schema.metadata or {}).get(b"tallies", b"{}")))
