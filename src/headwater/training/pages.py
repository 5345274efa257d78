"""What the page of a run of kind ``train`` or ``convert`` adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.compute.naming import page_path
from headwater.web import shell

if TYPE_CHECKING:
    from headwater.compute import Run
    from headwater.db import Tx
    from headwater.kernel import Actor

shell.register_pages("training", Path(__file__).parent)


@dataclass(frozen=True)
class Trained:
    """``mfu`` is None where no peak of the machine is known; ``revisions`` are the checkpoints' branches with their addresses."""

    href: str
    steps: int
    loss: float | None
    tokens: int
    tokens_per_s: float
    device: str
    mfu: float | None
    formula: str
    peak: str
    rows: int
    unused: Mapping[str, int]
    resumed_from: int | None
    revisions: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Written:
    """One file or folder that was written, and how it compares."""

    form: str
    files: str
    size_bytes: int
    perplexity: float
    before: float
    rise: float
    bound: float
    same: float


@dataclass(frozen=True)
class ConvertedPanel:
    href: str
    tokens: int
    written: Sequence[Written]


def trained_of(tx: Tx, actor: Actor, run: Run) -> Trained | None:
    """None while there is no result."""
    told = run.result
    if not told:
        return None
    path = _output(run)
    return Trained(
        href=_href(path, told.get("commit")),
        steps=int(_number(told.get("steps"))),
        loss=_or_none(told.get("loss")),
        tokens=int(_number(told.get("tokens"))),
        tokens_per_s=_number(told.get("tokens_per_s")),
        device=str(told.get("device") or ""),
        mfu=_or_none(told.get("mfu")),
        formula=str(told.get("mfu_formula") or ""),
        peak=str(told.get("peak") or ""),
        rows=int(_number(told.get("rows"))),
        unused={str(why): int(_number(n)) for why, n in _mapping(told.get("unused")).items()},
        resumed_from=None if told.get("resumed_from") is None else int(_number(told["resumed_from"])),
        revisions=[(str(each), f"/{path}/tree/{each}") for each in _list(told.get("revisions"))] if path else [],
    )


def converted_of(tx: Tx, actor: Actor, run: Run) -> ConvertedPanel | None:
    """None while there is no result."""
    told = run.result
    if not told:
        return None
    rows = [_mapping(each) for each in _list(told.get("written"))]
    return ConvertedPanel(
        href=_href(_output(run), told.get("commit")),
        tokens=int(_number(told.get("tokens"))),
        written=[
            Written(
                form=str(each.get("form") or ""),
                files=str(each.get("files") or ""),
                size_bytes=int(_number(each.get("bytes"))),
                perplexity=_number(each.get("perplexity")),
                before=_number(each.get("perplexity_before")),
                rise=_number(each.get("rise")),
                bound=_number(each.get("bound")),
                same=_number(each.get("same_greedy")),
            )
            for each in rows
        ],
    )


def _output(run: Run) -> str:
    return next((page_path(str(each["repo"])) for each in run.resolved.get("outputs", {}).values()), "")


def _href(path: str, commit: Any) -> str:
    return f"/{path}/tree/{commit}" if path and isinstance(commit, str) else ""


def _number(value: Any) -> float:
    """What a program says is its own: anything may stand there."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _or_none(value: Any) -> float | None:
    return _number(value) if isinstance(value, int | float) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
