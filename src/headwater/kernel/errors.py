"""The one base of every refusal that a caller can act on."""

from enum import Enum
from typing import ClassVar


class Kind(Enum):
    """What sort of refusal this is; each door maps it to its own dialect."""

    BAD_INPUT = "bad_input"  # 400
    NOT_AUTHENTICATED = "not_authenticated"  # 401
    NOT_ALLOWED = "not_allowed"  # 403
    NOT_FOUND = "not_found"  # 404
    NO_SUCH_METHOD = "no_such_method"  # 405
    TOO_SLOW = "too_slow"  # 408
    CONFLICT = "conflict"  # 409
    GONE = "gone"  # 410
    PRECONDITION_FAILED = "precondition_failed"  # 412
    TOO_LARGE = "too_large"  # 413
    RANGE_NOT_SATISFIABLE = "range_not_satisfiable"  # 416
    UNPROCESSABLE = "unprocessable"  # 422
    TOO_MANY = "too_many"  # 429
    BROKEN = "broken"  # 500: no refusal but a bug of ours; only the web layer makes one
    NOT_SERVED = "not_served"  # 501
    UNAVAILABLE = "unavailable"  # 503
    FULL = "full"  # 507


class HeadwaterError(Exception):
    """A refusal: what happened, to which thing, and what to do next.

    Subclasses set ``code`` (stable, listed in docs/errors.md, safe for scripts to match) and ``kind``.
    ``headers`` are facts that every door passes on with the refusal (``X-Repo-Commit`` of a missing file).
    """

    code: ClassVar[str] = "error"
    kind: ClassVar[Kind] = Kind.BAD_INPUT

    def __init__(self, message: str, *, headers: dict[str, str] | None = None) -> None:
        self.message = message
        self.headers = headers or {}
        super().__init__(message)
