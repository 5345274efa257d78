"""What stands under ``with:`` in a recipe of kind ``evaluate``: which tasks of the suite, how many items, how the model is asked.

Imported when the first such recipe is read, for pydantic is heavy.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

TaskName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Endpoint(_Part):
    """A model that this site serves, asked as any client would. Tasks that compare log-likelihoods are refused."""

    model: str = Field(pattern=r"^[^/\s]{1,96}/[^/\s]{1,96}$", description="As the gateway calls it: owner/name.")
    concurrency: int = Field(4, ge=1, le=64, description="Requests at once.")


class EvaluateRecipe(_Part):
    """A suite's tasks, asked of a model (the input `model`) or of an endpoint of this site."""

    tasks: tuple[TaskName, ...] = Field(
        (),
        max_length=1000,
        description="Tasks, groups or tags of the suite; without any, those that it calls its default, or else all.",
    )
    limit: int | None = Field(None, ge=1, le=1_000_000, description="Only so many items of each task.")
    few_shot: int | None = Field(
        None, ge=0, le=100, description="Examples before each question; else as the task says."
    )
    batch_size: int = Field(8, ge=1, le=4096)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_length: int | None = Field(None, ge=16, le=1 << 20, description="Tokens of a prompt with its answer.")
    chat_template: bool = Field(False, description="Ask through the model's own chat template.")
    endpoint: Endpoint | None = None

    @model_validator(mode="after")
    def _consistent(self) -> EvaluateRecipe:
        if len(set(self.tasks)) != len(self.tasks):
            twice = next(name for name in self.tasks if self.tasks.count(name) > 1)
            raise ValueError(f"the task {twice!r} stands twice")
        if self.endpoint is not None and self.max_length is not None:
            raise ValueError("an endpoint has its own context length: take max_length out")
        return self
