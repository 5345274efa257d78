"""Answers: JSON, the next page's link, and bytes of any source with ranges, sent without passing through Python."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headwater.blobs import ByteSource, Extent, MemorySource, Piece
from headwater.web import watch
from headwater.web.heads import RawHeaders, Told, asked_names
from headwater.web.refusals import BadRange
from headwater.web.site import Site
from headwater.web.threads import run_in

MAX_RANGES = 64  # after overlapping and touching ones are joined; Xet clients ask for a few
MAX_RANGE_HEADER = 4096
STEP_BYTES = 1 << 20
AT_HAND_BYTES = 1 << 16  # of a body in memory that leaves behind its head in one write
_RANGE = re.compile(r"(\d*)-(\d*)")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def encoded(headers: Mapping[str, str]) -> RawHeaders:
    """Headers as they leave; worth keeping where the same ones are sent again and again."""
    return tuple([(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()])


class JsonResponse(Response):
    """JSON by orjson; dataclasses, datetimes and enums as they come."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class ReadyResponse(Response):
    """A body that is bytes already, for calls that are asked very often: spares what Starlette does with each header."""

    def __init__(
        self,
        body: bytes,
        *,
        status: int = 200,
        headers: Mapping[str, str] = _NO_HEADERS,
        media_type: str = "application/json",
    ) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [
            *encoded(headers),
            (b"content-length", str(len(body)).encode("latin-1")),
            (b"content-type", media_type.encode("latin-1")),
        ]

    def at_hand(self, scope: Scope) -> bytes | memoryview:
        """See ``SourceResponse.at_hand``."""
        return self.body


class HeadResponse(Response):
    """The answer to a HEAD for strangers' bytes, as ``SourceResponse.told_whole`` has said it before."""

    def __init__(self, request: Request, told: Told) -> None:
        self.status_code = 200
        self.background = None
        self.body = b""
        self.told = told
        self.raw_headers = told.headers  # type: ignore[assignment]  # nobody adds to them
        request.scope["state"]["serves_strangers_bytes"] = True

    def at_hand(self, scope: Scope) -> bytes | memoryview:
        """See ``SourceResponse.at_hand``."""
        return self.body


def next_link(request: Request, cursor: str | None, *, param: str = "cursor") -> dict[str, str]:
    """The ``Link`` header to the next page: this request's own address with the cursor set; {} on the last page."""
    if cursor is None:
        return {}
    site: Site = request.state.site
    query = [(name, value) for name, value in request.query_params.multi_items() if name != param]
    raw_path = request.scope["raw_path"].decode("ascii")
    return {"Link": f'<{site.base_url}{raw_path}?{urlencode([*query, (param, cursor)])}>; rel="next"'}


def content_disposition(filename: str, *, inline: bool = True) -> str:
    """The header for a file's name, in both the old and the UTF-8 form."""
    plain = filename.encode("ascii", "replace").decode().replace("\\", "_").replace('"', "_").replace("?", "_")
    kind = "inline" if inline else "attachment"
    return f"{kind}; filename*=UTF-8''{quote(filename, safe='')}; filename=\"{plain}\";"


class SourceResponse(Response):
    """Bytes of a source: whole, one range, or several; 304 by ETag; HEAD without a body.

    Byte runs go out by ``sendfile`` where the server offers it. A browser may show what strangers wrote, never run it:
    such an answer gets a sandboxing policy.

    Args:
        etag: with its quotes; strong, as ranges are checked against it.
        media_type: of the whole; several ranges are ``multipart/byteranges``.
        filename: for ``Content-Disposition``.
        direct_s: where the bytes lie in a store that clients reach, send them there by a link that is good for so many
            seconds. Pictures and films inside our pages come from here all the same: a page loads from nowhere else.

    Raises:
        BadRange: (when sent) no range asked for can be satisfied, or there are too many.
    """

    def __init__(
        self,
        request: Request,
        source: ByteSource,
        *,
        headers: Mapping[str, str] | RawHeaders | None = None,
        status: int = 200,
        media_type: str = "application/octet-stream",
        etag: str | None = None,
        filename: str | None = None,
        direct_s: int | None = None,
    ) -> None:
        self.status_code = status
        self.background = None
        self.body = b""
        self.raw_headers = list(encoded(headers or {}) if not isinstance(headers, tuple) else headers)
        self._direct_s = direct_s
        self._request = request
        self._source = source
        self._media_type = media_type
        self._etag = etag
        self._settled: tuple[int, Iterable[Piece]] | None = None
        request.scope["state"]["serves_strangers_bytes"] = True
        self.raw_headers.append((b"accept-ranges", b"bytes"))
        if etag is not None:
            self.raw_headers.append((b"etag", etag.encode("latin-1")))
        if filename is not None:
            self.raw_headers.append((b"content-disposition", content_disposition(filename).encode("latin-1")))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        count, pieces = self._settle(scope)
        has_body = scope["method"] != "HEAD" and count > 0
        where, blocks = "act" if self._source.is_local else "store", read_blocks(pieces)
        # Before the head: a store that is away is answered by a refusal, and not by an answer that breaks off.
        block = await run_in(where, next, blocks, b"") if has_body and not self._source.is_local else b""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if not has_body:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif self._source.is_local and "headwater.pieces" in scope.get("extensions", {}):
            await send({"type": "headwater.pieces", "pieces": pieces, "count": count})
        else:
            block = block or await run_in(where, next, blocks, b"")
            while block:
                await send({"type": "http.response.body", "body": block, "more_body": True})
                block = await run_in(where, next, blocks, b"")
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def at_hand(self, scope: Scope) -> bytes | tuple[int, Iterable[Piece]] | None:
        """The body, or its size and pieces, where status, headers and body are known without any I/O; None where they are not.

        Raises:
            BadRange.
        """
        count, pieces = self._settle(scope)
        if scope["method"] == "HEAD" or not count:
            return b""
        if count <= AT_HAND_BYTES and isinstance(self._source, MemorySource):
            return b"".join(piece for piece in pieces if isinstance(piece, bytes))
        return (count, pieces) if self._source.is_local else None

    def told_whole(self) -> Told | None:
        """The head, where the answer is the whole of the bytes."""
        self._settle(self._request.scope)
        return Told(self.raw_headers) if self.status_code == 200 else None

    def _settle(self, scope: Scope) -> tuple[int, Iterable[Piece]]:
        """Decide, once, what is answered: sets status and headers, and gives the body's size and pieces."""
        if self._settled is None:
            self._settled = self._choose(asked_names(scope))
            if self.status_code != 304:
                self._add(b"content-length", str(self._settled[0]))
        return self._settled

    def _choose(self, asks: frozenset[bytes]) -> tuple[int, Iterable[Piece]]:
        size = self._source.size_bytes
        if b"if-none-match" in asks and self._is_unchanged():
            self.status_code = 304
            return 0, ()
        link = self._link(asks)
        if link is not None:
            self.status_code = 302
            self._add(b"location", link)
            if self._request.method == "GET":
                watch.count_redirect(self._asked_bytes(size))
            return 0, ()
        ranges = self._ranges(size) if b"range" in asks else None
        if ranges is None:
            self._add(b"content-type", self._media_type)
            return size, self._source.pieces(0, size)
        self.status_code = 206
        if len(ranges) == 1:
            start, end = ranges[0]
            self._add(b"content-type", self._media_type)
            self._add(b"content-range", f"bytes {start}-{end - 1}/{size}")
            return end - start, self._source.pieces(start, end)
        boundary = secrets.token_hex(16)
        self._add(b"content-type", f"multipart/byteranges; boundary={boundary}")
        heads = [
            (
                f"\r\n--{boundary}\r\nContent-Type: {self._media_type}\r\n"
                f"Content-Range: bytes {start}-{end - 1}/{size}\r\n\r\n"
            ).encode()
            for start, end in ranges
        ]
        tail = f"\r\n--{boundary}--\r\n".encode()
        total = sum(map(len, heads)) + len(tail) + sum(end - start for start, end in ranges)

        def pieces() -> Iterator[Piece]:
            for head, (start, end) in zip(heads, ranges, strict=True):
                yield head
                yield from self._source.pieces(start, end)
            yield tail

        return total, pieces()

    def _link(self, asks: Collection[bytes]) -> str | None:
        if self._direct_s is None or self.status_code != 200 or self._source.is_local:
            return None
        if self._request.headers.get("sec-fetch-dest", "empty") not in ("empty", "document"):
            return None
        # Stores know bytes only, and one range at a time; of anything else each makes what it likes.
        text = self._request.headers["range"] if b"range" in asks else None
        if text is not None and ("," in text or parse_ranges(text, self._source.size_bytes) is None):
            return None
        shown = self.headers.get("content-disposition")
        return self._source.signed_url(expires_s=self._direct_s, disposition=shown, media_type=self._media_type)

    def _asked_bytes(self, size: int) -> int:
        """How many bytes a client is after that is sent elsewhere."""
        ranges = parse_ranges(self._request.headers.get("range", ""), size)
        return size if ranges is None else sum(end - start for start, end in ranges)

    def _add(self, name: bytes, value: str) -> None:
        self.raw_headers.append((name, value.encode("latin-1")))

    def _is_unchanged(self) -> bool:
        asked = self._request.headers.get("if-none-match")
        if asked is None or self._etag is None or self.status_code != 200:
            return False
        return asked.strip() == "*" or self._etag in (tag.strip().removeprefix("W/") for tag in asked.split(","))

    def _ranges(self, size: int) -> Sequence[tuple[int, int]] | None:
        """What is asked for as [start, end) pairs in order; None for the whole."""
        asked = self._request.headers.get("range")
        if asked is None or self.status_code != 200 or self._request.method not in ("GET", "HEAD"):
            return None
        condition = self._request.headers.get("if-range")
        if condition is not None and not self._still_holds(condition.strip()):
            return None
        return parse_ranges(asked, size)

    def _still_holds(self, condition: str) -> bool:
        if condition.startswith(('"', "W/")):
            return condition == self._etag
        modified = self.headers.get("last-modified")
        try:
            return modified is not None and parsedate_to_datetime(condition) == parsedate_to_datetime(modified)
        except ValueError:
            return False


def read_blocks(pieces: Iterable[Piece], step_bytes: int = STEP_BYTES) -> Iterator[bytes]:
    """The bytes of pieces in blocks of bounded size, for where they cannot be sent straight from the files.

    Raises:
        OSError: a file is gone, or shorter than its record says.
    """
    for piece in pieces:
        if isinstance(piece, bytes):
            if piece:
                yield piece
            continue
        fd = os.open(piece.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            at, end = piece.offset, piece.offset + piece.count
            while at < end:
                block = os.pread(fd, min(step_bytes, end - at), at)
                if not block:
                    raise OSError(f"{piece.path.name} is shorter than its record says")
                at += len(block)
                yield block
        finally:
            os.close(fd)


def parse_ranges(asked: str, size: int) -> list[tuple[int, int]] | None:
    """``Range`` as sorted [start, end) pairs, overlapping and touching ones joined; None when it is no byte range.

    Raises:
        BadRange: none of them lies in the file, or there are too many.

    Source: RFC 9110, section 14.1.2; an unknown unit or a malformed set is ignored, as it says.
    """
    unit, _, text = asked.partition("=")
    if unit.strip().lower() != "bytes" or not text:
        return None
    if len(text) > MAX_RANGE_HEADER or text.count(",") >= MAX_RANGES * 4:
        raise BadRange(size, f"At most {MAX_RANGES} ranges can be asked for at once.")
    found: list[tuple[int, int]] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or match.groups() == ("", ""):
            return None
        first, last = match.groups()
        if first and last and int(last) < int(first):
            return None
        start = int(first) if first else max(size - int(last), 0)
        end = min(int(last) + 1, size) if first and last else size
        if start < end:
            found.append((start, end))
    if not found:
        raise BadRange(size, "No range that was asked for lies inside the file.")
    joined: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    if len(joined) > MAX_RANGES:
        raise BadRange(size, f"At most {MAX_RANGES} ranges can be asked for at once.")
    return joined


__all__ = [
    "Extent",
    "HeadResponse",
    "JsonResponse",
    "ReadyResponse",
    "SourceResponse",
    "content_disposition",
    "encoded",
    "next_link",
    "parse_ranges",
    "read_blocks",
]
