"""Asking the site, as anyone may."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import httpx

from headwater import __version__
from headwater.hub.verifying.models import SiteRefused, SiteUnreachable

TIMEOUT_S = 60.0
LARGEST_BYTES = 64 << 20  # of one answer that is kept in memory
# Files under suspicion are only hashed here, and run nowhere.
ACCEPT = {"X-Headwater-Accept": "suspicious"}


class NotServed(Exception):
    """The site answers otherwise than with what was asked for."""

    def __init__(self, path: str, status: int) -> None:
        super().__init__(f"{path} was answered with {status}")
        self.status = status


class Remote:
    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.token = token
        headers = {"User-Agent": f"headwater-verify/{__version__}", **ACCEPT}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT_S, follow_redirects=False)
        # For links that the site gives: they have what they need in themselves, and may lead to anybody's store.
        self._bare = httpx.Client(headers={"User-Agent": headers["User-Agent"], **ACCEPT}, timeout=TIMEOUT_S)

    def close(self) -> None:
        self._client.close()
        self._bare.close()

    def read(self, path: str) -> bytes:
        """Raises: NotServed, SiteUnreachable."""
        try:
            with self._client.stream("GET", f"{self.url}/{path.lstrip('/')}") as answer:
                if answer.status_code != httpx.codes.OK:
                    raise NotServed(path, answer.status_code)
                found = bytearray()
                for piece in answer.iter_bytes():
                    found += piece
                    if len(found) > LARGEST_BYTES:
                        raise NotServed(path, answer.status_code)
                return bytes(found)
        except httpx.HTTPError as exc:
            raise SiteUnreachable(self.url, f"{type(exc).__name__}: {exc}") from exc

    def list_all(self, path: str) -> Iterator[Any]:
        """What a list of the API has, page by page."""
        url: str | None = f"{self.url}/{path.lstrip('/')}"
        while url is not None:
            try:
                answer = self._client.get(url)
            except httpx.HTTPError as exc:
                raise SiteUnreachable(self.url, f"{type(exc).__name__}: {exc}") from exc
            if answer.status_code != httpx.codes.OK:
                raise NotServed(path, answer.status_code)
            yield from answer.json()
            url = answer.links.get("next", {}).get("url")

    def post(self, path: str, body: Any, headers: dict[str, str]) -> Any:
        """Raises: NotServed, SiteUnreachable."""
        try:
            answer = self._client.post(f"{self.url}/{path.lstrip('/')}", json=body, headers=headers)
        except httpx.HTTPError as exc:
            raise SiteUnreachable(self.url, f"{type(exc).__name__}: {exc}") from exc
        if answer.status_code != httpx.codes.OK:
            raise NotServed(path, answer.status_code)
        return answer.json()

    def call(self, method: str, path: str, body: Any) -> Any:
        """A call of the API; its refusals are told as the site tells them.

        Raises:
            SiteRefused, SiteUnreachable
        """
        try:
            answer = self._client.request(method, f"{self.url}/{path.lstrip('/')}", json=body)
        except httpx.HTTPError as exc:
            raise SiteUnreachable(self.url, f"{type(exc).__name__}: {exc}") from exc
        try:
            told = answer.json()
        except ValueError:
            told = {}
        if not answer.is_success:
            said = told.get("message") or told.get("error") or "" if isinstance(told, dict) else ""
            raise SiteRefused(answer.status_code, str(said))
        return told

    def _asking(self, url: str) -> httpx.Client:
        """The one with the token for the site itself, and for it alone."""
        here, there = httpx.URL(self.url), httpx.URL(url)
        is_here = (here.scheme, here.host, here.port) == (there.scheme, there.host, there.port)
        return self._client if is_here else self._bare

    def digest(self, url: str, headers: dict[str, str]) -> tuple[str, int]:
        """The sha256 and the size of what is there, read to its end and not kept.

        Raises:
            NotServed, SiteUnreachable
        """
        hashed, size = hashlib.sha256(), 0
        try:
            with self._asking(url).stream("GET", url, headers=headers, follow_redirects=True) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise NotServed(url, answer.status_code)
                for piece in answer.iter_raw():
                    hashed.update(piece)
                    size += len(piece)
        except httpx.RemoteProtocolError:
            return hashed.hexdigest(), size  # it broke off: what came is not the whole, and so not the digest
        except httpx.HTTPError as exc:
            raise SiteUnreachable(self.url, f"{type(exc).__name__}: {exc}") from exc
        return hashed.hexdigest(), size
