"""One corpus from its sources to a folder that can be committed; knows files, not runs.

1. Segments of the sources are read and go through the local steps, each once (``engine``, ``steps``); what is done is kept (``work``).
2. All documents together: copies, near copies, the mixture (``deciding``).
3. Shards, drops, report and card are written (``writing``, ``reporting``).
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater import __version__
from headwater.corpora import recipe as recipes
from headwater.corpora.program import deciding, preview, reading, reporting, steps, writing
from headwater.corpora.program.engine import Engine
from headwater.corpora.program.problems import CannotBuild
from headwater.corpora.program.work import Work

Progress = Callable[[float, float, str], None]
HELD_BYTES = 128 << 20
"""Of raw documents, before they go to the workers: those are started for each such piece, which takes seconds."""


def _quietly(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Order:
    """What to build. ``inputs`` has repository and commit of each input, for the report; ``roots`` where each source's files lie."""

    name: str
    recipe: recipes.CorpusRecipe
    recipe_sha256: str
    seed: int
    inputs: Mapping[str, Mapping[str, str]]
    roots: tuple[Path, ...]
    materials: steps.Materials


def list_sources(order: Order) -> list[list[reading.SourceFile]]:
    """The files of every source. Raises: CannotBuild, with all that is wrong."""
    found, problems, code = [], [], ""
    for source, root in zip(order.recipe.sources, order.roots, strict=True):
        try:
            found.append(reading.list_files(source, root))
        except CannotBuild as exc:
            problems += exc.problems
            code = code or exc.code
    if problems:
        raise CannotBuild(code, problems)
    return found


def check(order: Order) -> steps.LocalSteps:
    """Raises: CannotBuild: a step could do nothing."""
    try:
        return steps.LocalSteps(order.recipe, order.materials)
    except ValueError as exc:
        raise CannotBuild("step_without_effect", str(exc)) from exc


def show(order: Order, *, limit: int) -> dict[str, Any]:
    """What the recipe would do to a few documents of each source, with examples."""
    local = check(order)
    segments = reading.segments_of(list_sources(order))
    return preview.Preview(order.recipe, local, limit=limit).show(segments)


def build(
    order: Order,
    folder: Path,
    *,
    workers: int,
    progress: Progress = _quietly,
    note: Callable[[str], None] = _quietly,
    held_bytes: int = HELD_BYTES,
) -> tuple[Path, dict[str, Any]]:
    """Build in ``folder``, going on where an earlier attempt was, and return what to commit and the report.

    Args:
        held_bytes: how much is held in memory of what is read, as a number of raw bytes; some times that much is needed in all.

    Raises:
        CannotBuild: sources that cannot be read, steps that can do nothing, or nothing is left in the end.
    """
    local = check(order)
    files = list_sources(order)
    segments = reading.segments_of(files)
    work = Work(folder, _fingerprint(order, files))
    done = [segment for segment in segments if work.is_done(segment.number)]
    if done:
        note(f"{len(done)} of {len(segments)} segments were done by an earlier attempt.")
    left = [segment for segment in segments if not work.is_done(segment.number)]
    if left:
        progress(0, len(segments), "compiling")
        local.warm()
        _local(order, left, work, workers=workers, progress=progress, total=len(segments), held_bytes=held_bytes)
    n = len(segments)
    decisions = deciding.decide(work, n, order.recipe, seed=order.seed, tell=lambda what: progress(n, n, what))
    if not decisions.stays.any():
        raise CannotBuild("nothing_left", _nothing_left(order, work, n, decisions))
    work.out.mkdir(exist_ok=True)
    writing.write_shards(order.recipe, work, n, decisions, lambda at, of: progress(at, of, "writing shards"))
    writing.write_drops(order.recipe, work, n, decisions)
    report = reporting.make(
        order.recipe,
        name=order.name,
        recipe_sha256=order.recipe_sha256,
        seed=order.seed,
        inputs=order.inputs,
        files=files,
        work=work,
        n_segments=n,
        decisions=decisions,
        tokenizer=steps.counter_of(order.materials).tokenizer,
    )
    for warning in without_effect(report):
        note(warning)
    writing.write_report(work, report)
    writing.write_card(work, order.recipe, report)
    return work.out, report


def _fingerprint(order: Order, files: list[list[reading.SourceFile]]) -> dict[str, Any]:
    listed = hashlib.sha256()
    for source, own in zip(order.recipe.sources, files, strict=True):
        for file in own:
            # Inputs are pinned by commit; what lies in a folder is known by size and time.
            changed_at = file.path.stat().st_mtime_ns if source.folder is not None else 0
            listed.update(f"{file.name}\0{file.size_bytes}\0{changed_at}\n".encode())
    return {
        "headwater": __version__,  # another may decide otherwise
        "recipe": order.recipe.model_dump_json(by_alias=True),
        "seed": order.seed,
        "inputs": {name: dict(value) for name, value in order.inputs.items()},
        "files": listed.hexdigest(),
    }


def _local(
    order: Order,
    segments: list[reading.Segment],
    work: Work,
    *,
    workers: int,
    progress: Progress,
    total: int,
    held_bytes: int,
) -> None:
    engine = Engine(order.recipe, order.materials, workers=workers)
    most = int(order.recipe.max_document_mb * 1e6)
    waiting: list[tuple[int, int, bytes]] = []
    held = 0
    n_batches: dict[int, int] = {}
    whole: list[int] = []
    finished = total - len(segments)

    def flush() -> None:
        nonlocal finished, held
        if waiting:
            for (number, batch, _), message in zip(waiting, engine.map([each[2] for each in waiting]), strict=True):
                work.keep(number, batch, message)
            waiting.clear()
            held = 0
        for number in whole:
            work.finish(number, n_batches[number])
            finished += 1
        whole.clear()
        progress(finished, total, "reading and filtering")

    for segment in segments:
        work.begin(segment.number)
        n_batches[segment.number] = 0
        source = order.recipe.sources[segment.source]
        for raw in reading.read(segment, source, max_document_bytes=most):
            waiting.append((segment.number, n_batches[segment.number], steps.write_message(raw.to_arrow())))
            n_batches[segment.number] += 1
            held += len(waiting[-1][2])
            if held >= held_bytes:
                flush()
        whole.append(segment.number)
    flush()


def _nothing_left(order: Order, work: Work, n_segments: int, decisions: deciding.Decisions) -> str:
    counts: dict[str, int] = {}
    begin = 0
    for table in work.batches(n_segments):
        for row, reason in enumerate(table["reason"].to_pylist()):
            why = reason or deciding.REASONS.get(int(decisions.why[begin + row]), "")
            counts[why] = counts.get(why, 0) + 1
        begin += len(table)
    told = ", ".join(f"{reason} {n:,}" for reason, n in sorted(counts.items(), key=lambda pair: -pair[1])[:6])
    return (
        f"No document is left of {begin:,} ({told or 'none was read'}). Loosen the steps, or look at a preview first."
    )


def without_effect(report: Mapping[str, Any]) -> list[str]:
    """Steps that found nothing at all in a corpus large enough to expect something: worth a look."""
    if report["total"]["in"]["documents"] < 1000:
        return []
    quiet = [
        step["name"]
        for step in report["steps"]
        if step["before"] == step["after"]
        and step["name"] in ("exact", "fuzzy", "rules", "repetition", "contamination")
    ]
    return [
        f"The step {name} dropped nothing of {report['total']['in']['documents']:,} documents: is it what you meant?"
        for name in quiet
    ]


def clear(folder: Path) -> None:
    """Remove all of a build, once its corpus is committed: the repository knows who may read the texts, a folder does not."""
    shutil.rmtree(folder, ignore_errors=True)
