"""The heads of answers: headers as they leave, and those that are told again and again worked out once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from starlette.types import Scope

RawHeaders = tuple[tuple[bytes, bytes], ...]

_NO_NAME = re.compile(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]")  # RFC 9110, section 5.6.2
_NO_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# What strangers wrote may be shown from this origin, but never run in it.
_SANDBOX = b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
_PAGE_POLICY = (
    b"default-src 'self'; img-src 'self' data:; object-src 'none'; form-action 'self'; base-uri 'none'; "
    b"frame-ancestors 'none'"
)
_RUNS_IN_BROWSERS = frozenset(
    (
        b"text/html",
        b"application/xhtml+xml",
        b"image/svg+xml",
        b"text/xml",
        b"application/xml",
        b"application/pdf",
    )
)


def header_lines(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """As they leave.

    Raises:
        RuntimeError: one holds what none may.
    """
    if _NO_NAME.search(b"".join([name for name, _ in headers])) or _NO_VALUE.search(
        b"\t".join([value for _, value in headers])
    ):
        raise RuntimeError("a header of the answer holds what no header may")
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


def asked_names(scope: Scope) -> frozenset[bytes]:
    """The names of a request's headers, which our own server has gathered already."""
    found: frozenset[bytes] | None = scope.get("headwater.names")
    return frozenset([name for name, _ in scope["headers"]]) if found is None else found


def standing_headers(given: Mapping[bytes, bytes], *, is_strangers: bool) -> list[tuple[bytes, bytes]]:
    """What every answer carries besides its own headers; ``is_strangers``: its bytes are."""
    headers: list[tuple[bytes, bytes]] = []
    if b"x-content-type-options" not in given:
        headers.append((b"x-content-type-options", b"nosniff"))
    media_type = given.get(b"content-type", b"").partition(b";")[0].lower()
    if media_type in _RUNS_IN_BROWSERS and b"content-security-policy" not in given:
        is_page = media_type == b"text/html" and not is_strangers
        headers.append((b"content-security-policy", _PAGE_POLICY if is_page else _SANDBOX))
        if b"referrer-policy" not in given:
            headers.append((b"referrer-policy", b"same-origin"))
    return headers


class Told:
    """The head of an answer with strangers' bytes that many are told alike: all but its date and the request's id."""

    __slots__ = ("headers", "lines", "size_bytes")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.headers: RawHeaders = tuple(headers)
        present = dict(self.headers)
        self.size_bytes = int(present.get(b"content-length", 0))
        self.lines = header_lines([*self.headers, *standing_headers(present, is_strangers=True)])
