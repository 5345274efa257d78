"""Strangers' HTML put in order before a parser meets it: every element closed where it must be, none nested beyond a bound.

A browser's algorithm for broken HTML may copy what is open again and again: 69 kB of ``<b id=1><p><b id=2><p>...`` become 245 MB,
in 35 seconds. So the tags are read here, one pass, and written anew: what is read differently by the parser that follows is
not in it any more, and what it gets is well nested. Nothing here is about safety in a browser: that is the cleaning's task, which comes after.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_DEPTH = 100  # elements inside each other; deeper ones are left out, what is in them stays

MAX_ENDLESS = 20  # tags without an end: to find out takes a look at all that follows. What comes after is text

_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
_SCOPES = frozenset(["table", "td", "th", "caption"])  # what is open outside of these is not closed from inside
# fmt: off
_BLOCKS = frozenset([
    "address", "article", "aside", "blockquote", "center", "details", "dd", "dir", "div", "dl", "dt", "figcaption", "figure", "footer", "header", "hgroup", "hr",
    "li", "main", "menu", "nav", "ol", "p", "pre", "section", "summary", "table", "ul", "h1", "h2", "h3", "h4", "h5", "h6",
])
# fmt: on
_HEADINGS = frozenset(["h1", "h2", "h3", "h4", "h5", "h6"])
# What an element closes when it opens, and what that must lie in to be its own: nothing is looked for beyond it.
_CLOSES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "li": (frozenset(["li"]), frozenset(["ul", "ol"])),
    "dt": (frozenset(["dt", "dd"]), frozenset(["dl"])),
    "dd": (frozenset(["dt", "dd"]), frozenset(["dl"])),
    "tr": (frozenset(["tr", "td", "th", "caption", "colgroup"]), frozenset(["table"])),
    "td": (frozenset(["td", "th", "caption"]), frozenset(["table"])),
    "th": (frozenset(["td", "th", "caption"]), frozenset(["table"])),
    "thead": (frozenset(["thead", "tbody", "tfoot", "tr", "td", "th", "caption", "colgroup"]), frozenset(["table"])),
    "tbody": (frozenset(["thead", "tbody", "tfoot", "tr", "td", "th", "caption", "colgroup"]), frozenset(["table"])),
    "tfoot": (frozenset(["thead", "tbody", "tfoot", "tr", "td", "th", "caption", "colgroup"]), frozenset(["table"])),
    "a": (frozenset(["a"]), _SCOPES),
    "rt": (frozenset(["rt", "rp"]), frozenset(["ruby"])),
    "rp": (frozenset(["rt", "rp"]), frozenset(["ruby"])),
}
_TAG = re.compile(
    r"""<!--(?:>|->|.*?(?:--!?>|\Z))       # a comment
    |<[!?][^>]*(?:>|\Z)|</[^a-zA-Z>][^>]*(?:>|\Z)|</>
    |<(/?)([a-zA-Z][^\s/>]*)((?:[^>"']|"[^"]*"|'[^']*')*+)>
    |<(?=/?[a-zA-Z])                       # what looks like a tag, and has no end""",
    re.VERBOSE | re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>`]+)))?""")


def in_order(html: str, *, kept: frozenset[str], dropped_whole: frozenset[str]) -> str:
    """``html`` with ``kept`` elements only, well nested, at most ``MAX_DEPTH`` deep, about as long as it was.

    Args:
        dropped_whole: elements whose contents go with them; of others that are not kept the contents stay.
    """
    return "".join(_write(html, kept, dropped_whole))


def _write(html: str, kept: frozenset[str], dropped_whole: frozenset[str]) -> Iterator[str]:
    open_names: list[str] = []
    at = n_endless = 0
    while n_endless < MAX_ENDLESS and (match := _TAG.search(html, at)) is not None:
        yield _text(html[at : match.start()])
        at = match.end()
        if match.group() == "<":
            n_endless += 1
            yield "&lt;"
            continue
        closing, name = match.group(1), (match.group(2) or "").lower()
        if name in dropped_whole and not closing:
            end = re.compile(rf"</{re.escape(name)}[^>]*(?:>|\Z)", re.IGNORECASE).search(html, at)
            if name != "embed":
                at = end.end() if end is not None else len(html)
        elif name not in kept:
            continue
        elif closing:
            yield from _close(open_names, frozenset([name]), _SCOPES - _INSIDE.get(name, frozenset()) - {name})
        else:
            if name in _CLOSES:
                yield from _close(open_names, *_CLOSES[name])
            if name in _BLOCKS:
                yield from _close(open_names, frozenset(["p"]), _SCOPES)
            if name in _HEADINGS and open_names and open_names[-1] in _HEADINGS:
                yield f"</{open_names.pop()}>"
            if name in _VOID:
                yield _opening(name, match.group(3))
            elif len(open_names) < MAX_DEPTH:
                open_names.append(name)
                yield _opening(name, match.group(3))
    yield _text(html[at:])
    for name in reversed(open_names):
        yield f"</{name}>"


# Closing a table or a row closes what is open in its cells.
_INSIDE = {name: frozenset(["td", "th", "caption"]) for name in ("table", "tr", "thead", "tbody", "tfoot")}


def _close(open_names: list[str], wanted: frozenset[str], scopes: frozenset[str]) -> Iterator[str]:
    """Close the innermost of ``wanted`` and all in it; for a group (a row and its cells) the outermost one there is."""
    lowest = None
    for depth in range(len(open_names) - 1, -1, -1):
        name = open_names[depth]
        if name in wanted:
            lowest = depth
            if len(wanted) == 1:
                break
        elif name in scopes:
            break
    if lowest is not None:
        while len(open_names) > lowest:
            yield f"</{open_names.pop()}>"


def _text(text: str) -> str:
    return text.replace("<", "&lt;").replace(">", "&gt;")


def _opening(name: str, raw: str) -> str:
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(raw):
        attribute, *values = match.groups()
        found.setdefault(attribute.lower(), next((value for value in values if value is not None), ""))
    written = "".join(
        f' {attribute}="{value.replace(chr(34), "&quot;")}"'
        for attribute, value in found.items()
        if "&" not in attribute
    )
    return f"<{name}{written}>"
