"""The corpus report as data: what went in, what each step took and why, what came out, of every source.

Everything in it follows from inputs, recipe and seed; times and machines belong to the run, not here, so that the same recipe over the same inputs gives the
same report, byte for byte.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc

from headwater.corpora import recipe as recipes
from headwater.corpora.program import steps
from headwater.corpora.program.deciding import EARLIER, EXACT, FUZZY, REASONS, STAYS, Decisions
from headwater.corpora.program.reading import SourceFile
from headwater.corpora.program.work import Work

FORMAT = "headwater-corpus-report/1"


@dataclass
class _Tally:
    """Of one source, while it is counted."""

    dropped: Counter[str] = field(default_factory=Counter)
    dropped_bytes: Counter[str] = field(default_factory=Counter)
    languages: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    licences: Counter[str] = field(default_factory=Counter)
    contamination: Counter[str] = field(default_factory=Counter)
    copies: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    tallies: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    first: str | None = None
    last: str | None = None
    documents: int = 0
    size_bytes: int = 0
    kept: Counter[str] = field(default_factory=Counter)

    def dated(self, date: str | None) -> None:
        if date:
            self.first = date if self.first is None else min(self.first, date)
            self.last = date if self.last is None else max(self.last, date)


def make(
    recipe: recipes.CorpusRecipe,
    *,
    name: str,
    recipe_sha256: str,
    seed: int,
    inputs: Mapping[str, Mapping[str, str]],
    files: list[list[SourceFile]],
    work: Work,
    n_segments: int,
    decisions: Decisions,
    tokenizer: str,
) -> dict[str, Any]:
    """Args:
    inputs: by name, repository and commit of each.
    """
    sources = [_Tally() for _ in recipe.sources]
    names = [source.name for source in recipe.sources]
    begin = 0
    for table in work.batches(n_segments):
        end = begin + len(table)
        if len(table):
            _count(table, decisions, begin, sources, names)
        begin = end
    own = [_of_source(recipe, source, sources[n], files[n], inputs) for n, source in enumerate(recipe.sources)]
    total = _total(own)
    return {
        "format": FORMAT,
        "name": name,
        "description": recipe.description,
        "recipe_sha256": recipe_sha256,
        "seed": seed,
        "inputs": {key: dict(value) for key, value in sorted(inputs.items())},
        "tokenizer": tokenizer,
        "tokens_are_estimated": recipe.tokenizer is None,
        "steps": _steps(recipe, total),
        "sources": own,
        "total": total,
        "fuzzy_pairs_verified": decisions.n_verified,
    }


def _count(table: Any, decisions: Decisions, begin: int, sources: list[_Tally], names: list[str]) -> None:
    which = int(table["source"][0].as_py())
    tally = sources[which]
    tally.tallies.update(steps.tallies_of(table))
    why = decisions.why[begin : begin + len(table)]
    wanted = ["reason", "n_bytes", "language", "n_tokens", "date", "licence", "contaminated_by", "text"]
    columns = {name: table[name] for name in wanted}
    sizes = columns["text"].combine_chunks() if len(columns["text"].chunks) > 1 else columns["text"].chunk(0)
    text_bytes = pc.binary_length(sizes).to_numpy(zero_copy_only=False)
    n_bytes = columns["n_bytes"].to_numpy()
    rows = {
        name: columns[name].to_pylist()
        for name in ("reason", "language", "n_tokens", "date", "licence", "contaminated_by")
    }
    for row in range(len(table)):
        tally.documents += 1
        tally.size_bytes += int(n_bytes[row])
        decided = int(why[row])
        if decided != STAYS:
            reason = rows["reason"][row] if decided == EARLIER else REASONS[decided]
            tally.dropped[reason] += 1
            tally.dropped_bytes[reason] += int(n_bytes[row])
            if rows["contaminated_by"][row]:
                tally.contamination[rows["contaminated_by"][row].partition("#")[0]] += 1
            if decided in (EXACT, FUZZY):
                other = names[decisions.sources[decisions.twins[begin + row]]]
                tally.copies["exact" if decided == EXACT else "fuzzy"][other] += 1
            continue
        size, tokens = int(text_bytes[row]), rows["n_tokens"][row] or 0
        tally.kept.update(documents=1, bytes=size, tokens=tokens)
        language = rows["language"][row] or "und"
        tally.languages[language].update(documents=1, bytes=size, tokens=tokens)
        tally.lengths[max(0, int(tokens).bit_length() - 1)] += 1
        if rows["licence"][row]:
            tally.licences[rows["licence"][row]] += 1
        tally.dated(rows["date"][row])


def _of_source(
    recipe: recipes.CorpusRecipe,
    source: recipes.Source,
    tally: _Tally,
    files: list[SourceFile],
    inputs: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    copies = {}
    for kind in ("exact", "fuzzy"):
        across = {other: n for other, n in sorted(tally.copies[kind].items()) if other != source.name}
        copies[kind] = {"within": tally.copies[kind].get(source.name, 0), "across": across}
    period = {"from": source.period.begin or tally.first, "to": source.period.end or tally.last}
    return {
        "name": source.name,
        "description": source.description,
        "from": dict(inputs[source.input]) if source.input is not None else {"folder": source.folder},
        "formats": dict(sorted(Counter(file.format for file in files).items())),
        "files": len(files),
        "period": {**period, "is_declared": source.period.begin is not None or source.period.end is not None},
        "licence": source.licence,
        "licences_found": _largest(tally.licences),
        "rights": source.rights,
        "weight": source.weight,
        "processing": [name for name, _ in _named_steps(recipe)],
        "in": {"documents": tally.documents, "bytes": tally.size_bytes},
        "out": {name: tally.kept.get(name, 0) for name in ("documents", "bytes", "tokens")},
        "dropped": {
            reason: {"documents": n, "bytes": tally.dropped_bytes[reason]}
            for reason, n in sorted(tally.dropped.items())
        },
        "languages": {
            language: {key: counts[key] for key in ("documents", "bytes", "tokens")}
            for language, counts in sorted(tally.languages.items())
        },
        "duplicates": copies,
        "pii": {name.removeprefix("pii."): n for name, n in sorted(tally.tallies.items()) if name.startswith("pii.")},
        "encodings": {
            name.removeprefix("encoding."): n
            for name, n in sorted(tally.tallies.items())
            if name.startswith("encoding.")
        },
        "changed": {
            name: n
            for name, n in sorted(tally.tallies.items())
            if not name.startswith(("pii.", "encoding.", "source."))
        },
        "contamination": dict(sorted(tally.contamination.items())),
        "lengths": {str(1 << power): n for power, n in sorted(tally.lengths.items())},
    }


_MOST_LICENCES = 50


def _largest(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_LICENCES])


def _named_steps(recipe: recipes.CorpusRecipe) -> list[tuple[str, Any]]:
    """Each step under the name with which its reasons begin."""
    names = {"decontaminate": "contamination"}
    return [
        (step.name if isinstance(step, recipes.WordList) else names.get(step.op, step.op), step)
        for step in recipe.steps
    ]


def _steps(recipe: recipes.CorpusRecipe, total: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What stood before and after each step. Reading comes first: what it took could not become a document."""
    dropped: Counter[str] = Counter()
    for reason, counts in total["dropped"].items():
        dropped[_step_of(reason)] += counts["documents"]
    left = total["in"]["documents"]
    found = []
    listed = [("source", None), ("extract", None), *_named_steps(recipe)]
    if any(name == "extract" for name, step in listed if step is not None) or not dropped["extract"]:
        listed = [(name, step) for name, step in listed if name != "extract" or step is not None]
    # A step that stands twice under one name (two evaluation datasets) is told once, with what both took.
    seen: set[str] = set()
    for name, step in listed:
        if name in seen:
            continue
        seen.add(name)
        gone = dropped.get(name, 0)
        settings = {} if step is None else step.model_dump(mode="json", exclude={"op", "words"}, by_alias=True)
        if isinstance(step, recipes.WordList):
            settings["n_words"] = len(step.words) or None
        found.append({"name": name, "settings": settings, "before": left, "after": left - gone})
        left -= gone
    return found


def _step_of(reason: str) -> str:
    return reason.partition(":")[0]


def _total(sources: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {
        "in": _sum(source["in"] for source in sources),
        "out": _sum(source["out"] for source in sources),
        "pii": _sum(source["pii"] for source in sources),
        "encodings": _sum(source["encodings"] for source in sources),
        "contamination": _sum(source["contamination"] for source in sources),
        "lengths": _sum((source["lengths"] for source in sources), key=int),
    }
    for name in ("dropped", "languages"):
        keys = sorted({key for source in sources for key in source[name]})
        total[name] = {key: _sum(source[name].get(key, {}) for source in sources) for key in keys}
    total["duplicates"] = {
        kind: {
            "within": sum(source["duplicates"][kind]["within"] for source in sources),
            "across": sum(sum(source["duplicates"][kind]["across"].values()) for source in sources),
        }
        for kind in ("exact", "fuzzy")
    }
    return total


def _sum(parts: Any, key: Any = None) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part)
    return {name: counts[name] for name in sorted(counts, key=key)}
