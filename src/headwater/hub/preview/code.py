"""Code in colours: pygments' classes around words, with bounds on size and time, for the languages people keep in repositories."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pygments.lexer import Lexer

MAX_CHARS = 200_000
MAX_SECONDS = 1.0

# File endings and fence words, and pygments' name of the language. A list of our own bounds which lexers strangers' text can reach.
_LANGUAGES = {
    "python": "py pyi python python3 py3 ipython",
    "pycon": "pycon",
    "bash": "sh bash zsh shell ksh",
    "console": "console shell-session",
    "json": "json jsonl ndjson ipynb jsonc geojson",
    "yaml": "yaml yml",
    "toml": "toml",
    "ini": "ini cfg conf editorconfig",
    "markdown": "md markdown",
    "html": "html htm",
    "xml": "xml xsd svg",
    "css": "css",
    "scss": "scss",
    "javascript": "js javascript mjs cjs jsx",
    "typescript": "ts typescript tsx",
    "c": "c h",
    "cpp": "cpp cc cxx hpp hh c++ ino",
    "cuda": "cu cuda cuh",
    "rust": "rs rust",
    "go": "go golang",
    "java": "java",
    "kotlin": "kt kotlin",
    "swift": "swift",
    "csharp": "cs csharp c#",
    "ruby": "rb ruby",
    "php": "php",
    "perl": "pl pm perl",
    "lua": "lua",
    "r": "r rscript",
    "julia": "jl julia",
    "scala": "scala",
    "haskell": "hs haskell",
    "ocaml": "ml ocaml",
    "elixir": "ex exs elixir",
    "erlang": "erl erlang",
    "zig": "zig",
    "sql": "sql",
    "diff": "diff patch",
    "docker": "dockerfile docker",
    "make": "makefile make mk",
    "cmake": "cmake",
    "tex": "tex latex bib",
    "jinja": "jinja jinja2 j2",
    "protobuf": "proto protobuf",
    "graphql": "graphql",
    "powershell": "ps1 powershell",
    "batch": "bat batch cmd",
    "vim": "vim",
    "nginx": "nginx",
    "http": "http",
    "mlir": "mlir",
    "llvm": "llvm ll",
    "fortran": "f90 fortran",
    "matlab": "matlab",
}
_NAMES = {word: name for name, words in _LANGUAGES.items() for word in words.split()}


def highlight(text: str, filename: str, *, max_seconds: float = MAX_SECONDS) -> str:
    """``<pre class="hl"><code>`` with pygments' classes; each line is ``<span class="line" id="L3">``. Plain where no language is known.

    Safe: every piece of ``text`` is escaped here.
    """
    lines = "".join(
        f'<span class="line" id="L{number}">{line}</span>\n'
        for number, line in enumerate(_lines(coloured(text, filename, max_seconds=max_seconds)), 1)
    )
    return f'<pre class="hl"><code>{lines}</code></pre>'


def coloured(text: str, language: str, *, max_seconds: float = MAX_SECONDS) -> str:
    """The inside of a ``<code>``. ``language`` is a fence's word or a file's name; no element spans two lines."""
    lexer = None if len(text) > MAX_CHARS else _lexer(_key(language))
    if lexer is None:
        return escape(text)
    return "".join(_spans(text, lexer, time.thread_time() + max_seconds))


def knows(language: str) -> bool:
    """Whether a file's name or a fence's word stands for a language known here."""
    return _key(language) in _NAMES


def _spans(text: str, lexer: Lexer, deadline: float) -> Iterator[str]:
    done = 0
    for at, kind, value in lexer.get_tokens_unprocessed(text):
        if at != done or time.thread_time() > deadline:
            break  # out of time, or a lexer that leaves gaps: what follows goes out plain, and nothing is lost
        done = at + len(value)
        css = _css(kind)
        for i, line in enumerate(value.split("\n")):
            if i:
                yield "\n"
            if line:
                yield f'<span class="{css}">{escape(line)}</span>' if css else escape(line)
    yield escape(text[done:])


@lru_cache(maxsize=256)
def _css(kind: Any) -> str:
    from pygments.token import STANDARD_TYPES

    while kind is not None:
        css = STANDARD_TYPES.get(kind)
        if css is not None:
            return str(css)
        kind = kind.parent
    return ""


@lru_cache(maxsize=32)
def _lexer(key: str) -> Lexer | None:
    name = _NAMES.get(key)
    if name is None:
        return None
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        found: Lexer = get_lexer_by_name(name, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
    return found


def _key(language: str) -> str:
    word = PurePosixPath(language.strip()[:200]).name.casefold()
    if word in _NAMES:
        return word
    return word.rpartition(".")[2]


def _lines(html: str) -> list[str]:
    lines = html.split("\n")
    return lines[:-1] if len(lines) > 1 and not lines[-1] else lines
