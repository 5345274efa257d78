"""``python -m headwater.evaluation.program``: one run of kind ``evaluate``."""

from __future__ import annotations

import os

os.environ["HF_DATASETS_OFFLINE"] = "1"  # before datasets is imported: data comes from the suite's files alone
os.environ["EVALUATE_TELEMETRY"] = os.environ["HF_EVALUATE_OFFLINE"] = "1"

from headwater.compute.program import Run
from headwater.evaluation.program import asking, results
from headwater.evaluation.program.problems import CannotEvaluate
from headwater.evaluation.program.suite import take_suite
from headwater.evaluation.recipe import EvaluateRecipe
from headwater.evaluation.recipe_names import RESULTS


def main() -> None:
    with Run.from_environment() as run:
        recipe = EvaluateRecipe.model_validate(run.own)
        try:
            chosen = take_suite(run, recipe)
            found = asking.ask(run, recipe, chosen)
            command = asking.command_of(run, recipe, chosen)
            folder = results.write(run, recipe, chosen, found, command)
            told = results.told(found, chosen)
        except CannotEvaluate as exc:
            run.fail(exc.code, exc.message)
        for name in told.left_out:
            run.note(f"{name} has no finite value, and is left out of the scores.")
        commit = run.output(RESULTS).commit(folder, f"Evaluate: {run.recipe['name']}"[:200])
        run.result(
            {
                "commit": commit,
                "folder": results.folder_of(run),
                "command": command,
                "harness": asking.harness(),
                "n_items": told.n_items,
                "seconds": round(found["seconds"], 3),
                "cpu_s": round(found["cpu_s"], 3),
                "is_cut": told.is_cut,
                "scores": told.rows,
            }
        )


if __name__ == "__main__":
    main()
