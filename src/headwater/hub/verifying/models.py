"""What the client keeps between two runs, and what it finds."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headwater.kernel import HeadwaterError, Kind
from headwater.ledger.tree import Edge

STATE_VERSION = 1


@dataclass(frozen=True)
class Finding:
    """Something that does not hold. ``code`` is stable; ``where`` names the thing."""

    code: str
    what: str
    where: str


class LogBroken(Exception):
    """The log itself does not hold, so nothing that follows from it does."""

    def __init__(self, code: str, what: str, where: str) -> None:
        super().__init__(what)
        self.finding = Finding(code, what, where)


class SiteUnreachable(HeadwaterError):
    code = "site_unreachable"
    kind = Kind.UNAVAILABLE

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"{url} cannot be asked: {why}. Nothing was verified; try again later.")


class SiteRefused(HeadwaterError):
    code = "site_refused"
    kind = Kind.NOT_ALLOWED

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"The site refuses ({status}): {said or 'it gives no reason'}")


class BadVerifyState(HeadwaterError):
    code = "bad_verify_state"
    kind = Kind.BAD_INPUT

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(
            f"{path} is not what an earlier run has kept: {why}. Put it back from a backup; without it, only the present can be checked."
        )


@dataclass
class Repo:
    """One repository as the log tells it, up to now.

    ``revisions``: each commit or tag that a ref of it ever led to, with the entry that says so. ``gone``: those of them that
    need not be there any more, with the entry and its reason. ``tombstone``: the same for the whole of it.
    """

    path: str
    id: int | None = None
    refs: dict[str, str] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)
    gone: dict[str, dict[str, Any]] = field(default_factory=dict)
    files_gone: list[str] = field(default_factory=list)
    tombstone: dict[str, Any] | None = None
    is_gated: bool = False


@dataclass
class Kept:
    """Everything that is kept of a site: the last checkpoint, the tree's edge, the history of its public repositories, and where
    that contradicts itself.
    """

    url: str
    key: str = ""
    note: str = ""
    edge: Edge = field(default_factory=Edge)
    repos: dict[str, Repo] = field(default_factory=dict)
    former: list[Repo] = field(default_factory=list)  # whose name another has now
    findings: list[Finding] = field(default_factory=list)  # entries that contradict each other

    @property
    def size(self) -> int:
        return self.edge.size


def read_kept(path: Path, url: str) -> Kept:
    """What an earlier run has kept of this site, or nothing yet.

    Raises:
        BadVerifyState
    """
    try:
        told = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Kept(url)
    except (OSError, ValueError) as exc:
        raise BadVerifyState(path, str(exc)) from exc
    try:
        if told["v"] != STATE_VERSION:
            raise BadVerifyState(path, f"it is of version {told['v']}, and this release reads {STATE_VERSION}")
        edge = Edge(told["size"], [[bytes.fromhex(one) for one in level] for level in told["edge"]])
        repos = {name: Repo(**facts) for name, facts in told["repos"].items()}
        former = [Repo(**facts) for facts in told["former"]]
        findings = [Finding(**facts) for facts in told.get("findings", [])]
        return Kept(url, told["key"], told["note"], edge, repos, former, findings)
    except (KeyError, TypeError, ValueError) as exc:
        raise BadVerifyState(path, f"{type(exc).__name__}: {exc}") from exc


def write_kept(path: Path, kept: Kept) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = {
        "v": STATE_VERSION,
        "url": kept.url,
        "key": kept.key,
        "note": kept.note,
        "size": kept.edge.size,
        "edge": [[one.hex() for one in level] for level in kept.edge.levels],
        "repos": {name: asdict(repo) for name, repo in kept.repos.items()},
        "former": [asdict(repo) for repo in kept.former],
        "findings": [asdict(one) for one in kept.findings],
    }
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    with temporary.open("w") as file:
        json.dump(facts, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
