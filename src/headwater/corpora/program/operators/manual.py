"""The text of manual pages: enough of roff, man(7) and mdoc(7) to read them as prose; tables and pictures are left out."""

from __future__ import annotations

import re

_MACRO = re.compile(r"^[.'][ \t]*([A-Za-z][A-Za-z0-9]{0,3}|\\\"|\\})?[ \t]*(.*)$")
_PAGE = re.compile(r"^[.'](?:TH|Dd|Dt|so)\b", re.MULTILINE)
_STRINGS = {"(aq": "'", "(dq": '"', "(em": "—", "(en": "–", "(bu": "•", "(co": "©", "(rg": "®", "(lq": "“", "(rq": "”", "(oq": "‘", "(cq": "’", "(hy": "-", "(mi": "-", "(ha": "^", "(ti": "~", "(rs": "\\", "(mu": "×", "(de": "°", "(->": "→", "(<-": "←", "(>=": "≥", "(<=": "≤", "(tm": "™", "(:a": "ä", "(:o": "ö", "(:u": "ü", "(ss": "ß"}  # fmt: skip
_ESCAPE = re.compile(
    r"""\\(?:
      f(?:\([A-Za-z0-9]{2}|\[[^\]]{0,99}\]|.)            # font
    | s(?:[-+]?\d{1,2}|\([-+]?\d\d|\[[^\]]{0,99}\])      # size
    | [*n](?:\((?P<s2>..)|\[(?P<sl>[^\]]{0,99})\]|(?P<s1>.)) # strings and registers
    | (?P<two>\(..)                                   # a character by two letters
    | \[(?P<long>[^\]]{1,99})\]                           # or by more
    | [hvwlLDzoXbNxk]'[^']{0,999}'                         # motions and drawings
    | (?P<space>[ ~0])
    | (?P<dash>-)
    | (?P<tick>['`])
    | (?P<slash>[e\\])
    | [&|^)/,%:!cdurtap]
    | (?P<brace>[{}])
    )""",
    re.VERBOSE,
)
_SAID = frozenset(["B", "I", "R", "BR", "RB", "IR", "RI", "BI", "IB", "SM", "SB"])
_ALTERNATING = frozenset(["BR", "RB", "IR", "RI", "BI", "IB"])
_MDOC_SAID = frozenset(
    [
        "Nm",
        "Nd",
        "Fl",
        "Ar",
        "Op",
        "Oo",
        "Oc",
        "Xr",
        "Em",
        "Sy",
        "Li",
        "Ql",
        "Dq",
        "Dv",
        "Er",
        "Ev",
        "Fa",
        "Fn",
        "Ft",
        "Va",
        "Vt",
        "Pa",
        "Cm",
        "Ic",
        "Ad",
        "An",
        "Aq",
        "Bq",
        "Brq",
        "Pq",
        "Qq",
        "Sq",
        "Lk",
        "Mt",
        "No",
        "Ns",
        "Tn",
        "Ux",
        "Bx",
        "Fx",
        "Nx",
        "Ox",
        "St",
        "Cd",
        "In",
        "Lb",
        "Rv",
        "Ex",
        "Do",
        "Dc",
        "Po",
        "Pc",
        "So",
        "Sc",
        "Qo",
        "Qc",
    ]
)
_BREAKS = frozenset(["PP", "P", "LP", "HP", "sp", "Pp", "br", "RS", "RE", "Bl", "El", "Bd", "Ed", "in", "ti"])
_CALLABLE = re.compile(r"^[A-Z][a-z]{1,2}$")


def is_manual_page(text: str) -> bool:
    return _PAGE.search(text[:8192]) is not None and text.lstrip()[:1] in (".", "'")


def manual_text(source: str) -> str:
    """What a reader of the page sees, unwrapped: one line a paragraph. Nothing where the page only refers to another (``.so``)."""
    paragraphs: list[str] = []
    words: list[str] = []
    as_is = in_table = heading_next = False
    name = ""

    def end_paragraph() -> None:
        if words:
            paragraphs.append(("\n" if as_is else " ").join(words).strip())
            words.clear()

    for raw in source.replace("\r\n", "\n").replace("\\\n", "").split("\n"):
        line = raw.rstrip()
        if not line.startswith((".", "'")):
            line = _plain(line)
            if in_table:
                continue
            if not line.strip():
                end_paragraph()
            elif heading_next:
                paragraphs.append(line.strip())
                heading_next = False
            else:
                words.append(line if as_is else line.strip())
            continue
        match = _MACRO.match(line)
        macro, rest = (match[1] or "", match[2]) if match else ("", "")
        if macro in ("TS", "TE", "PS", "PE", "EQ", "EN"):
            in_table = macro in ("TS", "PS", "EQ")
        elif macro in ("SH", "SS", "Sh", "Ss"):
            end_paragraph()
            title = " ".join(_arguments(rest))
            heading_next = not title
            if title:
                paragraphs.append(title)
        elif macro in ("nf", "EX", "fi", "EE"):
            end_paragraph()
            as_is = macro in ("nf", "EX")
        elif macro in ("TP", "TQ"):
            end_paragraph()
        elif macro in ("IP", "It"):
            end_paragraph()
            arguments = _arguments(rest)[:1] if macro == "IP" else _mdoc(rest, name)
            words.extend(argument for argument in arguments if argument not in ("•", "-", "*", "o"))
        elif macro in _SAID:
            arguments = _arguments(rest)
            words.append(("" if macro in _ALTERNATING else " ").join(arguments))
        elif macro in _MDOC_SAID:
            if macro == "Nm":
                name = next(iter(_arguments(rest)), name)
                words.extend(_mdoc(rest, name) or [name])
            else:
                words.extend(_mdoc(f"{macro} {rest}", name))
        elif macro in ("UR", "MT", "URL"):
            words.extend(_arguments(rest)[:1])
        elif macro in _BREAKS:
            end_paragraph()
        elif macro in ("de", "ig", "de1", "am"):
            in_table = True  # until the line that ends the definition
        elif not macro and line.startswith(".."):
            in_table = False
    end_paragraph()
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _plain(text: str) -> str:
    comment = text.find('\\"')
    if comment >= 0:
        text = text[:comment]
    return _ESCAPE.sub(_spoken, text).replace("\\", "") if "\\" in text else text


def _spoken(match: re.Match[str]) -> str:
    if match["two"]:
        return _STRINGS.get(match["two"], "")
    if match["long"]:
        long = match["long"]
        if (
            re.fullmatch(r"u[0-9A-Fa-f]{4,6}", long)
            and int(long[1:], 16) < 0x110000
            and not 0xD800 <= int(long[1:], 16) < 0xE000
        ):
            return chr(int(long[1:], 16))
        return _STRINGS.get(f"({long}", "")
    if match["s2"] or match["sl"]:
        return {"Tm": "™", "R": "®", "lq": "“", "rq": "”", "Aq": "'"}.get(match["s2"] or match["sl"], "")
    if match["space"]:
        return " "
    if match["dash"]:
        return "-"
    return match["tick"] or ("\\" if match["slash"] else "")


def _arguments(rest: str) -> list[str]:
    found = re.findall(r'"((?:[^"]|"")*)"?|((?:\\ |\\.|[^\s"])\S*)', rest)
    return [text for quoted, bare in found if (text := _plain(quoted.replace('""', '"') if quoted else bare))]


def _mdoc(rest: str, name: str) -> list[str]:
    """The words of an mdoc line; macros called within it are left out, flags get their dash."""
    said: list[str] = []
    flag = False
    for argument in _arguments(rest):
        if _CALLABLE.match(argument) and (argument in _MDOC_SAID or argument in ("Pf", "Ap", "Ta")):
            if argument == "Nm" and name:
                said.append(name)
            flag = argument == "Fl"
            continue
        said.append(f"-{argument}" if flag else argument)
        flag = False
    return said
