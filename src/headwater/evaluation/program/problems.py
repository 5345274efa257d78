"""Why an evaluation cannot go on, in words for its author."""

from __future__ import annotations


class CannotEvaluate(Exception):
    """``code`` is stable; ``message`` says what is wrong, and what to do."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)
