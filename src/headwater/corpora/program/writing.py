"""The dataset repository that comes out: shards, what was dropped and why, the report, the card."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from headwater.corpora import recipe as recipes
from headwater.corpora.program.deciding import EARLIER, EXACT, FUZZY, REASONS, STAYS, Decisions
from headwater.corpora.program.work import Work, write_whole
from headwater.hub.cards import licences

REPORT_FILE = "corpus-report.json"
_ROW_GROUP_BYTES = 32 << 20
_DROPS_A_FILE = 5_000_000
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.large_string()),
        ("source", pa.string()),
        ("language", pa.string()),
        ("n_tokens", pa.int64()),
        ("licence", pa.string()),
        ("date", pa.string()),
    ]
)
_DROPS = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("reason", pa.string()),
        ("copy_of", pa.string()),
        ("similarity", pa.float32()),
        ("contaminated_by", pa.string()),
        ("n_bytes", pa.int64()),
    ]
)


def write_shards(
    recipe: recipes.CorpusRecipe,
    work: Work,
    n_segments: int,
    decisions: Decisions,
    progress: Callable[[int, int], None],
) -> int:
    """Write what stays to ``out/data``, zstd Parquet, and return the number of shards. Whole shards of an earlier attempt are kept.

    Documents keep the order in which they were read: who trains on them shuffles. Where a shard ends depends on the sizes of the texts alone.
    """
    sizes = np.zeros(len(decisions.why), np.int64)
    begin = 0
    for table in work.batches(n_segments):
        end = begin + len(table)
        if len(table):
            sizes[begin:end] = pc.binary_length(table["text"]).to_numpy()
        begin = end
    stays = decisions.stays
    shard_bytes = int(recipe.shard_mb * 1e6)
    before = np.cumsum(np.where(stays, sizes, 0)) - np.where(stays, sizes, 0)
    shard_of = np.where(stays, before // shard_bytes, -1)
    used = np.unique(shard_of[stays])
    number = {int(shard): n for n, shard in enumerate(used)}
    folder = work.out / "data"
    folder.mkdir(parents=True, exist_ok=True)
    names = {shard: folder / f"train-{n:05d}-of-{len(used):05d}.parquet" for shard, n in number.items()}
    for stale in set(folder.iterdir()) - set(names.values()):
        stale.unlink()
    done = {shard for shard, path in names.items() if path.exists()}
    writer: _Shard | None = None
    for shard, part in _parts(recipe, work, n_segments, stays, shard_of):
        if shard in done:
            continue
        if writer is None or writer.path != names[shard]:
            if writer is not None:
                writer.close()
            writer = _Shard(names[shard])
            progress(number[shard], len(used))
        writer.add(part)
    if writer is not None:
        writer.close()
    progress(len(used), len(used))
    return len(used)


class _Shard:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary = path.with_name(f"{path.name}.tmp")
        self._writer = pq.ParquetWriter(
            self._temporary,
            _SCHEMA,
            compression="zstd",
            compression_level=3,
            use_dictionary=["source", "language", "licence"],
        )
        self._held: list[pa.Table] = []
        self._held_bytes = 0

    def add(self, part: pa.Table) -> None:
        self._held.append(part)
        self._held_bytes += part.nbytes
        if self._held_bytes >= _ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            together = pa.concat_tables(self._held).combine_chunks()
            self._writer.write_table(together, row_group_size=max(1, len(together)))
            self._held, self._held_bytes = [], 0

    def close(self) -> None:
        self._flush()
        self._writer.close()
        self._temporary.replace(self.path)


def _parts(
    recipe: recipes.CorpusRecipe, work: Work, n_segments: int, stays: Any, shard_of: Any
) -> Iterator[tuple[int, pa.Table]]:
    begin = 0
    for table in work.batches(n_segments):
        end = begin + len(table)
        rows = np.flatnonzero(stays[begin:end])
        shards = shard_of[begin:end][rows]
        begin = end
        for shard in np.unique(shards):
            some = table.take(pa.array(rows[shards == shard]))
            source = recipe.sources[int(some["source"][0].as_py())]
            stated = some["licence"]
            if source.licence is not None:
                stated = pc.fill_null(stated, source.licence)
            yield (
                int(shard),
                pa.table(
                    [
                        some["id"],
                        some["text"],
                        pa.array([source.name] * len(some), pa.string()),
                        some["language"],
                        some["n_tokens"],
                        stated,
                        some["date"],
                    ],
                    schema=_SCHEMA,
                ),
            )


def write_drops(recipe: recipes.CorpusRecipe, work: Work, n_segments: int, decisions: Decisions) -> int:
    """Every document that went, with its reason, to ``out/drops``; their texts are not kept."""
    wanted = np.zeros(len(decisions.why), np.bool_)
    copies = np.isin(decisions.why, (EXACT, FUZZY))
    wanted[decisions.twins[copies]] = True
    ids: dict[int, str] = {}
    begin = 0
    for table in work.batches(n_segments):
        rows = np.flatnonzero(wanted[begin : begin + len(table)])
        if len(rows):
            ids.update(zip((rows + begin).tolist(), table["id"].take(pa.array(rows)).to_pylist(), strict=True))
        begin += len(table)
    folder = work.out / "drops"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "drops.parquet"
    temporary = path.with_name("drops.parquet.tmp")
    n_dropped = begin = 0
    with pq.ParquetWriter(temporary, _DROPS, compression="zstd", compression_level=3) as writer:
        for table in work.batches(n_segments):
            why = decisions.why[begin : begin + len(table)]
            rows = np.flatnonzero(why != STAYS)
            if len(rows):
                writer.write_table(_drops_of(recipe, table, rows, begin, decisions, ids))
            n_dropped += len(rows)
            begin += len(table)
    temporary.replace(path)
    return n_dropped


def _drops_of(
    recipe: recipes.CorpusRecipe, table: pa.Table, rows: Any, begin: int, decisions: Decisions, ids: Mapping[int, str]
) -> pa.Table:
    some = table.select(["id", "reason", "contaminated_by", "n_bytes"]).take(pa.array(rows))
    why = decisions.why[begin + rows]
    earlier = some["reason"].to_pylist()
    twins = decisions.twins[begin + rows].tolist()
    name = recipe.sources[int(table["source"][0].as_py())].name
    similarities = decisions.jaccards[begin + rows]
    return pa.table(
        [
            some["id"],
            pa.array([name] * len(rows), pa.string()),
            pa.array(
                [earlier[n] if code == EARLIER else REASONS[int(code)] for n, code in enumerate(why)], pa.string()
            ),
            pa.array([ids[twin] if twin >= 0 else None for twin in twins], pa.string()),
            pa.array(similarities, pa.float32(), mask=np.array(twins) < 0),
            some["contaminated_by"],
            some["n_bytes"],
        ],
        schema=_DROPS,
    )


def write_report(work: Work, report: Mapping[str, Any]) -> None:
    write_whole(work.out / REPORT_FILE, json.dumps(report, ensure_ascii=False, indent=1).encode() + b"\n")


# ---- the card


def write_card(work: Work, recipe: recipes.CorpusRecipe, report: Mapping[str, Any]) -> None:
    write_whole(work.out / "README.md", card(recipe, report).encode())


def card(recipe: recipes.CorpusRecipe, report: Mapping[str, Any]) -> str:
    """A data card: the table of sources, the steps, what is known of languages, rights and personal data."""
    out = report["total"]["out"]
    languages = [code for code in report["total"]["languages"] if code != "und"]
    metadata: dict[str, Any] = {"pretty_name": report["name"], "tags": ["corpus"]}
    if recipe.licence:
        metadata |= licences.card_fields(recipe.licence)
    if languages:
        metadata["language"] = languages
    metadata["task_categories"] = ["text-generation"]
    metadata["size_categories"] = [_size_category(out["documents"])]
    repos = sorted({source["from"]["repo"] for source in report["sources"] if source["from"].get("repo")})
    if repos:
        metadata["source_datasets"] = [repo.removeprefix("datasets/") for repo in repos]
    metadata["configs"] = [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]},
        {"config_name": "drops", "data_files": [{"split": "train", "path": "drops/*.parquet"}]},
    ]
    estimated = " (estimated)" if report["tokens_are_estimated"] else ""
    lines = [
        "---",
        yaml.safe_dump(metadata, allow_unicode=True, sort_keys=False).strip(),
        "---",
        "",
        f"# {report['name']}",
        "",
        *([_prose(recipe.description), ""] if recipe.description else []),
        f"{out['documents']:,} documents, {out['bytes'] / 1e9:.3f} GB of text, {out['tokens']:,} tokens{estimated}, of {report['total']['in']['documents']:,} documents that were read. Each document that went stands in `drops/` with its reason; all figures are in `{REPORT_FILE}`.",
        "",
        "## Sources",
        "",
        "| Source | GB | Documents | Tokens | Period | Licence | Description | Processing |",
        "|---|---:|---:|---:|---|---|---|---|",
    ]
    for source in report["sources"]:
        kept, period = source["out"], source["period"]
        dates = "–".join(dict.fromkeys(each for each in (period["from"], period["to"]) if each)) or "not stated"
        lines.append(
            "| "
            + " | ".join(
                (
                    _cell(source["name"]),
                    f"{kept['bytes'] / 1e9:.3f}",
                    f"{kept['documents']:,}",
                    f"{kept['tokens']:,}",
                    dates,
                    _cell(source["licence"] or ", ".join(source["licences_found"]) or "not stated"),
                    _cell(source["description"] or "–"),
                    ", ".join(source["processing"]),
                )
            )
            + " |"
        )
    lines += ["", "## Steps", "", "| Step | Documents before | after |", "|---|---:|---:|"]
    lines += [f"| {step['name']} | {step['before']:,} | {step['after']:,} |" for step in report["steps"]]
    lines += ["", "## Languages", "", "| Language | Documents | Tokens |", "|---|---:|---:|"]
    lines += [
        f"| {code} | {counts['documents']:,} | {counts['tokens']:,} |"
        for code, counts in report["total"]["languages"].items()
    ]
    rights = [
        f"- **{_cell(source['name'])}**: {_prose(source['rights'])}" for source in report["sources"] if source["rights"]
    ]
    if rights:
        lines += ["", "## Rights", "", *rights]
    pii = {kind: n for kind, n in report["total"]["pii"].items() if kind != "documents"}
    said = (
        "Found and covered or dropped: " + ", ".join(f"{kind} {n:,}" for kind, n in pii.items()) + "."
        if pii
        else "None was found by the steps above."
        if any(step["name"] == "pii" for step in report["steps"])
        else "Not looked for."
    )
    lines += ["", "## Personal data", "", said]
    tokens = f"Tokens were counted with {report['tokenizer']}."
    lines += ["", "## Tokens", "", tokens, ""]
    return "\n".join(lines)


def _prose(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _prose(text).replace("|", "\\|")


def _size_category(n: int) -> str:
    for below, name in (
        (1_000, "n<1K"),
        (10_000, "1K<n<10K"),
        (100_000, "10K<n<100K"),
        (1_000_000, "100K<n<1M"),
        (10_000_000, "1M<n<10M"),
        (100_000_000, "10M<n<100M"),
        (1_000_000_000, "100M<n<1B"),
    ):
        if n < below:
            return name
    return "n>1B"
