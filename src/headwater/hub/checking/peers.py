"""Large files from another site that has them: by digest, through its LFS door, as git-lfs would fetch them.

Any site that speaks LFS will do. What it gives is hashed by whoever asked before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from sqlalchemy import select

from headwater.db import Tx
from headwater.hub.tables.files import file_right
from headwater.hub.tables.repositories import repository
from headwater.kernel import HeadwaterError, Kind, Sha256
from headwater.web.site import Site

TIMEOUT_S = 60.0
MOST_REPOSITORIES = 8  # that a file is asked for by


class PeerAway(HeadwaterError):
    code = "peer_away"
    kind = Kind.UNAVAILABLE

    def __init__(self, url: str, why: object) -> None:
        super().__init__(f"{url} does not answer as a site does: {why}. Look at the address, and try again.")


class PeerFiles:
    """As a context manager. ``token`` is of an account there."""

    def __init__(self, site: Site, url: str, token: str | None) -> None:
        self._site = site
        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(timeout=TIMEOUT_S, headers=headers)
        self._plain = httpx.Client(timeout=TIMEOUT_S, follow_redirects=True)  # links carry their own right

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()
        self._plain.close()

    @contextmanager
    def fetch(self, digest: Sha256, size_bytes: int) -> Iterator[Path | None]:
        """The bytes as a local file, not yet looked at; None where that site does not give them.

        Raises:
            PeerAway
        """
        with self._site.blobs.temporary() as path:
            try:
                found = any(
                    self._download(repo, digest, size_bytes, path) for repo in self._site.db.read(_named_by, digest)
                )
            except httpx.HTTPError as exc:
                raise PeerAway(self._url, exc) from exc
            yield path if found else None

    def _download(self, repo: str, digest: Sha256, size_bytes: int, path: Path) -> bool:
        body = {"operation": "download", "transfers": ["basic"], "objects": [{"oid": digest, "size": size_bytes}]}
        answer = self._client.post(
            f"{self._url}/{repo}.git/info/lfs/objects/batch",
            json=body,
            headers={"Accept": "application/vnd.git-lfs+json", "Content-Type": "application/vnd.git-lfs+json"},
        )
        if answer.status_code != 200:
            return False
        try:
            action = answer.json()["objects"][0]["actions"]["download"]
            href, headers = str(action["href"]), dict(action.get("header", {}))
        except (ValueError, KeyError, IndexError, TypeError):
            return False
        left = size_bytes
        with self._plain.stream("GET", href, headers=headers) as got, path.open("wb") as file:
            if got.status_code != 200:
                return False
            for block in got.iter_bytes(1 << 20):
                left -= len(block)
                if left < 0:
                    return False
                file.write(block)
        return left == 0


def _named_by(tx: Tx, digest: Sha256) -> list[str]:
    """Paths of repositories that may read it, as a site of the same names has them; public ones first."""
    query = (
        select(repository.c.kind, repository.c.namespace, repository.c.name)
        .join(file_right, file_right.c.repo_id == repository.c.id)
        .where(file_right.c.sha256 == digest, repository.c.deleted_at.is_(None))
        .order_by(repository.c.is_private, repository.c.id)
        .limit(MOST_REPOSITORIES)
    )
    prefix = {"model": "", "dataset": "datasets/", "space": "spaces/"}
    return [f"{prefix[row.kind]}{row.namespace}/{row.name}" for row in tx.execute(query)]
