"""Whether what the log says of a repository is what the site serves, byte for byte.

Git itself is asked for every revision the log names, into a folder that begins empty: it computes each object's id from its bytes and
follows every commit to its trees and files, so that a revision which arrives is the one that was named. Large files are
read to their end and hashed.
"""

from __future__ import annotations

import base64
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from headwater.hub.git.pointers import MAX_POINTER_BYTES, MIN_POINTER_BYTES, parse_pointer
from headwater.hub.verifying.models import Finding, Repo
from headwater.hub.verifying.remote import ACCEPT, NotServed, Remote
from headwater.kernel import HeadwaterError, Kind

GIT_TIMEOUT_S = 3600
BATCH = 100
_LFS = "application/vnd.git-lfs+json"


class GitNeeded(HeadwaterError):
    code = "git_needed"
    kind = Kind.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__(
            "git is not installed here, and it is git that says whether a revision is whole. Install it, and try again."
        )


class GitRefused(Exception):
    pass


def refs_served(remote: Remote, repo: Repo) -> dict[str, str] | None:
    """The site's refs of a repository; None where it does not serve it to us."""
    with tempfile.TemporaryDirectory(prefix="headwater-verify-") as folder:
        try:
            said = Git(remote, Path(folder)).run("ls-remote", "--quiet", _url(remote, repo))
        except GitRefused:
            remote.read("log/checkpoint")  # is it the site that is away?
            return None
    found = {}
    for line in said.decode("utf-8", "replace").splitlines():
        commit, _, ref = line.partition("\t")
        if ref.startswith("refs/") and not ref.endswith("^{}"):
            found[ref] = commit
    return found


def compare_refs(repo: Repo, served: dict[str, str]) -> Iterator[Finding]:
    for ref in sorted({*repo.refs, *served}):
        logged, shown = repo.refs.get(ref), served.get(ref)
        if logged != shown:
            what = f"{ref} of {repo.path} leads to {shown or 'nothing'}, and by the log to {logged or 'nothing'}"
            yield Finding("ref.differs", what, f"{repo.path} {ref}")


def check_contents(remote: Remote, repo: Repo, hashed: set[str], *, reads_files: bool) -> Iterator[Finding]:
    """Every revision and large file that the log says is there.

    Args:
        hashed: digests of large files that are known to be right, and of those found so here.
        reads_files: also the bytes of large files; else only whether the site has them.
    """
    wanted = sorted(commit for commit in repo.revisions if commit not in repo.gone)
    with tempfile.TemporaryDirectory(prefix="headwater-verify-") as folder:
        git = Git(remote, Path(folder))
        git.run("init", "--quiet", "--bare", folder)
        for commit, said in _fetch(git, _url(remote, repo), wanted, remote):
            what = f"Revision {commit} of {repo.path}, of entry {repo.revisions[commit]}, cannot be had whole: {said}"
            yield Finding("revision.lost", what, f"{repo.path} {commit}")
        pointers = _pointers(git)
    asked = {
        digest: size for digest, size in pointers.items() if digest not in repo.files_gone and digest not in hashed
    }
    yield from _check_files(remote, repo, asked, hashed, reads_files=reads_files)


def _fetch(git: Git, url: str, wanted: Sequence[str], remote: Remote) -> Iterator[tuple[str, str]]:
    """Bring these in; gives back those that cannot be had, with what git says."""
    if not wanted:
        return
    try:
        git.run(
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--stdin", url, given="\n".join(wanted) + "\n"
        )
    except GitRefused as exc:
        remote.read("log/checkpoint")
        if len(wanted) == 1:
            yield wanted[0], str(exc)
            return
        middle = len(wanted) // 2
        yield from _fetch(git, url, wanted[:middle], remote)
        yield from _fetch(git, url, wanted[middle:], remote)


def _pointers(git: Git) -> dict[str, int]:
    """The large files that any of the small files in the folder stands for, with their sizes."""
    check = "--batch-check=%(objectname) %(objecttype) %(objectsize)"
    small = []
    for line in git.run("cat-file", "--batch-all-objects", "--unordered", check).decode().splitlines():
        oid, kind, size = line.split(" ")
        if kind == "blob" and MIN_POINTER_BYTES <= int(size) <= MAX_POINTER_BYTES:
            small.append(oid)
    found = {}
    for data in read_blobs(git, small):
        pointer = parse_pointer(data)
        if pointer is not None:
            found[str(pointer.sha256)] = pointer.size_bytes
    return found


def read_blobs(git: Git, oids: Sequence[str], *, at_once: int = 1000) -> Iterator[bytes]:
    """Their bytes, in order."""
    for start in range(0, len(oids), at_once):
        said = git.run("cat-file", "--batch", given="".join(f"{oid}\n" for oid in oids[start : start + at_once]))
        at = 0
        while at < len(said):
            end = said.index(b"\n", at)
            size = int(said[at:end].rsplit(b" ", 1)[1])
            yield said[end + 1 : end + 1 + size]
            at = end + 1 + size + 1


def _check_files(
    remote: Remote, repo: Repo, asked: dict[str, int], hashed: set[str], *, reads_files: bool
) -> Iterator[Finding]:
    digests = sorted(asked)
    for start in range(0, len(digests), BATCH):
        part = digests[start : start + BATCH]
        body = {
            "operation": "download",
            "transfers": ["basic"],
            "objects": [{"oid": digest, "size": asked[digest]} for digest in part],
        }
        headers = {"Accept": _LFS, "Content-Type": _LFS}
        try:
            told = remote.post(f"{repo.path}.git/info/lfs/objects/batch", body, headers)
        except NotServed as exc:
            if not (repo.is_gated and exc.status in (401, 403)):
                yield Finding("file.lost", f"The large files of {repo.path} are not served: {exc}", repo.path)
            return
        answers = {one.get("oid"): one for one in told.get("objects", [])}
        for digest in part:
            yield from _check_file(remote, repo, digest, asked[digest], answers.get(digest, {}), hashed, reads_files)


def _check_file(
    remote: Remote,
    repo: Repo,
    digest: str,
    size: int,
    answer: dict[str, object],
    hashed: set[str],
    reads_files: bool,  # noqa: FBT001
) -> Iterator[Finding]:
    where = f"{repo.path} sha256:{digest}"
    actions = answer.get("actions")
    download = actions.get("download") if isinstance(actions, dict) else None
    if not isinstance(download, dict):
        error = answer.get("error")
        if repo.is_gated and isinstance(error, dict) and error.get("code") in (401, 403):
            return
        yield Finding(
            "file.lost", f"The large file {digest} of {repo.path} is not served: {error or 'no answer'}", where
        )
        return
    if not reads_files:
        return
    try:
        found, read = remote.digest(
            str(download["href"]), {**(download.get("header") or {}), "Accept-Encoding": "identity"}
        )
    except NotServed as exc:
        yield Finding("file.lost", f"The large file {digest} of {repo.path} is not served: {exc}", where)
        return
    if found != digest or read != size:
        yield Finding(
            "file.differs",
            f"The large file {digest} of {repo.path} has other bytes now: {read} of {size}, {found}",
            where,
        )
        return
    hashed.add(digest)


def _url(remote: Remote, repo: Repo) -> str:
    return f"{remote.url}/{repo.path}"


class Git:
    """The program, with nothing of the person's own configuration, and the token out of sight."""

    def __init__(self, remote: Remote, folder: Path) -> None:
        settings = [("http.extraHeader", f"{name}: {value}") for name, value in ACCEPT.items()]
        settings += [
            ("protocol.version", "2"),
            ("fetch.fsckObjects", "true"),
            ("gc.auto", "0"),
            ("credential.helper", ""),
        ]
        if remote.token is not None:
            word = base64.b64encode(f"token:{remote.token}".encode()).decode()
            settings.append(("http.extraHeader", f"Authorization: Basic {word}"))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self._env = kept | {
            "HOME": str(folder),
            "GIT_DIR": str(folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
            "GIT_CONFIG_COUNT": str(len(settings)),
        }
        for number, (name, value) in enumerate(settings):
            self._env |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}

    def run(self, *arguments: str, given: str = "") -> bytes:
        """Raises: GitRefused, GitNeeded."""
        try:
            done = subprocess.run(
                ["git", *arguments],
                input=given.encode(),
                capture_output=True,
                check=False,
                env=self._env,
                timeout=GIT_TIMEOUT_S,
            )
        except FileNotFoundError as exc:
            raise GitNeeded from exc
        except subprocess.TimeoutExpired as exc:
            raise GitRefused(f"it took longer than {GIT_TIMEOUT_S} s") from exc
        if done.returncode:
            said = " ".join(done.stderr.decode("utf-8", "replace").split())[:300]
            raise GitRefused(said or f"git ended with {done.returncode}")
        return done.stdout
