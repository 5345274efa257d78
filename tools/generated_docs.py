"""Write docs/settings.md and docs/errors.md from what the code declares; ``--check`` only says whether they lag."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
import typing
from pathlib import Path

import headwater
from headwater.config import Declared, iter_declared
from headwater.kernel import HeadwaterError
from headwater.web import status_of

DOCS = Path(__file__).parent.parent / "docs"
SECTION_TITLES = {"": "The server itself"}


def settings_page() -> str:
    """Every setting, by section."""
    lines = [
        "# Settings",
        "",
        "<!-- written by tools/generated_docs.py; change the declarations in the code instead -->",
        "",
        "None is needed: an empty configuration starts a useful server on one machine. Each can be set in the environment,",
        "or in `headwater.toml` in the data folder under the name in the second column; the environment wins, flags of",
        "`headwater up` win over both. Anything unknown or unfit is listed, all at once, and nothing is started.",
    ]
    section = None
    for declared in iter_declared():
        if declared.section != section:
            section = declared.section
            title = SECTION_TITLES.get(section, section)
            lines += [
                "",
                f"## {title}",
                "",
                "| environment | headwater.toml | default | meaning |",
                "|---|---|---|---|",
            ]
        lines.append(
            f"| `{declared.variable}` | `{declared.key}` | {_default(declared)} | {_cell(declared.description)} |"
        )
    return "\n".join(lines) + "\n"


def _default(declared: Declared) -> str:
    value = declared.default
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{value}`"


def errors_page() -> str:
    """Every refusal there is, by the package that declares it."""
    lines = [
        "# Errors",
        "",
        "<!-- written by tools/generated_docs.py; change the classes in the code instead -->",
        "",
        "Every refusal has a stable `code` that scripts may match. The HTTP status is the usual one; a door that speaks",
        "somebody else's protocol may choose another (docs/protocols/). The text names what happened and what to do next;",
        "`…` stands for a fact of the case.",
    ]
    package = None
    for kind in sorted(all_errors(), key=lambda kind: (_package(kind), kind.code)):
        if _package(kind) != package:
            package = _package(kind)
            lines += ["", f"## {package}", "", "| code | status | text |", "|---|---|---|"]
        lines.append(f"| `{kind.code}` | {_status(kind)} | {_cell(_text(kind))} |")
    return "\n".join(lines) + "\n"


def all_errors() -> list[type[HeadwaterError]]:
    """Every subclass of ``HeadwaterError`` in the package, each code once."""
    for module in pkgutil.walk_packages(headwater.__path__, "headwater."):
        if not re.search(r"\.(migrations|__main__)(\.|$)", module.name):
            importlib.import_module(module.name)
    found: dict[str, type[HeadwaterError]] = {}
    waiting = [HeadwaterError]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            if not kind.__module__.startswith("headwater.") or "code" not in vars(kind):
                continue
            if found.setdefault(kind.code, kind) is not kind:
                sys.exit(f"the code {kind.code!r} is used by {found[kind.code].__qualname__} and {kind.__qualname__}")
    return list(found.values())


def _package(kind: type) -> str:
    return kind.__module__.split(".")[1]


def _status(kind: type[HeadwaterError]) -> int:
    return status_of(HeadwaterError.__new__(kind))


def _text(kind: type[HeadwaterError]) -> str:
    """The message as it stands in the code, or what the class says about itself."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kind)))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__" and node.args:
            text = _template(node.args[0])
            if re.search(r"\w{3}", text):
                return text
    message = inspect.signature(kind.__init__).parameters.get("message")
    if message is not None and isinstance(message.default, str):
        return message.default
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).capitalize()
    return " ".join((vars(kind).get("__doc__") or f"{words}: the text says what is wrong.").split())


def _template(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_template(value) for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _template(left) + _template(right)
        case _:
            return "…"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


PAGES: dict[str, typing.Callable[[], str]] = {"settings.md": settings_page, "errors.md": errors_page}


def main(arguments: list[str]) -> int:
    lagging = []
    for name, render in PAGES.items():
        path, text = DOCS / name, render()
        if path.exists() and path.read_text() == text:
            continue
        lagging.append(name)
        if "--check" not in arguments:
            path.write_text(text)
            print(f"wrote docs/{name}")
    if lagging and "--check" in arguments:
        print(f"docs/{', docs/'.join(lagging)} lag behind the code: run `python tools/generated_docs.py`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
