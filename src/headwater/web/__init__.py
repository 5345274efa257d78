"""What every door stands on: routing on the raw path, bodies, ranges, the error dialects, the page shell."""

from headwater.web.app import build_app
from headwater.web.bodies import BodyReader, read_body, receive_body
from headwater.web.refusals import (
    BadAddress,
    BadEncoding,
    BadForm,
    BadJson,
    BadRange,
    BodyTooLarge,
    BodyTooSlow,
    BodyTruncated,
    refuse_in_json,
    status_of,
)
from headwater.web.requests import (
    actor_of,
    call,
    in_snapshot,
    parse_form,
    read_json,
    read_json_object,
    read_tx,
    site_of,
    write_tx,
)
from headwater.web.responses import (
    HeadResponse,
    JsonResponse,
    ReadyResponse,
    SourceResponse,
    content_disposition,
    next_link,
)
from headwater.web.routing import Access, Endpoint, Route, Router, path_for
from headwater.web.settings import WebSettings
from headwater.web.site import Site
from headwater.web.threads import in_thread

__all__ = [
    "Access",
    "BadAddress",
    "BadEncoding",
    "BadForm",
    "BadJson",
    "BadRange",
    "BodyReader",
    "BodyTooLarge",
    "BodyTooSlow",
    "BodyTruncated",
    "Endpoint",
    "HeadResponse",
    "JsonResponse",
    "ReadyResponse",
    "Route",
    "Router",
    "Site",
    "SourceResponse",
    "WebSettings",
    "actor_of",
    "build_app",
    "call",
    "content_disposition",
    "in_snapshot",
    "in_thread",
    "next_link",
    "parse_form",
    "path_for",
    "read_body",
    "read_json",
    "read_json_object",
    "read_tx",
    "receive_body",
    "refuse_in_json",
    "site_of",
    "status_of",
    "write_tx",
]
