"""Why a corpus cannot be built, in words for its author."""

from __future__ import annotations


class CannotBuild(Exception):
    """``code`` is stable; each of ``problems`` says what is wrong where, and what to do."""

    def __init__(self, code: str, problems: list[str] | str) -> None:
        self.code = code
        self.problems = [problems] if isinstance(problems, str) else problems
        super().__init__("\n".join(self.problems))
