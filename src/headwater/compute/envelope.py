"""What every recipe has in common, as pydantic models. Imported when the first recipe is read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

PartName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class Strict(BaseModel):
    """Nothing that is not known; a number is no text."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)


class Input(Strict):
    """A repository that is read, at one commit."""

    repo: str = Field(max_length=300, description="[models/|datasets/|spaces/]namespace/name")
    revision: str | None = Field(
        None, max_length=255, description="A branch, a tag or a commit; it is pinned to the commit when submitted."
    )


class Output(Strict):
    """A repository that is written; it is created when there is something to put into it."""

    repo: str = Field(max_length=300, description="[models/|datasets/|spaces/]namespace/name")
    private: bool | None = Field(
        None,
        description="Of one that is not there yet; without it, private where an input, or the recipe's own repository, is.",
    )


class Resources(Strict):
    """What the queue counts and the process is held to."""

    cpus: float = Field(1.0, ge=0.05, le=4096, strict=False)
    memory_gb: float = Field(2.0, ge=0.05, le=65536, strict=False)
    gpus: int = Field(0, ge=0, le=1024)
    chip: str | None = Field(None, min_length=1, max_length=64, description="By the name that its host gives it.")
    time_limit_s: int | None = Field(None, ge=1, le=90 * 86_400)


class Envelope(Strict):
    kind: str
    name: str = Field(min_length=1, max_length=96, pattern=r"^[^\x00-\x1f\x7f]+$")
    inputs: dict[PartName, Input] = Field(default_factory=dict, max_length=64)
    outputs: dict[PartName, Output] = Field(default_factory=dict, max_length=16)
    resources: Resources = Field(default_factory=Resources)  # type: ignore[arg-type]  # all its fields have defaults
    retries: int = Field(0, ge=0, le=10, description="How often it is tried again after a failure.")
    seed: int = Field(0, ge=0, le=2**53)


def recipe_model(name: str, own: type[BaseModel]) -> type[BaseModel]:
    """The envelope with one kind's own fields under ``with``."""
    if own.model_config.get("extra") != "forbid":
        raise TypeError(f"{own.__name__} takes fields that it does not know: set extra='forbid'")
    is_needed = any(field.is_required() for field in own.model_fields.values())
    rest: Any = Field(alias="with") if is_needed else Field(default_factory=own, alias="with")
    made: type[BaseModel] = create_model(
        f"{name.title()}Recipe",
        __base__=Envelope,
        kind=(Literal[name], ...),  # type: ignore[arg-type]  # of a name that is known only now
        own=(own, rest),
    )
    return made
