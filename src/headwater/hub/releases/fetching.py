"""The files of a revision as git has them, from outside: each object's id is computed from its bytes, up to the commit's own."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from pathlib import Path

from headwater.hub.git.pointers import parse_pointer
from headwater.hub.releases.bundle import MOST_FILES, BadRelease
from headwater.hub.verifying.contents import Git, GitRefused, read_blobs
from headwater.hub.verifying.remote import NotServed, Remote
from headwater.kernel import HeadwaterError, Kind


class RevisionNotServed(HeadwaterError):
    code = "revision_not_served"
    kind = Kind.NOT_FOUND

    def __init__(self, repo: str, revision: str, why: str) -> None:
        super().__init__(
            f"{repo} at {revision!r} cannot be had: {why}. Is the name right, and may you read it (--token)?"
        )


def files_of(remote: Remote, repo: str, revision: str) -> tuple[str, dict[str, str]]:
    """The commit, and each file's SHA-256: of large ones as their pointers say, which the commit's id covers.

    Raises:
        RevisionNotServed, SiteUnreachable, GitNeeded, BadRelease
    """
    with tempfile.TemporaryDirectory(prefix="headwater-release-") as folder:
        git = Git(remote, Path(folder))
        try:
            git.run("init", "--quiet", "--bare", folder)
            url = f"{remote.url}/{repo}"
            git.run("fetch", "--quiet", "--depth=1", "--no-tags", url, f"+{revision}:refs/headwater/signed")
            commit = git.run("rev-parse", "refs/headwater/signed^{commit}").decode().strip()
            listed = git.run("ls-tree", "-r", "-z", "--full-tree", commit)
        except GitRefused as exc:
            with contextlib.suppress(NotServed):
                remote.read("log/key")
            raise RevisionNotServed(repo, revision, str(exc)) from exc
        oids: dict[str, str] = {}
        for line in filter(None, listed.split(b"\0")):
            about, _, path = line.partition(b"\t")
            mode, kind, oid = about.decode().split(" ")
            name = path.decode(errors="surrogateescape")
            if kind != "blob" or mode == "120000":
                raise BadRelease(f"{name!r} is a link or another repository, and this format names files alone")
            if len(oids) >= MOST_FILES:
                raise BadRelease(f"the revision has more than {MOST_FILES} files")
            oids[name] = oid
        digests = map(_digest, read_blobs(git, list(oids.values()), at_once=50))
        found = dict(zip(oids, digests, strict=True))
    return commit, found


def _digest(data: bytes) -> str:
    pointer = parse_pointer(data)
    return str(pointer.sha256) if pointer is not None else hashlib.sha256(data).hexdigest()
