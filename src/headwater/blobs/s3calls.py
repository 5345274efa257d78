"""The calls that obstore has no function for: multipart uploads whose parts others send, and what is asked at start.

Every call is a signed address. Calls are repeated with back-off when the store does not answer, or says that it is busy.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from headwater.blobs.errors import StoreAway
from headwater.blobs.metrics import calling
from headwater.blobs.presign import Signer
from headwater.blobs.store import OpenMultipart

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger("headwater.blobs")

TRIES = 5
LINK_S = 900

_ROUND_S = 300


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """The store's own word for what is wrong, '' when there is none."""
        try:
            root = ET.fromstring(self.body)  # noqa: S314 -- our own store's answer; expat refuses endless entities
        except ET.ParseError:
            return ""
        return _find(root, "Code") if _name(root) == "Error" else ""


class S3Calls:
    """``prefix`` is "" or ends with a slash; keys here are without it."""

    def __init__(self, signer: Signer, public: Signer, prefix: str, *, timeout_s: float, direct: bool = True) -> None:
        self._direct = direct
        self._signer, self._public, self._prefix, self._timeout_s = signer, public, prefix, timeout_s
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def link(
        self,
        method: str,
        key: str,
        *,
        expires_s: int,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """An address for clients. The same for some minutes, so that caches may know it, and never from the future."""
        now = datetime.now(UTC)
        rounded = now - timedelta(seconds=now.timestamp() % _ROUND_S)
        return self._public.sign(
            method, self._prefix + key, now=rounded, expires_s=expires_s + _ROUND_S, query=query, headers=headers
        )

    def begin_multipart(self, key: str) -> str:
        return _find(self._xml(self.call("POST", key, query={"uploads": ""})), "UploadId")

    def part_link(self, key: str, upload_id: str, number: int, *, size_bytes: int, expires_s: int) -> str | None:
        if not self._direct:
            return None
        query, signed = {"partNumber": str(number), "uploadId": upload_id}, {"content-length": str(size_bytes)}
        return self.link("PUT", key, expires_s=expires_s, query=query, headers=signed)

    def put_part(self, key: str, upload_id: str, number: int, path: Path) -> str:
        answer = self.call("PUT", key, query={"partNumber": str(number), "uploadId": upload_id}, content=path)
        if answer.status == 404:
            raise FileNotFoundError(key)
        self._require(answer)
        return answer.headers.get("etag", "")

    def complete_multipart(self, key: str, upload_id: str, parts: Sequence[tuple[int, str]]) -> str:
        root = ET.Element("CompleteMultipartUpload", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
        for number, etag in parts:
            part = ET.SubElement(root, "Part")
            ET.SubElement(part, "PartNumber").text = str(number)
            ET.SubElement(part, "ETag").text = etag
        answer = self.call("POST", key, query={"uploadId": upload_id}, content=ET.tostring(root))
        if answer.status in (400, 404) or (answer.status == 200 and answer.error):  # the error may come after a 200
            return answer.error or "InvalidPart"
        self._require(answer)
        return ""

    def abort_multipart(self, key: str, upload_id: str) -> None:
        answer = self.call("DELETE", key, query={"uploadId": upload_id})
        if answer.status != 404:
            self._require(answer)

    def iter_multiparts(self) -> Iterator[OpenMultipart]:
        marks: dict[str, str] = {}
        while True:
            answer = self.call("GET", "", query={"uploads": "", "prefix": self._prefix, **marks}, in_bucket=True)
            root = self._xml(answer)
            for upload in root:
                if _name(upload) == "Upload":
                    begun = datetime.fromisoformat(_find(upload, "Initiated")).timestamp()
                    key = _find(upload, "Key").removeprefix(self._prefix)
                    yield OpenMultipart(key, _find(upload, "UploadId"), begun)
            if _find(root, "IsTruncated") != "true":
                return
            marks = {"key-marker": _find(root, "NextKeyMarker"), "upload-id-marker": _find(root, "NextUploadIdMarker")}

    def call(
        self,
        method: str,
        key: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | Path | None = None,
        in_bucket: bool = False,
        tries: int = TRIES,
        timeout_s: float | None = None,
        counted: str = "multipart",
    ) -> Answer:
        """One request; answers of 500 and above, and none at all, are tried again. ``counted``: as which operation.

        Raises:
            StoreAway: the last try did not do better.
        """
        with calling(counted):
            return self._call(method, key, query, headers, content, in_bucket, tries, timeout_s or self._timeout_s)

    def _call(
        self,
        method: str,
        key: str,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        content: bytes | Path | None,
        in_bucket: bool,  # noqa: FBT001
        tries: int,
        timeout_s: float,
    ) -> Answer:
        import httpx

        where = "" if in_bucket else self._prefix + key
        until, limit = time.monotonic() + timeout_s, _limit(timeout_s)
        for number in range(1, tries + 1):
            url = self._signer.sign(
                method, where, now=datetime.now(UTC), expires_s=LINK_S, query=query, headers=headers
            )
            try:
                if isinstance(content, Path):
                    with content.open("rb") as file:
                        size = {"content-length": str(content.stat().st_size)}
                        answer = self._http().request(
                            method, url, headers={**(headers or {}), **size}, content=file, timeout=limit
                        )
                else:
                    answer = self._http().request(method, url, headers=headers, content=content, timeout=limit)
                if answer.status_code < 500:
                    return Answer(answer.status_code, answer.headers, answer.content)
                why = f"it answers {answer.status_code}"
                cause: Exception | None = None
            except httpx.HTTPError as exc:
                why, cause = _why(exc), exc
            pause = min(3.0, 0.1 * 2**number) * (0.5 + random.random() / 2)  # noqa: S311 -- only spreads tries
            if number == tries or time.monotonic() + pause > until:
                break
            time.sleep(pause)
        _log.warning("store.failed", extra={"key": key, "reason": why})
        raise StoreAway(why) from cause

    def _http(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._client is None:
                limits = httpx.Limits(max_connections=32, max_keepalive_connections=8)
                self._client = httpx.Client(limits=limits, trust_env=False)
            return self._client

    def _xml(self, answer: Answer) -> ET.Element:
        self._require(answer)
        try:
            return ET.fromstring(answer.body)  # noqa: S314 -- our own store's answer
        except ET.ParseError as exc:
            raise StoreAway("its answer is not what was expected") from exc

    @staticmethod
    def _require(answer: Answer) -> None:
        if answer.status >= 300:
            raise StoreAway(f"it answers {answer.status} {answer.error}".rstrip())


def _limit(timeout_s: float) -> httpx.Timeout:
    import httpx

    return httpx.Timeout(timeout_s, connect=min(5.0, timeout_s))


def _why(exc: Exception) -> str:
    import httpx

    if isinstance(exc, httpx.TimeoutException):
        return "it takes too long to answer"
    if isinstance(exc, httpx.ConnectError):
        return "there is no connection to it"
    return "the connection to it broke off"


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _find(root: ET.Element, name: str) -> str:
    """The text of the first element of this name below ``root``, whatever its name space."""
    return next((element.text or "" for element in root.iter() if _name(element) == name), "")
