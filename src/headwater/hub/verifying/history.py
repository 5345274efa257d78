"""What the log's entries say, one after another: which repositories there are, where their refs lead, and what need not be there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from headwater.hub.verifying.models import Finding, Kept, Repo

_COMMIT = re.compile("[0-9a-f]{40}")
_BURIED = frozenset({"repository.deleted", "repository.hidden"})  # after either its name may be another's


class History:
    """Moves ``kept.repos`` on by entries; contradictions between entries are findings, and kept: no later run reads them again."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.findings: list[Finding] = kept.findings
        self.n_private = 0
        self._acts: dict[str, Callable[[Repo, int, dict[str, Any], str], None]] = {
            "ref.moved": self._ref_moved,
            "refs.shown": self._refs_shown,
            "repository.created": self._created,
            "repository.moved": self._moved,
            "repository.deleted": self._deleted,
            "repository.hidden": self._hidden,
            "repository.disabled": self._disabled,
            "repository.enabled": self._enabled,
            "repository.pruned": self._pruned,
            "repository.settings_changed": self._settings_changed,
            "large_files.deleted": self._files_deleted,
        }

    def apply(self, index: int, entry: bytes) -> None:
        try:
            self._apply(index, entry)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.findings.append(
                Finding("entry.unreadable", f"Entry {index} is not one that this release reads", f"entry {index}")
            )

    def _apply(self, index: int, entry: bytes) -> None:
        told = json.loads(entry)
        kind, subject, facts, at = told["kind"], _text(told["subject"]), told["facts"], told["at"]
        if isinstance(facts, str):  # salted: somebody's private matter
            self.n_private += 1
            return
        act = self._acts.get(kind)
        if act is not None:
            act(self._repo(kind, subject, index, facts), index, facts, at)

    def _repo(self, kind: str, path: str, index: int, facts: dict[str, Any]) -> Repo:
        repo, told_id = self.kept.repos.get(path), facts.get("repo_id")
        if repo is not None and self._is_used_again(repo, kind, told_id):
            self.kept.former.append(repo)
            repo = None
        if repo is None:
            repo = self.kept.repos[path] = Repo(path)
        if isinstance(told_id, int):
            if repo.id not in (None, told_id):
                what = f"Entry {index} speaks of {path} as of another repository than before, and no entry has taken that away"
                self.findings.append(Finding("repository.contradicted", what, path))
            repo.id = told_id
        return repo

    @staticmethod
    def _is_used_again(repo: Repo, kind: str, told_id: object) -> bool:
        """Whether the name is another's now. What was hidden may have been deleted or moved since, unseen."""
        match repo.tombstone and repo.tombstone["kind"]:
            case "repository.deleted":
                return kind in ("ref.moved", "repository.created", "refs.shown")
            case "repository.hidden":
                return kind == "repository.created" or (kind == "refs.shown" and told_id != repo.id)
        return False

    def _created(self, repo: Repo, index: int, facts: dict[str, Any], at: str) -> None:
        pass

    def _ref_moved(self, repo: Repo, index: int, facts: dict[str, Any], at: str) -> None:
        ref, old, new = _text(facts["ref"]), facts["old"], facts["new"]
        if old != repo.refs.get(ref):
            what = f"Entry {index} moves {ref} of {repo.path} away from {old or 'nothing'}, where no entry has moved it"
            self.findings.append(Finding("ref.contradicted", what, f"{repo.path} {ref}"))
        if new is None:
            repo.refs.pop(ref, None)
            return
        repo.refs[ref] = _commit(new)
        repo.revisions.setdefault(new, index)
        repo.gone.pop(new, None)

    def _refs_shown(self, repo: Repo, index: int, facts: dict[str, Any], at: str) -> None:
        refs = {ref: _commit(commit) for ref, commit in facts["refs"].items()}
        repo.tombstone = None
        if facts.get("is_first"):
            repo.refs.clear()
            hidden = {"index": index, "at": at, "reason": "nobody saw what was pruned while it was hidden"}
            repo.gone = {commit: repo.gone.get(commit, hidden) for commit in repo.revisions}
        for ref, commit in refs.items():
            repo.refs[ref] = commit
            repo.revisions.setdefault(commit, index)
            repo.gone.pop(commit, None)

    def _moved(self, repo: Repo, index: int, facts: dict[str, Any], at: str) -> None:
        to = _text(facts["to"])
        del self.kept.repos[repo.path]
        taken = self.kept.repos.pop(to, None)
        if taken is not None:
            self.kept.former.append(taken)
            if taken.tombstone is None or taken.tombstone["kind"] not in _BURIED:
                what = f"Entry {index} gives the name {to} to another repository, and no entry has taken away the one it was"
                self.findings.append(Finding("repository.contradicted", what, to))
        repo.path = to
        self.kept.repos[repo.path] = repo

    def _deleted(self, repo: Repo, index: int, facts: dict[str, Any], at: str) -> None:
        self._bury(repo, "repository.deleted", index, facts, at)

    def _hidden(self, repo: Repo, index: int, facts: dict[str, Any], at: str) -> None:
        self._bury(repo, "repository.hidden", index, facts, at)

    def _disabled(self, repo: Repo, index: int, facts: dict[str, Any], at: str) -> None:
        self._bury(repo, "repository.disabled", index, facts, at)

    @staticmethod
    def _bury(repo: Repo, kind: str, index: int, facts: dict[str, Any], at: str) -> None:
        reason = str(facts.get("reason") or "none given")
        repo.tombstone = {"index": index, "kind": kind, "at": at, "reason": reason}

    def _enabled(self, repo: Repo, index: int, facts: dict[str, Any], at: str) -> None:
        if repo.tombstone is not None and repo.tombstone["kind"] == "repository.disabled":
            repo.tombstone = None

    def _pruned(self, repo: Repo, index: int, facts: dict[str, Any], at: str) -> None:
        """What no ref led to then need not be there any more; what one leads to, and all before it, must."""
        led_to = set(repo.refs.values())
        for commit in repo.revisions:
            if commit not in led_to:
                repo.gone[commit] = {"index": index, "at": at, "reason": str(facts.get("reason") or "no ref led to it")}

    def _settings_changed(self, repo: Repo, index: int, facts: dict[str, Any], at: str) -> None:
        if "gated" in facts:
            repo.is_gated = bool(facts["gated"])

    def _files_deleted(self, repo: Repo, index: int, facts: dict[str, Any], at: str) -> None:
        digests = facts.get("sha256")
        if isinstance(digests, list):
            repo.files_gone = sorted({*repo.files_gone, *map(_text, digests)})


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _commit(value: Any) -> str:
    if _COMMIT.fullmatch(_text(value)) is None:
        raise ValueError
    return _text(value)
