"""Formats that say where their parts lie: the parts must lie inside, side by side, and leave nothing over.

What is not told of could be anything: a second file for another reader, or what was cut out and should not be there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headwater.scanning import rules
from headwater.scanning.models import Finding, Rule, printable


class Wrong(Exception):
    """The file breaks ``rule`` here; nothing further can be said."""

    def __init__(self, rule: Rule, what: str = "", offset: int | None = None) -> None:
        self.rule, self.what, self.offset = rule, printable(what), offset

    @property
    def finding(self) -> Finding:
        return Finding(self.rule, self.what, self.offset)


@dataclass(frozen=True)
class Part:
    name: str
    start: int
    end: int


def require_tiled(parts: Iterable[Part], start: int, end: int, *, most_between: int = 0) -> None:
    """That ``parts`` cover [start, end) without overlap and with at most ``most_between`` bytes of padding at each seam.

    Empty parts lie anywhere inside.

    Raises:
        Wrong: a part lies outside, two overlap, or bytes belong to none.
    """
    at = start
    for part in sorted(parts, key=lambda part: (part.start, part.end)):
        if not start <= part.start <= part.end <= end:
            raise Wrong(rules.WEIGHTS_OUTSIDE, part.name, part.start)
        if part.start == part.end:
            continue
        if part.start < at:
            raise Wrong(rules.WEIGHTS_OVERLAP, part.name, part.start)
        if part.start - at > most_between:
            raise Wrong(rules.WEIGHTS_HOLE, f"{part.start - at} bytes before {part.name}", at)
        at = part.end
    if end - at > most_between:
        raise Wrong(rules.WEIGHTS_TRAILING, f"{end - at} bytes", at)
