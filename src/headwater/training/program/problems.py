"""Why a run of these kinds ends without what it was to make."""

from __future__ import annotations


class CannotGoOn(Exception):
    """``code`` is a stable word; the message says what happened and what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NotFinite(Exception):
    """The loss, or a gradient, is no number any more."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"{what} at step {step}")
        self.step, self.what = step, what
