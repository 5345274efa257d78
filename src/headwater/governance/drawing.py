"""A lineage as a drawing: boxes in columns from sources to what is served, lines between them. Pure; words are cut, never numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 216, 52
GAP_X, GAP_Y = 56, 16
MARGIN = 8
MOST_LETTERS = 27


@dataclass(frozen=True)
class Thing:
    """What is to be drawn. ``href`` is "" for what is not here; ``kind`` chooses its colour, ``note`` stands below its name."""

    id: str
    name: str
    note: str
    kind: str
    href: str
    is_self: bool = False


@dataclass(frozen=True)
class Box:
    thing: Thing
    x: int
    y: int
    name: str
    note: str


@dataclass(frozen=True)
class Line:
    """``path`` as SVG writes it; ``way`` chooses how it is drawn."""

    path: str
    way: str
    title: str


@dataclass(frozen=True)
class Drawing:
    boxes: Sequence[Box]
    lines: Sequence[Line]
    width: int
    height: int
    box_width: int = WIDTH
    box_height: int = HEIGHT


def draw(things: Sequence[Thing], arrows: Sequence[tuple[str, str, str, str]]) -> Drawing:
    """``arrows`` are (child, parent, way, title); parents stand left of their children, as far as nothing goes in circles."""
    known = {thing.id: thing for thing in things}
    parents: dict[str, list[str]] = {thing.id: [] for thing in things}
    for child, parent, _, _ in arrows:
        if child in known and parent in known and child != parent:
            parents[child].append(parent)
    column = _columns(list(known), parents)
    _draw_near(column, parents)
    rows = _rows(column, parents)
    boxes = {
        name: Box(
            known[name],
            MARGIN + column[name] * (WIDTH + GAP_X),
            MARGIN + rows[name] * (HEIGHT + GAP_Y),
            cut(known[name].name),
            cut(known[name].note),
        )
        for name in known
    }
    lines = [
        Line(_curve(boxes[parent], boxes[child]), way, title)
        for child, parent, way, title in arrows
        if child in boxes and parent in boxes and child != parent
    ]
    width = 2 * MARGIN + (max(column.values(), default=0) + 1) * (WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + (max(rows.values(), default=0) + 1) * (HEIGHT + GAP_Y) - GAP_Y
    return Drawing(tuple(boxes.values()), lines, width, height)


def _columns(names: Sequence[str], parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """One to the right of the last of its parents; a line that closes a circle does not count."""
    found: dict[str, int] = {}
    for start in names:
        stack, path = [start], set()
        while stack:
            name = stack[-1]
            if name in found:
                stack.pop()
                path.discard(name)
                continue
            path.add(name)
            waiting = [each for each in parents[name] if each not in found and each not in path]
            if waiting:
                stack.append(waiting[0])
                continue
            found[name] = max((found[each] + 1 for each in parents[name] if each in found), default=0)
            stack.pop()
            path.discard(name)
    return found


def _draw_near(column: dict[str, int], parents: Mapping[str, Sequence[str]]) -> None:
    """What has no parents stands next to the first of its children, so that lines stay short."""
    children: dict[str, list[int]] = {}
    for child, above in parents.items():
        for parent in above:
            children.setdefault(parent, []).append(column[child])
    for name, of in children.items():
        if not parents[name]:
            column[name] = max(column[name], min(of) - 1)


def _rows(column: Mapping[str, int], parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """As near to the parents as there is room, in their order."""
    rows: dict[str, int] = {}
    for at in sorted(set(column.values())):
        mine = [name for name in column if column[name] == at]
        wish = {name: min((rows[each] for each in parents[name] if each in rows), default=0) for name in mine}
        taken = -1
        for name in sorted(mine, key=lambda each: wish[each]):
            taken = max(taken + 1, wish[name])
            rows[name] = taken
    return rows


def _curve(parent: Box, child: Box) -> str:
    x1, y1 = parent.x + WIDTH, parent.y + HEIGHT // 2
    x2, y2 = child.x, child.y + HEIGHT // 2
    bend = max(GAP_X // 2, abs(x2 - x1) // 2)
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"


def cut(text: str, most: int = MOST_LETTERS) -> str:
    """Wide letters count as two."""
    width = 0
    for at, letter in enumerate(text):
        width += 2 if ord(letter) > 0x2E7F else 1
        if width > most:
            return text[: max(0, at - 1)] + "…"
    return text
