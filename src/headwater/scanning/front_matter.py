"""A README in two: the YAML between two lines of dashes at its very start, and the text below."""

from __future__ import annotations

import re

# As huggingface_hub finds it (repocard.py, REGEX_YAML_BLOCK), so that a client's edit and our reading agree.
_OPENING = re.compile(r"\s*---(?:\r\n|\r|\n)")
_CLOSING = re.compile(r"(?:\A|\r\n|\r|\n)---[ \t]*(?:\r\n|\n|\Z)")


def split(readme: str) -> tuple[str | None, str, int]:
    """The front matter (None when there is none), the text below it, and the line that the front matter starts on, from 1."""
    readme = readme.removeprefix("\ufeff")
    opening = _OPENING.match(readme)
    if opening is None:
        return None, readme, 1
    rest = readme[opening.end() :]
    closing = _CLOSING.search(rest)
    if closing is None:
        return None, readme, 1
    return rest[: closing.start()], rest[closing.end() :], opening.group().count("\n") + 1
