"""One run of ``headwater verify``: follow the log, then compare what it says with what the site serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from headwater.hub.verifying.contents import check_contents, compare_refs, refs_served
from headwater.hub.verifying.following import Followed, follow
from headwater.hub.verifying.history import History
from headwater.hub.verifying.models import Finding, Kept, LogBroken, Repo, read_kept, write_kept
from headwater.hub.verifying.remote import NotServed, Remote
from headwater.kernel import HeadwaterError, Kind
from headwater.ledger.notes import VerifierKey

CATCH_UP_S = 15.0  # a ref that has just moved stands in the log a moment later
JUST_MADE_S = 4.0  # likewise a repository
LOOK_S = 0.5
_LISTS = {"api/models": "", "api/datasets": "datasets/", "api/spaces": "spaces/"}


class NotInTheLog(HeadwaterError):
    code = "not_in_the_log"
    kind = Kind.NOT_FOUND

    def __init__(self, path: str) -> None:
        super().__init__(
            f"The log names no public repository {path!r}. Write namespace/name, with datasets/ or spaces/ before it for those."
        )


@dataclass(frozen=True)
class Outcome:
    """``buried``: what was seen once and is gone with a tombstone, which is no fault."""

    size: int
    key: str
    n_new: int
    is_first: bool
    n_repositories: int
    n_revisions: int
    n_files: int
    n_private: int
    findings: Sequence[Finding]
    buried: Sequence[Repo]


@dataclass(frozen=True)
class Asked:
    repos: Sequence[str] = ()
    is_all: bool = False
    since: str | None = None
    key: VerifierKey | None = None
    witnesses: Sequence[VerifierKey] = ()
    reads_files: bool = True
    catch_up_s: float = CATCH_UP_S


def verify(remote: Remote, state: Path, asked: Asked, *, note: Callable[[str], None] = lambda _: None) -> Outcome:
    """Check, and keep what was seen where the log holds.

    Raises:
        SiteUnreachable, BadVerifyState, NotInTheLog, GitNeeded
    """
    kept = read_kept(state, remote.url)
    is_first, n_before = not kept.key, kept.size
    run = _Run(remote, state, kept, asked)
    try:
        followed = run.follow()
    except LogBroken as exc:
        return Outcome(n_before, kept.key, 0, is_first, 0, 0, 0, 0, [exc.finding], [])
    if is_first and asked.key is None:
        note(
            f"First look at this site: its key is taken as it is. Compare it with what its operator says: {followed.key}"
        )
    note(
        f"{followed.checkpoint.size} entries, {followed.checkpoint.size - n_before} of them new: all are what was signed."
    )
    hashed: set[str] = set()
    chosen: list[Repo] = []
    try:
        chosen = run.choose()
        for repo in chosen:
            note(f"{repo.path}: {len(repo.revisions)} revisions")
            run.check(repo, hashed)
        if asked.is_all:
            run.check_lists()
    except LogBroken as exc:
        run.findings.append(exc.finding)
    return Outcome(
        kept.size,
        str(followed.key),
        kept.size - n_before,
        is_first,
        len(chosen),
        sum(len(repo.revisions) - len(repo.gone) for repo in chosen),
        len(hashed),
        run.history.n_private,
        [*run.history.findings, *run.findings],
        [repo for repo in [*kept.repos.values(), *kept.former] if repo.tombstone is not None],
    )


class _Run:
    def __init__(self, remote: Remote, state: Path, kept: Kept, asked: Asked) -> None:
        self.remote, self.state, self.kept, self.asked = remote, state, kept, asked
        self.history = History(kept)
        self.findings: list[Finding] = []

    def follow(self) -> Followed:
        """Raises: LogBroken, SiteUnreachable."""
        asked, deadline = self.asked, time.monotonic() + self.asked.catch_up_s
        while True:
            try:
                followed = follow(
                    self.remote,
                    self.kept,
                    self.history.apply,
                    key=asked.key,
                    since=asked.since,
                    witnesses=asked.witnesses,
                )
            except LogBroken as exc:
                if exc.finding.code != "log.not_witnessed" or time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_S)  # a witness confirms what was signed a moment later
                continue
            write_kept(self.state, self.kept)
            return followed

    def choose(self) -> list[Repo]:
        """Raises: LogBroken, NotInTheLog, SiteUnreachable."""
        if self.asked.is_all:
            return [repo for _, repo in sorted(self.kept.repos.items()) if repo.tombstone is None]
        paths = [path.strip("/") for path in self.asked.repos]
        deadline = time.monotonic() + min(self.asked.catch_up_s, JUST_MADE_S)
        while any(path not in self.kept.repos for path in paths) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
            self.follow()
        for path in paths:
            if path not in self.kept.repos:
                raise NotInTheLog(path)
        return [self.kept.repos[path] for path in paths if self.kept.repos[path].tombstone is None]

    def check(self, repo: Repo, hashed: set[str]) -> None:
        served, differs = self._compare(repo)
        if repo.tombstone is not None:  # meanwhile
            return
        if served is None:
            what = f"{repo.path} was public by the log, is not served any more, and has no tombstone"
            self.findings.append(Finding("repository.lost", what, repo.path))
            return
        self.findings += differs
        self.findings += check_contents(self.remote, repo, hashed, reads_files=self.asked.reads_files)

    def _compare(self, repo: Repo) -> tuple[dict[str, str] | None, list[Finding]]:
        """What is served and where it differs; where it does, the log is given time to catch up."""
        deadline = time.monotonic() + self.asked.catch_up_s
        while True:
            served = refs_served(self.remote, repo)
            differs = [] if served is None else list(compare_refs(repo, served))
            if (served is not None and not differs) or repo.tombstone is not None or time.monotonic() > deadline:
                return served, differs
            time.sleep(LOOK_S)
            self.follow()

    def check_lists(self) -> None:
        """That every repository which the site lists for anyone is one that the log knows."""
        for path, prefix in _LISTS.items():
            try:
                listed = [
                    f"{prefix}{one['id']}"
                    for one in self.remote.list_all(f"{path}?limit=1000")
                    if not one.get("private")
                ]
            except NotServed as exc:
                self.findings.append(Finding("list.refused", str(exc), path))
                continue
            unknown = [name for name in listed if not self._knows(name)]
            deadline = time.monotonic() + self.asked.catch_up_s
            while unknown and time.monotonic() < deadline:
                time.sleep(LOOK_S)
                self.follow()
                unknown = [name for name in unknown if not self._knows(name)]
            for name in unknown:
                self.findings.append(
                    Finding("repository.unlogged", f"{name} is shown, and the log does not know it", name)
                )

    def _knows(self, path: str) -> bool:
        repo = self.kept.repos.get(path)
        return repo is not None and (repo.tombstone is None or repo.tombstone["kind"] == "repository.disabled")
