"""Jupyter notebooks as safe HTML: text, code and the outputs that need no script to be seen."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import orjson

from headwater.hub.preview.tables import CannotPreview

MAX_BYTES = 16 << 20
MAX_CELLS = 500
MAX_TEXT_CHARS = 100_000
MAX_IMAGE_CHARS = 2_000_000
MAX_SECONDS = 2.0  # of this thread's own processor time for the whole; what comes then is shown as it was written

_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def notebook(data: bytes, *, link_base: str | None = None) -> str:
    """``<div class="notebook">`` with a ``div.cell`` for each cell: ``div.cell-in`` and ``div.cell-out``.

    Raises:
        CannotPreview: it is no notebook of format 3 or 4, or too large.
    """
    if len(data) > MAX_BYTES:
        raise CannotPreview(f"notebooks of more than {MAX_BYTES >> 20} MiB are not shown")
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise CannotPreview("it is no JSON") from exc
    cells = _cells_of(found)
    if cells is None:
        raise CannotPreview("it is no Jupyter notebook")
    language, deadline = _language_of(found), time.thread_time() + MAX_SECONDS
    parts = [_cell(cell, language, link_base, deadline) for cell in cells[:MAX_CELLS] if isinstance(cell, dict)]
    return '<div class="notebook">' + "".join(parts) + "</div>"


def _cells_of(found: Any) -> Sequence[Any] | None:
    if not isinstance(found, dict):
        return None
    cells = found.get("cells")
    if cells is None and isinstance(found.get("worksheets"), list):  # format 3
        sheets = [sheet for sheet in found["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets for cell in sheet.get("cells", []) if isinstance(sheet.get("cells"), list)]
    return cells if isinstance(cells, list) else None


def _language_of(found: dict[str, Any]) -> str:
    metadata = found.get("metadata")
    info = metadata.get("language_info") if isinstance(metadata, dict) else None
    name = info.get("name") if isinstance(info, dict) else None
    return name if isinstance(name, str) else "python"


def _cell(cell: dict[str, Any], language: str, link_base: str | None, deadline: float) -> str:
    source = _text(cell.get("source", cell.get("input")))
    left = deadline - time.thread_time()
    if left <= 0:
        return f'<div class="cell">{_plain(source)}</div>'
    if cell.get("cell_type") == "code":
        from headwater.hub.preview import code

        shown = f'<div class="cell-in"><pre class="hl"><code>{code.coloured(source, language, max_seconds=min(0.3, left))}</code></pre></div>'
        outputs = cell.get("outputs")
        inner = "".join(_outputs(outputs[:100], link_base, deadline)) if isinstance(outputs, list) else ""
        return f'<div class="cell">{shown}{f"""<div class="cell-out">{inner}</div>""" if inner else ""}</div>'
    if cell.get("cell_type") in ("markdown", "heading"):
        from headwater.hub import markdown

        if cell.get("cell_type") == "heading":
            source = "#" * min(6, cell["level"] if isinstance(cell.get("level"), int) else 1) + " " + source
        return f'<div class="cell prose">{markdown.render(source, link_base=link_base)}</div>'
    return f'<div class="cell"><pre class="plain">{escape(source)}</pre></div>'


def _outputs(outputs: Sequence[Any], link_base: str | None, deadline: float) -> Iterator[str]:
    for output in outputs:
        if not isinstance(output, dict) or time.thread_time() > deadline:
            continue
        if output.get("output_type") == "stream":
            yield _plain(_text(output.get("text")))
        elif output.get("output_type") in ("error", "pyerr"):
            yield _plain(_text(output.get("traceback"), joined_by="\n"))
        else:
            data = output.get("data")
            yield _best_of(data if isinstance(data, dict) else output, link_base)


def _best_of(data: dict[str, Any], link_base: str | None) -> str:
    """The richest form that is safe."""
    for kind, name in (("image/png", "png"), ("image/jpeg", "jpeg"), ("image/gif", "gif")):
        content = _text(data.get(kind, data.get(name)), limit=MAX_IMAGE_CHARS)
        if content and _BASE64.fullmatch(content):
            packed = "".join(content.split())
            return f'<img src="data:{kind};base64,{packed}" alt="" loading="lazy">'
    for kind in ("text/html", "html"):
        if kind in data:
            from headwater.hub.markdown import sanitise

            return sanitise(_text(data[kind]), link_base=link_base)
    for kind in ("text/markdown", "text/latex", "latex"):
        if kind in data:
            from headwater.hub import markdown

            return markdown.render(_text(data[kind]), link_base=link_base)
    if "application/json" in data:
        return _plain(orjson.dumps(data["application/json"], option=orjson.OPT_INDENT_2).decode()[:MAX_TEXT_CHARS])
    return _plain(_text(data.get("text/plain", data.get("text"))))


def _plain(text: str) -> str:
    shown = _ANSI.sub("", text)
    return f'<pre class="plain">{escape(shown)}</pre>' if shown.strip() else ""


def _text(value: Any, *, joined_by: str = "", limit: int = MAX_TEXT_CHARS) -> str:
    if isinstance(value, list):
        value = joined_by.join(part for part in value if isinstance(part, str))
    return value[:limit] if isinstance(value, str) else ""
