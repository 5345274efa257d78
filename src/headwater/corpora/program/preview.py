"""What a recipe would do to a few documents of each source, with examples: read, decide, show; nothing is written."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa

from headwater.corpora import recipe as recipes
from headwater.corpora.program import steps
from headwater.corpora.program.operators import exact, fuzzy
from headwater.corpora.program.operators.documents import Documents
from headwater.corpora.program.reading import RawBatch, Segment, read

EXAMPLES = 3
SHOWN = 240


class Preview:
    """Filled by ``show``; ``result`` is small enough for the page of a run."""

    def __init__(self, recipe: recipes.CorpusRecipe, local: steps.LocalSteps, *, limit: int) -> None:
        self._recipe, self._local, self._limit = recipe, local, limit
        self._dropped: Counter[str] = Counter()
        self._examples: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._changed: Counter[str] = Counter()
        self._changes: dict[str, list[dict[str, str]]] = defaultdict(list)
        self._kept: list[dict[str, Any]] = []
        self._ids: list[str] = []

    def show(self, segments: list[Segment]) -> dict[str, Any]:
        raws = [raw for source in range(len(self._recipe.sources)) for raw in self._some(source, segments)]
        finished = []
        for raw in raws:
            table = raw.to_arrow()
            self._ids = table["id"].to_pylist()
            done, _ = self._local.run(table, watch=self._watch)
            for row, reason in enumerate(done["reason"].to_pylist()):
                if reason and reason.startswith("source:"):
                    self._drop(reason, self._ids[row], raw.data[row].decode("utf-8", "replace"))
            finished.append(done)
        if not finished:
            return self.result(0)
        columns = ["id", "source", "reason", "text", "language", "n_tokens", "key_high", "key_low"]
        table = pa.concat_tables([each.select(columns).replace_schema_metadata() for each in finished])
        self._together(table)
        return self.result(sum(len(raw.ids) for raw in raws))

    def _some(self, source: int, segments: list[Segment]) -> list[RawBatch]:
        """As many of each source as of the others, from all over its files."""
        want = -(-self._limit // len(self._recipe.sources))
        own = [segment for segment in segments if segment.source == source]
        found: list[RawBatch] = []
        for n, segment in enumerate(own):
            left = want - sum(len(raw.ids) for raw in found)
            if left <= 0:
                break
            take = -(-left // (len(own) - n))
            for batch in read(
                segment, self._recipe.sources[source], max_document_bytes=int(self._recipe.max_document_mb * 1e6)
            ):
                found.append(_first(batch, take))
                take -= len(found[-1].ids)
                if take <= 0:
                    break
        return found

    def _watch(self, step: str, before: list[str], documents: Documents) -> None:
        for row, text in enumerate(before):
            reason = documents.reasons[row]
            if reason is not None and reason.startswith(f"{step}:"):
                self._drop(reason, self._ids[row], text)
            elif reason is None and text != documents.texts[row]:
                self._changed[step] += 1
                if len(self._changes[step]) < EXAMPLES:
                    self._changes[step].append({"id": self._ids[row], **_difference(text, documents.texts[row])})

    def _drop(self, reason: str, document_id: str, text: str, copy_of: str | None = None) -> None:
        self._dropped[reason] += 1
        if len(self._examples[reason]) < EXAMPLES:
            shown: dict[str, Any] = {"id": document_id, "text": text[:SHOWN]}
            if copy_of is not None:
                shown["copy_of"] = copy_of
            self._examples[reason].append(shown)

    def _together(self, table: pa.Table) -> None:
        ids, texts = table["id"].to_pylist(), table["text"].to_pylist()
        stays = np.array([reason is None for reason in table["reason"].to_pylist()], np.bool_)
        if any(isinstance(step, recipes.Exact) for step in self._recipe.steps):
            firsts = exact.first_of_equal_pairs(table["key_high"].to_numpy(), table["key_low"].to_numpy())
            for row in np.flatnonzero((firsts >= 0) & stays):
                stays[row] = False
                self._drop("exact:copy", ids[row], texts[row], ids[firsts[row]])
        settings = steps.fuzzy_settings(self._recipe)
        rows = np.flatnonzero(stays)
        if settings is not None and len(rows):
            twins = fuzzy.deduplicate(pa.array([texts[row] for row in rows], pa.large_string()), settings).twins_N
            for at in np.flatnonzero(twins >= 0):
                stays[rows[at]] = False
                self._drop("fuzzy:near", ids[rows[at]], texts[rows[at]], ids[rows[twins[at]]])
        languages, tokens = table["language"].to_pylist(), table["n_tokens"].to_pylist()
        for row in np.flatnonzero(stays):
            self._kept.append(
                {"id": ids[row], "text": texts[row][:SHOWN], "language": languages[row], "n_tokens": tokens[row]}
            )

    def result(self, n_read: int) -> dict[str, Any]:
        # Every so many, so that examples are from all sources.
        stride = max(1, len(self._kept) // (3 * EXAMPLES))
        return {
            "preview": True,
            "documents": n_read,
            "kept": len(self._kept),
            "tokens": sum(each["n_tokens"] or 0 for each in self._kept),
            "dropped": {
                reason: {"documents": n, "examples": self._examples[reason]}
                for reason, n in sorted(self._dropped.items(), key=lambda pair: (-pair[1], pair[0]))
            },
            "changed": {step: {"documents": n, "examples": self._changes[step]} for step, n in self._changed.items()},
            "examples": self._kept[::stride][: 3 * EXAMPLES],
        }


def _first(batch: RawBatch, n: int) -> RawBatch:
    return RawBatch(
        batch.source,
        batch.layout,
        batch.declared,
        batch.ids[:n],
        batch.data[:n],
        batch.dates[:n],
        batch.licences[:n],
        batch.reasons[:n],
        batch.n_bytes[:n],
        batch.encodings[:n],
    )


def _difference(before: str, after: str) -> dict[str, str]:
    """Both texts from a little before the first place where they differ."""
    at = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after)))
    start = max(0, at - SHOWN // 4)
    return {"before": before[start : start + SHOWN], "after": after[start : start + SHOWN]}
