"""Model cards of what came out: where it comes from is written from the run, never by hand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from headwater.compute import charts
from headwater.hub.cards import licences
from headwater.scanning import front_matter, strict_yaml

_INHERITED = ("license", "license_name", "license_link", "language", "pipeline_tag")


@dataclass(frozen=True)
class Origin:
    """A repository at a commit, and what its own card says."""

    repo: str
    commit: str
    said: Mapping[str, Any]


def read_metadata(folder: Path) -> dict[str, Any]:
    """What a repository's card says of itself, as far as it can be read."""
    path = folder / "README.md"
    if not path.is_file():
        return {}
    text, _, _ = front_matter.split(path.read_text(errors="replace"))
    if text is None:
        return {}
    try:
        found = strict_yaml.load(text)
    except strict_yaml.BadYaml:
        return {}
    return found if isinstance(found, dict) else {}


def metadata(
    base: Origin,
    *,
    relation: str | None,
    datasets: Sequence[str] = (),
    licence: str | None,
    tags: Sequence[str],
    library: str,
) -> dict[str, Any]:
    """Front matter that is computed. What the base's card says of licence and languages holds for what was made of it."""
    found: dict[str, Any] = {name: base.said[name] for name in _INHERITED if name in base.said}
    if licence is not None:
        found = {name: value for name, value in found.items() if not name.startswith("license")}
        found |= licences.card_fields(licence)
    found["base_model"] = base.repo
    if relation is not None:
        found["base_model_relation"] = relation
    if datasets:
        found["datasets"] = list(datasets)
    found["library_name"] = library
    found.setdefault("pipeline_tag", "text-generation")
    found["tags"] = list(tags)
    return found


def write(folder: Path, meta: Mapping[str, Any], lines: Sequence[str]) -> None:
    head = yaml.safe_dump(dict(meta), allow_unicode=True, sort_keys=False).strip()
    (folder / "README.md").write_text("\n".join(["---", head, "---", "", *lines, ""]))


def table(rows: Sequence[tuple[str, str]]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {name} | {cell(value)} |" for name, value in rows)]


def cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def prose(text: str) -> str:
    """Words of a recipe, which begin no markup of their own."""
    return re.sub(r"[<>]", lambda found: {"<": "&lt;", ">": "&gt;"}[found[0]], text.strip())


def draw(title: str, points: Sequence[tuple[int, float]]) -> str:
    """A curve as an SVG that stands for itself."""
    curve = charts.draw(title, [(title, list(points))])
    left, top, width, height = 56, 24, curve.width, curve.height
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 12} {top + height + 28}" '
            'font-family="sans-serif" font-size="11" fill="#667">'
        ),
        f'<text x="{left}" y="14" fill="#334">{title}</text>',
    ]
    for tick in curve.ticks:
        lines += [
            f'<line x1="{left}" x2="{left + width}" y1="{top + tick.y}" y2="{top + tick.y}" stroke="#8888" stroke-width=".5"/>',
            f'<text x="{left - 6}" y="{top + tick.y + 4}" text-anchor="end">{tick.label}</text>',
        ]
    for line in curve.lines:
        lines += [
            f'<polyline transform="translate({left} {top})" points="{part}" fill="none" stroke="#2563eb" stroke-width="1.5"/>'
            for part in line.parts
        ]
    below = top + height + 18
    lines += [
        f'<text x="{left}" y="{below}">{curve.first_step}</text>',
        f'<text x="{left + width}" y="{below}" text-anchor="end">{curve.last_step}</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
