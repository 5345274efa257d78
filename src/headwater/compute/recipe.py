"""Recipes: strict YAML, typed, every problem at once. What is common to all kinds is here; the rest is the kind's own model.

pydantic is imported when the first recipe is read: most workers never read one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from headwater.compute.errors import BadRecipe
from headwater.compute.kinds import Kind, find_kind, kinds
from headwater.compute.models import Need, Problem
from headwater.hub.errors import BadName
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.names import parse_repo_name
from headwater.scanning import strict_yaml

MOST_PROBLEMS = 50
_TYPES = {kind.plural: kind for kind in RepoKind}


@dataclass(frozen=True)
class RepoRef:
    """``kind`` is None where the text does not say whether it is a model, a dataset or a space."""

    kind: RepoKind | None
    name: RepoName

    def __str__(self) -> str:
        return str(self.name) if self.kind is None else f"{self.kind.plural}/{self.name}"


@dataclass(frozen=True)
class InputRef:
    repo: RepoRef
    revision: str | None


@dataclass(frozen=True)
class OutputRef:
    repo: RepoRef
    is_private: bool | None  # None: as what is read


@dataclass(frozen=True)
class Recipe:
    """A recipe that is well-formed. ``own`` is what stands under ``with:``, as the kind's model."""

    kind: Kind
    name: str
    text: str
    inputs: Mapping[str, InputRef]
    outputs: Mapping[str, OutputRef]
    need: Need
    retries: int
    seed: int
    own: Any

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def own_json(self) -> dict[str, Any]:
        """What stands under ``with:``, with its defaults, as JSON values."""
        found: dict[str, Any] = self.own.model_dump(mode="json", by_alias=True)
        return found


@dataclass(frozen=True)
class Reading:
    """What could be read of a recipe, also where ``problems`` are found in it: the parts that are well-formed by themselves.

    ``recipe`` is there where nothing is wrong.
    """

    kind: Kind
    inputs: Mapping[str, InputRef]
    outputs: Mapping[str, OutputRef]
    need: Need | None
    problems: list[Problem]
    recipe: Recipe | None


def parse_repo(text: str) -> RepoRef:
    """``[models/|datasets/|spaces/]namespace/name``.

    Raises:
        BadName
    """
    head, _, rest = text.partition("/")
    if head in _TYPES and "/" in rest:
        return RepoRef(_TYPES[head], parse_repo_name(rest))
    return RepoRef(None, parse_repo_name(text))


def parse(text: str) -> Recipe:
    """What a recipe says.

    Raises:
        BadRecipe: with every problem that can be seen in the text alone.
    """
    found = read(text)
    if found.recipe is None:
        raise BadRecipe(found.problems)
    return found.recipe


def read(text: str) -> Reading:
    """What a recipe says, as far as it can be made out.

    Raises:
        BadRecipe: it is no YAML, no mapping, or of no kind that is known.
    """
    try:
        given = strict_yaml.load(text)
    except strict_yaml.BadYaml as exc:
        where = "recipe" if exc.line is None else f"line {exc.line}"
        raise BadRecipe([Problem(where, exc.why, "Write it as plain YAML.")]) from exc
    if not isinstance(given, dict):
        raise BadRecipe([Problem("recipe", "it is no mapping", "Begin with `kind: …`.")])
    name = given.get("kind")
    kind = find_kind(name) if isinstance(name, str) else None
    if kind is None:
        known = ", ".join(kinds()) or "none"
        what = "it is missing" if name is None else f"there is no kind {name!r}"
        raise BadRecipe([Problem("kind", what, f"Use one of: {known}.")])
    return _typed(kind, given, text)


def _typed(kind: Kind, given: dict[str, Any], text: str) -> Reading:
    from pydantic import ValidationError

    problems: list[Problem] = []
    try:
        said = model_of(kind).model_validate(given)
        parts: _Parts = said
    except ValidationError as exc:
        said, parts = None, _well_formed(given)
        problems += _problems(exc)
    inputs = {n: InputRef(ref, v.revision) for n, v in parts.inputs.items() if (ref := _ref(problems, "inputs", n, v))}
    outputs = {
        n: OutputRef(ref, v.private) for n, v in parts.outputs.items() if (ref := _ref(problems, "outputs", n, v))
    }
    wanted, need = parts.resources, None
    if wanted is not None:
        need = Need(wanted.cpus, int(wanted.memory_gb * 1e9), wanted.gpus, wanted.chip, wanted.time_limit_s)
        if wanted.chip is not None and not wanted.gpus:
            what = f"it names the chip {wanted.chip!r} and asks for none"
            problems.append(Problem("resources.gpus", what, "Set gpus to 1 or more, or leave chip out."))
    recipe = None
    if said is not None and need is not None and not problems:
        recipe = Recipe(kind, said.name, text, inputs, outputs, need, said.retries, said.seed, said.own)
    return Reading(kind, inputs, outputs, need, problems, recipe)


class _Parts(Protocol):
    """What names repositories and asks for room, in every kind of recipe: ``envelope``'s models."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]
    resources: Any


@dataclass
class _Salvaged:
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    resources: Any


def _well_formed(given: dict[str, Any]) -> _Salvaged:
    """What of a recipe that is wrong somewhere is right by itself, so that its names can be looked up all the same."""
    common = _common()

    def each(part: str, model: Any) -> dict[str, Any]:
        named = given.get(part)
        tried = {n: _try(model, v) for n, v in named.items()} if isinstance(named, dict) else {}
        return {
            n: found for n, found in list(tried.items())[:MOST_PROBLEMS] if isinstance(n, str) and found is not None
        }

    return _Salvaged(
        each("inputs", common.Input), each("outputs", common.Output), _try(common.Resources, given.get("resources", {}))
    )


def _try(model: Any, value: Any) -> Any:
    from pydantic import ValidationError

    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _ref(problems: list[Problem], part: str, name: str, said: Any) -> RepoRef | None:
    try:
        return parse_repo(said.repo)
    except BadName as exc:
        do = "Write it as namespace/name, with datasets/ or spaces/ before it for those."
        problems.append(Problem(f"{part}.{name}.repo", exc.message, do))
        return None


# ---- pydantic


def _problems(exc: Any) -> list[Problem]:
    """What pydantic found, as people read it: where, what, what to do."""
    found = []
    for error in exc.errors(include_url=False)[:MOST_PROBLEMS]:
        where = ".".join(str(part) for part in error["loc"] if not str(part).startswith("function-")) or "recipe"
        what, do = error["msg"].removeprefix("Value error, "), ""
        if error["type"] == "extra_forbidden":
            what, do = "there is no such field", "Take it out, or look for its right name in the schema."
        elif error["type"] == "missing":
            what, do = "it is missing", "Add it."
        elif error["type"] == "literal_error":
            what = f"{error['input']!r} is none of {error['ctx']['expected']}"
        elif "input" in error and isinstance(error["input"], str | int | float | bool):
            what = f"{what[:1].lower()}{what[1:]} (it is {str(error['input'])[:80]!r})"
        else:
            what = f"{what[:1].lower()}{what[1:]}"
        found.append(Problem(where, what, do))
    return found


@lru_cache
def _common() -> Any:
    from headwater.compute import envelope

    return envelope


def model_of(kind: Kind) -> Any:
    """The whole recipe of a kind as a pydantic model."""
    return _model(kind.name, kind.load_model())


@lru_cache
def _model(name: str, own: Any) -> Any:
    return _common().recipe_model(name, own)


def schema_of(kind: Kind, address: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of a kind's recipes."""
    found: dict[str, Any] = model_of(kind).model_json_schema(by_alias=True)
    _close(found)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": address, **found}


def _close(schema: Any) -> None:
    """Names that do not fit a pattern are refused: pydantic does so, and does not say it in the schema."""
    if isinstance(schema, dict):
        if "patternProperties" in schema:
            schema.setdefault("additionalProperties", False)
        for each in schema.values():
            _close(each)
    elif isinstance(schema, list):
        for each in schema:
            _close(each)


def schema_of_all(base_url: str) -> dict[str, Any]:
    """JSON Schema of any recipe: it is of one of the kinds."""
    address = f"{base_url}/api/v1/recipes"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{address}/schema",
        "title": "Recipe",
        "type": "object",
        "required": ["kind"],
        "oneOf": [{"$ref": f"{address}/{name}/schema"} for name in kinds()],
    }
