"""What of a recipe of kind ``corpus`` cannot work, told before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from headwater.compute import Problem

if TYPE_CHECKING:
    from headwater.compute import Recipe
    from headwater.db import Tx
    from headwater.kernel import Actor

OUTPUT = "corpus"


@dataclass(frozen=True)
class Check:
    """``folders`` are those that the administrator lets recipes read."""

    folders: tuple[str, ...]

    def __call__(self, tx: Tx, actor: Actor, recipe: Recipe) -> list[Problem]:
        own = recipe.own
        problems = []
        for where, name in own.inputs_named().items():
            if name not in recipe.inputs:
                known = ", ".join(recipe.inputs) or "none"
                problems.append(Problem(f"with.{where}", f"there is no input {name!r}", f"Inputs are: {known}."))
        used = set(own.inputs_named().values())
        problems += [
            Problem(f"inputs.{name}", "nothing in the recipe uses it", "Take it out, or name it in a source or step.")
            for name in recipe.inputs
            if name not in used
        ]
        for number, source in enumerate(own.sources):
            if source.folder is not None and not self._may_read(source.folder):
                problems.append(
                    Problem(
                        f"with.sources.{number}.folder",
                        f"recipes may not read {source.folder}",
                        "Use a repository, or have the administrator allow it (setting corpora.folders).",
                    )
                )
        if own.preview is None:
            problems += self._outputs(recipe)
        return problems

    def _outputs(self, recipe: Recipe) -> list[Problem]:
        if OUTPUT not in recipe.outputs:
            return [Problem("outputs", f"there is no output {OUTPUT!r}", "Name the dataset repository that is made.")]
        return [
            Problem(f"outputs.{name}", "a corpus has one output", f"Keep only {OUTPUT!r}.")
            for name in recipe.outputs
            if name != OUTPUT
        ]

    def _may_read(self, folder: str) -> bool:
        path = PurePosixPath(folder)
        return any(path == PurePosixPath(each) or PurePosixPath(each) in path.parents for each in self.folders)
