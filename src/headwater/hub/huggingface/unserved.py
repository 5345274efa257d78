"""Calls of the protocol that this server does not answer: 501 with a body that says so, never a puzzling 404."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from headwater.hub.errors import RepositoryNotFound
from headwater.hub.huggingface.errors import NotServed
from headwater.web import Access, Endpoint, Route
from headwater.web.refusals import NothingHere

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

# First words of paths, and what they stand for. docs/protocols/huggingface.md lists the same, with the reason for each.
FAMILIES = {
    "/api/jobs/{rest*}": "jobs",
    "/api/scheduled-jobs/{rest*}": "scheduled jobs",
    "/api/buckets/{rest*}": "buckets",
    "/buckets/{rest*}": "buckets",
    "/api/kernels/{rest*}": "kernel repositories",
    "/kernels/{rest*}": "kernel repositories",
    "/api/papers/{rest*}": "papers",
    "/api/daily_papers": "papers",
    "/api/inference/{rest*}": "hosted inference",
    "/api/inference-providers/{rest*}": "hosted inference",
    "/api/partners/{rest*}": "hosted inference",
    "/api/sandboxes/{rest*}": "sandboxes",
    "/api/datasets/{ns}/{name}/leaderboard": "leaderboards of data sets",
    "/api/datasets/{ns}/{name}/parquet/{rest*}": "converted Parquet files",
    "/api/spaces/{ns}/{name}/{call:runtime|hardware|sleeptime|pause|restart|dev-mode|secrets|variables|volumes}": (
        "running apps"
    ),
    "/api/spaces/{ns}/{name}/{call:logs|volumes|metrics|events}/{rest*}": "running apps",
    "/api/spaces/{call:templates|hardware|zero-gpu}": "running apps",
    "/api/spaces/{call:templates|hardware|zero-gpu}/{rest*}": "running apps",
    "/api/{type:models|datasets|spaces}/{ns}/{name}/resource-group": "resource groups",
    "/api/collections/{ns}/{slug}/resource-group": "resource groups",
    "/api/organizations/{org}/{call:resource-groups|audit-log|billing|members/export}/{rest*}": "enterprise functions",
    "/oauth/authorize": "this server as an OAuth issuer",
}


def _refusing(what: str) -> Endpoint:
    async def refuse(_request: Request) -> Response:
        raise NotServed(what)

    return refuse


# Repositories without a namespace, which older clients still ask for: there are none here.
_CALLS_OF_REPOSITORIES = frozenset(
    {"revision", "tree", "refs", "commits", "commit", "paths-info", "preupload", "branch", "tag", "settings", "like",
     "likers", "discussions", "auth-check", "super-squash", "lfs-files", "xet-read-token", "xet-write-token", "duplicate"}
)  # fmt: skip


async def no_such_repository(request: Request) -> Response:
    """Anything else below ``/api/models``: a repository of one word, or a call that nobody knows."""
    segments = request.path_params.get("rest", "").split("/")
    if len(segments) == 1 or segments[1] in _CALLS_OF_REPOSITORIES:
        raise RepositoryNotFound
    raise NothingHere


async def no_such_file(_request: Request) -> Response:
    """``/{name}/resolve/…``, without a namespace."""
    raise RepositoryNotFound


ROUTES = [
    Route(method, pattern, _refusing(what), Access.PUBLIC, "hf")
    for pattern, what in FAMILIES.items()
    for method in METHODS
]
ROUTES += [
    Route(method, "/api/{type:models|datasets|spaces}/{rest*}", no_such_repository, Access.READ, "hf")
    for method in METHODS
]
ROUTES.append(Route("GET", "/{name}/resolve/{rev}/{path*}", no_such_file, Access.READ, "hf"))
