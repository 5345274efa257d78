"""Write docs/settings.md, errors.md, scanning.md and access.md from what the code declares and the tests hold it to; ``--check`` only says whether they lag."""

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
from headwater.scanning import ALL_RULES, RULES_VERSION
from headwater.scanning.allowed_imports import ALLOWED
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


def access_page() -> str:
    """Who may do what: the table that the matrix of tests is compared with."""
    sys.path.insert(0, str(DOCS.parent))
    from tests.access.table import read_table  # noqa: PLC0415 -- the tests are no package that is installed

    table = read_table()
    lines = [
        "# Who may do what",
        "",
        "<!-- written by tools/generated_docs.py; change tests/access/table.toml instead -->",
        "",
        "Every route, and what each caller gets, by rule. `tests/access/test_matrix.py` asks all of it over HTTP: a route that is not here fails it.",
        "",
        "| caller | who that is |",
        "|---|---|",
        *(f"| {who} | {text} |" for who, text in table.who_is.items()),
        "",
        "| answer | what it means |",
        "|---|---|",
        *(f"| {word} | {text} |" for word, text in table.words.items()),
    ]
    for rule in table.rules:
        lines += ["", f"## {rule.name}", "", rule.what, ""]
        lines += [f"| | {' | '.join(table.who)} |", "|---" * (len(table.who) + 1) + "|"]
        for visibility, answers in rule.answers.items():
            lines.append(f"| {visibility} | {' | '.join(answers[who] for who in table.who)} |")
        lines += ["", *(f"- `{name}`" for name in rule.routes)]
    return "\n".join(lines) + "\n"


def scanning_page() -> str:
    """What the file gate's judges find, rule by rule, and what a pickle may import."""
    lines = [
        "# What files are judged by",
        "",
        "<!-- written by tools/generated_docs.py; change src/headwater/scanning/rules.py instead -->",
        "",
        "A verdict is the worst of a file's findings; none is *clean*. *Suspicious* files are held back: owners and administrators see them, others get",
        "them by an explicit step. *Refused* files never become part of a repository. Decision [50](decisions/0050-allow-list-or-quarantine.md) has the reasons.",
        "",
        f"Version of all rules together: `{RULES_VERSION}`. When it changes, files are judged again.",
        "",
        "| rule | version | verdict | what was found | what to do |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{rule.id}` | {rule.version} | {rule.verdict.name.lower()} | {_cell(rule.says)} | {_cell(rule.advice)} |"
        for rule in sorted(ALL_RULES.values(), key=lambda rule: rule.id)
    ]
    lines += ["", "## What a pickle may import", "", "Everything else makes a file suspicious (`pickle.import`).", ""]
    lines += [
        f"- `{module}`: {', '.join(f'`{name}`' for name in sorted(ALLOWED[module]))}" for module in sorted(ALLOWED)
    ]
    return "\n".join(lines) + "\n"


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
        if not re.search(r"\.(migrations|__main__|program)(\.|$)", module.name):
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


PAGES: dict[str, typing.Callable[[], str]] = {
    "settings.md": settings_page,
    "errors.md": errors_page,
    "scanning.md": scanning_page,
    "access.md": access_page,
}


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
