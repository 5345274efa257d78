"""Refusals that belong to the transport itself, the statuses of all refusals, and the plain JSON shape of one."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from headwater.kernel import HeadwaterError, Kind

_STATUS = {
    Kind.BAD_INPUT: 400,
    Kind.NOT_AUTHENTICATED: 401,
    Kind.NOT_ALLOWED: 403,
    Kind.NOT_FOUND: 404,
    Kind.NO_SUCH_METHOD: 405,
    Kind.TOO_SLOW: 408,
    Kind.CONFLICT: 409,
    Kind.GONE: 410,
    Kind.PRECONDITION_FAILED: 412,
    Kind.TOO_LARGE: 413,
    Kind.RANGE_NOT_SATISFIABLE: 416,
    Kind.UNPROCESSABLE: 422,
    Kind.TOO_MANY: 429,
    Kind.BROKEN: 500,
    Kind.NOT_SERVED: 501,
    Kind.UNAVAILABLE: 503,
    Kind.FULL: 507,
}


def status_of(error: HeadwaterError) -> int:
    """The HTTP status that a refusal of this kind has, unless a dialect knows better."""
    return _STATUS[error.kind]


def refuse_in_json(request: Request, error: HeadwaterError) -> Response:
    """The one JSON shape of a refusal: ``{"error": message, "code": stable word}``."""
    body = orjson.dumps({"error": error.message, "code": error.code})
    return Response(body, status_of(error), error.headers, "application/json")


class BadAddress(HeadwaterError):
    code = "bad_address"
    kind = Kind.BAD_INPUT

    def __init__(self, why: str) -> None:
        super().__init__(
            f"This address cannot be used: {why}. Nothing is rewritten or guessed; check how it was put together."
        )


class NothingHere(HeadwaterError):
    """No route leads to this path."""

    code = "nothing_here"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("There is nothing at this address. Check how it is spelled.")


class NoSuchMethod(HeadwaterError):
    code = "no_such_method"
    kind = Kind.NO_SUCH_METHOD

    def __init__(self, method: str, allowed: list[str]) -> None:
        names = ", ".join(allowed)
        super().__init__(f"{method[:20]!r} is not answered at this address; {names} is.", headers={"Allow": names})


class Broken(HeadwaterError):
    """A bug of ours, told to the caller; the log has the whole story under the request's id."""

    code = "broken"
    kind = Kind.BROKEN

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "Something broke on this server, and it is not your doing. Try again; if it happens again, "
            f"give the operator this number: {request_id}."
        )


class BadJson(HeadwaterError):
    code = "bad_json"
    kind = Kind.BAD_INPUT

    def __init__(self, why: str) -> None:
        super().__init__(f"The body is not the JSON that was expected: {why}.")


class BadForm(HeadwaterError):
    code = "bad_form"
    kind = Kind.BAD_INPUT

    def __init__(self, most: int) -> None:
        super().__init__(f"The form has more than {most} fields, the most that are read here.")


class BodyTooLarge(HeadwaterError):
    code = "body_too_large"
    kind = Kind.TOO_LARGE

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The body is larger than the {limit_bytes} bytes that are taken here. Send less at once.")


class BodyTruncated(HeadwaterError):
    code = "body_truncated"
    kind = Kind.BAD_INPUT

    def __init__(self, received: int, announced: int | None) -> None:
        of = "" if announced is None else f" of {announced}"
        super().__init__(f"The body ended after {received}{of} bytes. Nothing was stored; send it again.")


class BodyTooSlow(HeadwaterError):
    code = "body_too_slow"
    kind = Kind.TOO_SLOW

    def __init__(self, received: int) -> None:
        super().__init__(f"The body came too slowly: {received} bytes, then too little for too long. Send it again.")


class BadEncoding(HeadwaterError):
    code = "bad_encoding"
    kind = Kind.BAD_INPUT

    def __init__(self, encoding: str) -> None:
        super().__init__(
            f"The body cannot be decoded as Content-Encoding {encoding[:40]!r}. Send gzip, or plain bytes."
        )


class BadRange(HeadwaterError):
    code = "bad_range"
    kind = Kind.RANGE_NOT_SATISFIABLE

    def __init__(self, size_bytes: int, why: str) -> None:
        super().__init__(f"{why} The file has {size_bytes} bytes.", headers={"Content-Range": f"bytes */{size_bytes}"})
