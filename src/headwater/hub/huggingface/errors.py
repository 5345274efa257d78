"""The ``hf`` dialect: how huggingface_hub expects to be refused.

The client looks at headers first (``X-Error-Code``, ``X-Error-Message``), then at the JSON body's ``error``. What it
makes of each is in docs/protocols/huggingface.md, "Errors".
"""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from headwater.accounts import GateClosed
from headwater.hub.errors import BadPath, FileNotFound, HeadMoved, NameTaken, RepositoryNotFound, RevisionNotFound
from headwater.kernel import HeadwaterError, Kind
from headwater.web import Site, status_of


class NotServed(HeadwaterError):
    """A call of the protocol that this server does not answer; the coverage table lists them."""

    code = "not_served"
    kind = Kind.NOT_SERVED

    def __init__(self, what: str) -> None:
        super().__init__(
            f"This server does not serve {what}. See docs/protocols/huggingface.md for what it does serve."
        )


def refuse(request: Request, error: HeadwaterError) -> Response:
    """``error`` as status, headers and JSON body."""
    status = status_of(error)
    message = str(error)
    headers = dict(error.headers)
    body: dict[str, Any] = {}
    match error:
        case RepositoryNotFound():
            headers["X-Error-Code"] = "RepoNotFound"
            # As the public hub does: without a token 401, so that the person is told to sign in.
            status = 401 if _is_stranger(request) else 404
        case RevisionNotFound():
            headers["X-Error-Code"] = "RevisionNotFound"
        case FileNotFound():
            headers["X-Error-Code"] = "EntryNotFound"
        case GateClosed():
            headers["X-Error-Code"] = "GatedRepo"
            status = 403 if error.signed_in else 401
            message = gate_text(request, error)
        case NameTaken():
            if error.url is not None:
                body["url"] = error.url
        case BadPath():
            status = 422
        case HeadMoved():
            # The client's suite matches the first sentence.
            message = f"The branch was updated since you opened this page. Please refresh and try again. {message}"
    body["error"] = message
    if message.isascii() and message.isprintable():
        headers["X-Error-Message"] = message
    return Response(orjson.dumps(body), status, headers, "application/json")


def gate_text(request: Request, error: GateClosed) -> str:
    """What the client prints for a gated repository; its suite matches the first sentence (protocol page, 8)."""
    values = request.path_params
    word = values.get("type", "models").removesuffix("s")
    name = f"{values.get('ns', '')}/{values.get('name', '')}"
    site: Site = request.state.site
    prefix = "" if word == "model" else f"{word}s/"
    where = f"{site.base_url}/{prefix}{name}"
    text = f"Access to {word} {name} is restricted and you are not in the authorized list."
    if not error.signed_in:
        return f"{text} You must be signed in to ask for access: visit {where}."
    if error.asked:
        return f"{text} Your request to access it is awaiting a review from the owners."
    return f"{text} Visit {where} to ask for access."


def _is_stranger(request: Request) -> bool:
    actor = getattr(request.state, "actor", None)
    return actor is None or actor.is_anonymous
