"""Kinds of runs that tests have: what each program does is in ``programs``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from headwater import compute
from headwater.compute import Kind, Problem, Recipe
from headwater.db import Tx
from headwater.kernel import Actor


class Words(BaseModel):
    """Counts the words of the input ``text`` and commits what it found."""

    model_config = ConfigDict(extra="forbid", strict=True)
    least_length: int = Field(1, ge=1, le=100)
    file: str = "data.txt"


class Nothing(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Act(BaseModel):
    """Does one thing that tests want to see done to the server."""

    model_config = ConfigDict(extra="forbid", strict=True)
    act: str
    seconds: float = Field(60.0, ge=0)
    mb: int = Field(0, ge=0)
    code: int = 0


def check_words(tx: Tx, actor: Actor, recipe: Recipe) -> list[Problem]:
    if "text" not in recipe.inputs:
        return [Problem("inputs.text", "it is missing", "Name the dataset whose words are counted.")]
    return []


def register() -> None:
    compute.register(
        Kind(
            name="words",
            model=Words,
            program="tests.compute.programs.words",
            check=check_words,
            output_type="dataset",
        )
    )
    compute.register(Kind(name="clock", model=Nothing, program="tests.compute.programs.clock"))
    compute.register(Kind(name="act", model=Act, program="tests.compute.programs.act"))
