"""What kinds of runs there are: each context above registers its own, once for a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from headwater.compute.models import Problem

if TYPE_CHECKING:
    from headwater.compute.recipe import Recipe
    from headwater.compute.rows import Run
    from headwater.db import Tx
    from headwater.kernel import Actor, RepoId

Check = Callable[["Tx", "Actor", "Recipe"], list[Problem]]
OnEnd = Callable[["Tx", "Run"], None]


@dataclass(frozen=True)
class Kind:
    """One kind of work.

    Args:
        model: a pydantic model of what stands under ``with:``, or its place as ``module:Class``; it forbids extra fields.
        program: the module that is started as ``python -m``; it alone imports what the work needs.
        extra: of ``headwater[...]``, that has what the program imports. ``needs`` are modules by which its presence is known.
        check: what of a recipe cannot work, asked before anything runs, with the actor's own rights.
        grants: what its runs' tokens reach beside inputs and outputs, as pairs of an action and a repository. A token never reaches
            more than whoever submitted the run.
        output_type: what a new output repository is where its name does not say: ``model``, ``dataset`` or ``space``.
        panel: a template that the run's page includes, with ``panel_data(tx, actor, run)`` as ``panel``. ``panel_shows`` are the parts
            of a result that it shows, so that the page need not say them again.
        example: a recipe to begin from, in which ``$model``, ``$dataset``, ``$owner`` and ``$name`` are filled in. ``example_of`` are the
            types of repositories whose pages offer it.
    """

    name: str
    model: Any
    program: str
    extra: str = ""
    needs: tuple[str, ...] = ()
    check: Check | None = None
    grants: Callable[[Tx, Run], Sequence[tuple[str, RepoId]]] | None = None
    output_type: str = "model"
    panel: str = ""
    panel_data: Callable[[Tx, Actor, Run], Any] | None = None
    panel_shows: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)  # by language tag: what people call it
    example: str = ""
    example_of: tuple[str, ...] = ()

    def load_model(self) -> Any:
        if not isinstance(self.model, str):
            return self.model
        module, _, name = self.model.partition(":")
        return getattr(import_module(module), name)

    def missing(self) -> tuple[str, ...]:
        """Modules that the program needs and that are not installed beside the server."""
        return tuple(name for name in self.needs if find_spec(name.partition(".")[0]) is None)


_kinds: dict[str, Kind] = {}
_on_end: dict[str, dict[str, OnEnd]] = {}


def register(kind: Kind) -> None:
    """Make a kind known; again, for another site of the same process, is the same."""
    _kinds[kind.name] = kind


def kinds() -> Mapping[str, Kind]:
    return dict(sorted(_kinds.items()))


def find_kind(name: str) -> Kind | None:
    return _kinds.get(name)


def get_kind(name: str) -> Kind:
    """Raises: UnknownKind."""
    found = _kinds.get(name)
    if found is None:
        from headwater.compute.errors import UnknownKind

        raise UnknownKind(name, list(_kinds))
    return found


def on_end(kind: str, handler: OnEnd) -> None:
    """Have ``handler(tx, run)`` called in the transaction that ends a run of this kind (``*``: of any), however it ended."""
    _on_end.setdefault(kind, {})[f"{handler.__module__}.{handler.__qualname__}"] = handler


def end_handlers(kind: str) -> list[OnEnd]:
    return [*_on_end.get(kind, {}).values(), *_on_end.get("*", {}).values()]
