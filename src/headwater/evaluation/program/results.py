"""What came out: results as lm-eval gives them, each sample as a row of Parquet, and the few numbers that the site keeps."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headwater.compute.program import Run
from headwater.evaluation.program.asking import harness
from headwater.evaluation.program.suite import Chosen
from headwater.evaluation.recipe import EvaluateRecipe
from headwater.evaluation.recipe_names import MODEL, SUITE

MOST_ROWS = 300
MOST_BYTES = 40 << 10  # of the rows, in a result of 64 KiB
_FACTS = frozenset({"name", "alias", "sample_len", "sample_count", " "})


@dataclass
class Told:
    """``rows`` in the order of ``service._FIELDS``; ``left_out`` had no finite value."""

    rows: list[list[Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    n_items: int = 0
    is_cut: bool = False


def told(found: Mapping[str, Any], chosen: Chosen) -> Told:
    """Scores with their standard errors, groups first."""
    out = Told(n_items=sum(int(each["effective"]) for each in found.get("n-samples", {}).values()))
    groups = set(found.get("group_subtasks", {}))
    names = sorted(found["results"], key=lambda name: (name not in groups, name))
    size = 2
    for name in names:
        for row in _rows(name, found, chosen, is_group=name in groups, out=out):
            size += len(json.dumps(row)) + 2
            if len(out.rows) >= MOST_ROWS or size > MOST_BYTES:
                out.is_cut = True
                return out
            out.rows.append(row)
    return out


def _rows(name: str, found: Mapping[str, Any], chosen: Chosen, *, is_group: bool, out: Told) -> list[list[Any]]:
    rows: list[list[Any]] = []
    values = found["results"][name]
    task = chosen.suite.tasks.get(name)
    higher = found.get("higher_is_better", {}).get(name, {})
    n_items = found.get("n-samples", {}).get(name, {}).get("effective")
    if is_group:
        n_items = values.get("sample_len") or None
    for key, value in values.items():
        metric, comma, chain = key.partition(",")
        if not comma or metric.endswith("_stderr") or key in _FACTS:
            continue
        if not isinstance(value, int | float) or not math.isfinite(value):
            out.left_out.append(f"{name} {metric}")
            continue
        stderr = values.get(f"{metric}_stderr,{chain}")
        known = isinstance(stderr, int | float) and math.isfinite(stderr)
        rows.append(
            [
                name,
                metric,
                chain,
                is_group,
                not rows,
                "" if task is None else task.ability,
                str(found.get("versions", {}).get(name) if task is None else task.version),
                None if n_items is None else int(n_items),
                float(value),
                float(stderr) if known and isinstance(stderr, int | float) else None,
                higher.get(metric) is not False,
            ]
        )
    return rows


def folder_of(run: Run) -> str:
    """Where in the results repository this run's files lie: beside those of others."""
    return f"runs/{run.id}"


def write(run: Run, recipe: EvaluateRecipe, chosen: Chosen, found: dict[str, Any], command: str) -> Path:
    """The folder that becomes a commit: results.json, samples as Parquet, the command, the recipe, and a card."""
    top = run.folder / "results"
    own = top / folder_of(run)
    (own / "samples").mkdir(parents=True, exist_ok=True)
    samples = found.pop("samples", {})
    for name, rows in samples.items():
        _write_samples(own / "samples" / f"{name}.parquet", rows)
    (own / "results.json").write_text(_json(found, chosen, run), "utf-8")
    (own / "command.txt").write_text(f"{command}\n", "utf-8")
    (own / "recipe.yaml").write_text(run.recipe_text, "utf-8")
    (top / "README.md").write_text(_card(run, recipe, found, chosen, command), "utf-8")
    return top


def _json(found: Mapping[str, Any], chosen: Chosen, run: Run) -> str:
    from lm_eval.utils import handle_non_serializable

    text = json.dumps(found, ensure_ascii=False, indent=1, default=handle_non_serializable, sort_keys=True)
    for folder in (chosen.folder, chosen.configs):  # where files lay on the machine is nobody's business
        text = text.replace(f"{folder}/", "")
    for name in run.recipe["inputs"]:
        for folder in run.folders_of(name):
            text = text.replace(str(folder), f"{run.input_repo(name)[1]}@{run.input_commit(name)}")
    return text.replace(str(run.folder), "work")


def _write_samples(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    from lm_eval.utils import handle_non_serializable
    from pyarrow import parquet

    def as_json(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, default=handle_non_serializable)

    metrics = sorted({name for row in rows for name in row["metrics"]})
    columns: dict[str, Any] = {
        "doc_id": pa.array([int(row["doc_id"]) for row in rows], pa.int64()),
        "filter": pa.array([str(row["filter"]) for row in rows], pa.string()),
        "doc": pa.array([as_json(row["doc"]) for row in rows], pa.string()),
        "target": pa.array(
            [row["target"] if isinstance(row["target"], str) else as_json(row["target"]) for row in rows], pa.string()
        ),
        "arguments": pa.array([as_json(row["arguments"]) for row in rows], pa.string()),
        "responses": pa.array([as_json(row["resps"]) for row in rows], pa.string()),
        "filtered": pa.array([as_json(row["filtered_resps"]) for row in rows], pa.string()),
    }
    for name in metrics:
        columns[name] = pa.array([_number(row.get(name)) for row in rows], pa.float64())
    for name in ("doc_hash", "prompt_hash", "target_hash"):
        columns[name] = pa.array([str(row.get(name, "")) for row in rows], pa.string())
    parquet.write_table(pa.table(columns), path, compression="zstd")


def _number(value: Any) -> float | None:
    """None where a metric gives more than a number for one sample."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _card(run: Run, recipe: EvaluateRecipe, found: Mapping[str, Any], chosen: Chosen, command: str) -> str:
    suite = run.input_repo(SUITE)[1]
    subject = recipe.endpoint.model if recipe.endpoint is not None else run.input_repo(MODEL)[1]
    at = "" if recipe.endpoint is not None else f" at `{run.input_commit(MODEL)}`"
    names = "".join(
        f"\n  - config_name: run-{run.id}-{task.name}\n    data_files: {folder_of(run)}/samples/{task.name}.parquet"
        for task in chosen.tasks
    )
    lines = [
        "---",
        "tags:",
        "  - evaluation-results",
        f"configs:{names}",
        "---",
        f"# Evaluations of {subject}",
        "",
        f"The latest: `{subject}`{at}, on [{suite}](/datasets/{suite}) at `{run.input_commit(SUITE)}`, by [run {run.id}](/runs/{run.id}) with {harness()}.",
        "Each run has a folder below `runs/`: `results.json`, every sample as Parquet, the command and the recipe.",
        "",
        "| task | version | metric | value | standard error | items |",
        "|---|---|---|---|---|---|",
    ]
    for row in told(found, chosen).rows:
        error = "" if row[9] is None else f"{row[9]:.4f}"
        lines.append(
            f"| {row[0]} | {row[6]} | {row[1]} | {row[8]:.4f} | {error} | {'' if row[7] is None else row[7]} |"
        )
    return "\n".join([*lines, "", "```", command, "```", ""])
