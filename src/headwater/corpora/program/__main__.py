"""``python -m headwater.corpora.program``: one run of kind ``corpus``."""

from __future__ import annotations

import hashlib
import json
import resource
from pathlib import Path
from typing import Any

from headwater.compute.models import LARGEST_RESULT_BYTES
from headwater.compute.program import Run
from headwater.corpora import recipe as recipes
from headwater.corpora.program import building, materials
from headwater.corpora.program.problems import CannotBuild

OUTPUT = "corpus"


def main() -> None:
    with Run.from_environment() as run:
        recipe = recipes.CorpusRecipe.model_validate(run.own)
        try:
            order = _order(run, recipe)
            if recipe.preview is not None:
                run.result(_small_enough(building.show(order, limit=recipe.preview)))
                return
            folder = run.folder / "corpus"
            out, report = building.build(
                order,
                folder,
                workers=max(1, int(run.recipe["resources"]["cpus"])),
                progress=run.progress,
                note=run.note,
            )
        except CannotBuild as exc:
            run.fail(exc.code, "\n".join(exc.problems))
        kept, read = report["total"]["out"], report["total"]["in"]
        commit = run.output(OUTPUT).commit(
            out, f"Build {order.name}: {kept['documents']:,} of {read['documents']:,} documents"
        )
        run.result(
            {
                "commit": commit,
                "documents": kept["documents"],
                "tokens": kept["tokens"],
                "bytes": kept["bytes"],
                "read": read,
                "cpu_s": round(_cpu_seconds(), 1),
            }
        )
        building.clear(folder)


def _order(run: Run, recipe: recipes.CorpusRecipe) -> building.Order:
    inputs = {
        name: {"repo": f"{'/'.join(_plural(run.input_repo(name)))}", "commit": run.input_commit(name)}
        for name in run.recipe["inputs"]
    }
    roots = tuple(
        run.input(source.input) if source.input is not None else Path(source.folder or "") for source in recipe.sources
    )
    found = materials.gather(recipe, run.input, lambda name: f"{inputs[name]['repo']}@{inputs[name]['commit'][:12]}")
    digest = hashlib.sha256(run.recipe_text.encode()).hexdigest()
    return building.Order(run.recipe["name"], recipe, digest, run.seed, inputs, roots, found)


def _plural(repo: tuple[str, str]) -> tuple[str, str]:
    return f"{repo[0]}s", repo[1]


def _small_enough(result: dict[str, Any]) -> dict[str, Any]:
    """Fewer and shorter examples until the site takes it."""
    for most in (3, 2, 1, 0):
        for part in (result["dropped"], result["changed"]):
            for each in part.values():
                del each["examples"][most:]
        if len(json.dumps(result).encode()) <= LARGEST_RESULT_BYTES - 1024:
            break
    return result


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
