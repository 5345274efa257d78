"""LaTeX formulas as MathML. The converter does not escape all it is given, so its answer is taken apart and written anew."""

from __future__ import annotations

import re
from html import escape
from xml.etree import ElementTree  # noqa: ICN001 - the whole name says more

MAX_CHARS = 4000

_NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
_TAGS = frozenset(
    [
        "math",
        "mrow",
        "mi",
        "mn",
        "mo",
        "ms",
        "mtext",
        "mspace",
        "mfrac",
        "msqrt",
        "mroot",
        "msub",
        "msup",
        "msubsup",
        "munder",
        "mover",
        "munderover",
        "mmultiscripts",
        "mprescripts",
        "none",
        "mtable",
        "mtr",
        "mtd",
        "mlabeledtr",
        "mstyle",
        "mpadded",
        "mphantom",
        "menclose",
        "mfenced",
        "merror",
    ]
)
_ATTRIBUTES = frozenset(
    [
        "display",
        "mathvariant",
        "stretchy",
        "fence",
        "form",
        "separator",
        "lspace",
        "rspace",
        "minsize",
        "maxsize",
        "symmetric",
        "largeop",
        "movablelimits",
        "accent",
        "accentunder",
        "columnalign",
        "rowalign",
        "columnspacing",
        "rowspacing",
        "columnlines",
        "rowlines",
        "linethickness",
        "displaystyle",
        "scriptlevel",
        "width",
        "height",
        "depth",
        "mathsize",
        "mathcolor",
        "notation",
        "open",
        "close",
        "separators",
    ]
)
_VALUE = re.compile(r"[\w .,#%+\-()\[\]{}|/⟨⟩‖⌈⌉⌊⌋]{0,60}")


def to_mathml(latex: str, *, display: bool) -> str | None:
    """A ``<math>`` element that holds nothing but MathML; None for what cannot be converted: show its source then."""
    if len(latex) > MAX_CHARS:
        return None
    from latex2mathml.converter import convert

    try:
        converted = convert(latex, display="block" if display else "inline")
        tree = ElementTree.fromstring(converted)  # noqa: S314 - our own converter's text, without a DTD
        inner = "".join(_written(child) for child in tree)
    except (Exception, RecursionError):  # noqa: BLE001 - the converter raises whatever its tables run into
        return None
    kind = ' display="block"' if display else ""
    return f'<math xmlns="{_NAMESPACE[1:-1]}"{kind} alttext="{escape(latex)}">{inner}</math>'


def _written(node: ElementTree.Element) -> str:
    tag = node.tag.removeprefix(_NAMESPACE)
    if tag not in _TAGS or tag == "math":
        raise ValueError(f"{tag!r} is no element of a formula")
    attributes = "".join(
        f' {name}="{escape(value)}"'
        for name, value in node.attrib.items()
        if name in _ATTRIBUTES and _VALUE.fullmatch(value)
    )
    inner = escape(node.text or "") + "".join(_written(child) + escape(child.tail or "") for child in node)
    return f"<{tag}{attributes}>{inner}</{tag}>"
