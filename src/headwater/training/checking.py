"""What of a recipe of the kinds ``train`` and ``convert`` cannot work, told before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.compute import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.compute import Recipe
    from headwater.db import Tx
    from headwater.hub.models import RepoKind
    from headwater.kernel import Actor

OUTPUT = "model"
BASE, DATA, MODEL = "base", "data", "model"


def check_train(tx: Tx, actor: Actor, recipe: Recipe) -> list[Problem]:
    return [
        *_inputs(recipe, {BASE: "the model to begin with", DATA: "the dataset"}, {}),
        *_outputs(recipe),
    ]


def check_convert(tx: Tx, actor: Actor, recipe: Recipe) -> list[Problem]:
    return [
        *_inputs(recipe, {MODEL: "the model to convert"}, {DATA: "texts for the check"}),
        *_outputs(recipe),
    ]


def _inputs(recipe: Recipe, needed: Mapping[str, str], allowed: Mapping[str, str]) -> list[Problem]:
    found = [
        Problem("inputs", f"there is no input {name!r}", f"Name {what} there.")
        for name, what in needed.items()
        if name not in recipe.inputs
    ]
    known = {**needed, **allowed}
    found += [
        Problem(
            f"inputs.{name}", f"nothing in a recipe of kind {recipe.kind.name} uses it", f"Known: {', '.join(known)}."
        )
        for name in recipe.inputs
        if name not in known
    ]
    for name, ref in recipe.inputs.items():
        kind = ref.repo.kind
        if name in known and kind is not None and kind.value != _type(name):
            found.append(
                Problem(f"inputs.{name}.repo", f"it is a {kind.value}, and a {_type(name)} is needed", "Name another.")
            )
    return found


def _type(name: str) -> str:
    return "dataset" if name == DATA else "model"


def _outputs(recipe: Recipe) -> list[Problem]:
    found = [
        Problem(f"outputs.{name}", f"a recipe of kind {recipe.kind.name} has one output", f"Keep only {OUTPUT!r}.")
        for name in recipe.outputs
        if name != OUTPUT
    ]
    out = recipe.outputs.get(OUTPUT)
    if out is None:
        return [*found, Problem("outputs", f"there is no output {OUTPUT!r}", "Name the model repository that is made.")]
    kind: RepoKind | None = out.repo.kind
    if kind is not None and kind.value != "model":
        found.append(Problem(f"outputs.{OUTPUT}.repo", f"it is a {kind.value}, and a model is made", "Name a model."))
    return found
