"""From pages to prose: the main content of HTML, and the text of manual pages."""

from __future__ import annotations

import re

from headwater.corpora.program.operators.documents import Documents
from headwater.corpora.program.operators.manual import is_manual_page, manual_text

_MIN_SHARE = 0.02
"""Main content that is a smaller part of a page's text than this is a wrong guess."""
_MIN_CHARACTERS = 80
# What no heuristic needs to guess, for it says so itself.
_SKIPPED = [
    "nav",
    "[role=navigation]",
    "[role=search]",
    "[aria-hidden=true]",
    ".headerlink",
    ".breadcrumb",
    ".breadcrumbs",
]


_DEEPEST = 3000
# Of elements that end only where it is said: parsers close a <p> or <li> by themselves.
_NESTING = re.compile(
    r"<(/?)(?:div|span|table|[uod]l|section|article|main|header|footer|aside|nav|form|blockquote|center|font|details|figure"
    r"|fieldset|b|i|u|em|strong|small|big|sub|sup|code|pre|a|s|q|ins|del|label|button|svg|g|math|select|object)(?=[\s/>])",
    re.IGNORECASE,
)


def is_too_deep(html: str) -> bool:
    """Whether elements nest as no page's do: time to extract grows with the square of that."""
    depth = 0
    for match in _NESTING.finditer(html):
        depth = max(0, depth - 1) if match[1] else depth + 1
        if depth > _DEEPEST:
            return True
    return False


def html_text(html: str) -> str:
    """The main content of a page as plain text, paragraphs parted by empty lines; all of its text where it has no main content."""
    from resiliparse.extract.html2text import extract_plain_text

    main = str(
        extract_plain_text(
            html,
            preserve_formatting=True,
            main_content=True,
            list_bullets=True,
            alt_texts=False,
            skip_elements=_SKIPPED,
        )
    ).strip()
    if len(main) >= _MIN_CHARACTERS:
        return main
    whole = str(extract_plain_text(html, preserve_formatting=True, main_content=False, alt_texts=False)).strip()
    return main if main and len(main) >= len(whole) * _MIN_SHARE and len(whole) > 20 * _MIN_CHARACTERS else whole


class Extract:
    """Texts that are HTML or manual pages become what they say; others stay. Reason: ``extract:empty`` where a page has no text, ``extract:too_deep`` where its elements nest by the thousand.

    ``layout`` is ``html``, ``man`` or ``auto``.
    """

    name = "extract"

    def __init__(self, layout: str = "auto") -> None:
        self._layout = layout

    def __call__(self, documents: Documents) -> None:
        for row in documents.staying():
            text = documents.texts[row]
            layout = self._layout if self._layout != "auto" else _layout_of(text)
            if layout == "html" and is_too_deep(text):
                documents.drop(row, f"{self.name}:too_deep")
                continue
            if layout == "html":
                documents.texts[row] = html_text(text)
            elif layout == "man":
                documents.texts[row] = manual_text(text)
            else:
                continue
            documents.tallies[f"{self.name}.{layout}"] += 1
            if not documents.texts[row].strip():
                documents.drop(row, f"{self.name}:empty")


def _layout_of(text: str) -> str | None:
    head = text[:1024].lstrip("\ufeff \t\r\n").lower()
    if (
        head.startswith(("<!doctype html", "<html"))
        or "<body" in head
        or (head.startswith("<?xml") and "<html" in head)
    ):
        return "html"
    return "man" if is_manual_page(text) else None
