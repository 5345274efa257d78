"""What counts as one download: one person fetching one repository, however many files and ranges that takes.

Clients mark what belongs to a download by ``X-HF-Download-Counter``; those that use Xet send only a HEAD here.
"""

from __future__ import annotations

import time

from starlette.requests import Request

from headwater.hub import search
from headwater.kernel import RepoId
from headwater.web.heads import asked_names

WINDOW_S = 300.0
MAX_REMEMBERED = 50_000
_COUNTER = b"x-hf-download-counter"

# (repository, who) to when it was last counted. Each process has its own; touched by the event loop alone.
_counted: dict[tuple[RepoId, str], float] = {}


def note_download(request: Request, repo_id: RepoId) -> None:
    """Count it, unless the same person's fetching of the same repository was counted a moment ago."""
    if request.method == "HEAD" and _COUNTER not in asked_names(request.scope):
        return
    now = time.monotonic()
    key = (repo_id, _who(request))
    if now - _counted.get(key, -WINDOW_S) < WINDOW_S:
        return
    if len(_counted) >= MAX_REMEMBERED:
        _counted.clear()
    _counted[key] = now
    search.count_download(request.state.site, repo_id)


def _who(request: Request) -> str:
    account = request.state.actor.account_id
    if account is not None:
        return f"account {account}"
    return request.client.host if request.client is not None else ""
