"""What the calls of this door are sent and give, for the description of the API. Only what clients may rely on is named."""

from __future__ import annotations

from typing import Any

from headwater.hub.huggingface.asking import API
from headwater.web.openapi import Schema, Shape

TEXT: Schema = {"type": "string"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
FLAG: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "integer"}
MAYBE_NUMBER: Schema = {"type": ["integer", "null"]}
KIND: Schema = {"type": "string", "enum": ["model", "dataset", "space"]}
LIMIT: Schema = {"type": "integer", "minimum": 1}


def record(required: dict[str, Schema], **optional: Schema) -> Schema:
    """An object; more members than these may always be there."""
    return {"type": "object", "properties": required | optional, "required": list(required)}


def many(of: Schema) -> Schema:
    return {"type": "array", "items": of}


ANY: Schema = {"type": "object"}
REPOSITORY = record(
    {"id": TEXT, "private": FLAG}, author=TEXT, sha=MAYBE_TEXT, tags=many(TEXT), downloads=NUMBER, likes=NUMBER
)
NAMED = record({"name": TEXT}, organization=MAYBE_TEXT, type=KIND)
ENTRY = record({"type": {"enum": ["file", "directory"]}, "path": TEXT, "oid": TEXT}, size=NUMBER)
COMMIT = record({"id": TEXT, "title": TEXT, "date": TEXT}, message=TEXT, authors=many(ANY))
REF = record({"name": TEXT, "ref": TEXT, "targetCommit": TEXT})
PERSON = record({"user": TEXT}, fullname=TEXT)
REQUEST = record({"user": ANY, "requestId": TEXT, "status": TEXT, "timestamp": TEXT})
COLLECTION = record({"slug": TEXT, "title": TEXT, "items": many(ANY)}, description=MAYBE_TEXT, private=FLAG)
WEBHOOK = record({"webhook": record({"id": TEXT, "url": MAYBE_TEXT, "disabled": FLAG})})
DISCUSSION = record({"num": NUMBER, "title": TEXT, "status": TEXT})
EVENT = record({"newMessage": ANY})
TALK = API + "/discussions"
GATE = API + "/user-access-request"
HOOKS = "/api/settings/webhooks"
SLUG = "/api/collections/{ns}/{slug}"
BATCH = record(
    {"operation": {"enum": ["download", "upload"]}, "objects": many(record({"oid": TEXT, "size": NUMBER}))},
    transfers=many(TEXT),
)
XET_TOKEN = record({"accessToken": TEXT, "casUrl": TEXT, "exp": NUMBER})
FILE: dict[str, Any] = {"media": "*/*", "gives": {}}

SHAPES: dict[str, Shape] = {
    "GET /api/whoami-v2": Shape(record({"type": TEXT, "name": TEXT, "orgs": many(ANY), "auth": ANY})),
    "POST /api/repos/create": Shape(
        record({"url": TEXT, "name": TEXT}), record({"name": TEXT}, organization=MAYBE_TEXT, type=KIND, private=FLAG)
    ),
    "DELETE /api/repos/delete": Shape(ANY, NAMED),
    "POST /api/repos/move": Shape(record({"url": TEXT}), record({"fromRepo": TEXT, "toRepo": TEXT}, type=KIND)),
    "GET /api/settings/repositories": Shape(query={"limit": LIMIT, "cursor": TEXT}),
    f"GET {API}": Shape(REPOSITORY, query={"blobs": FLAG, "securityStatus": FLAG, "expand": many(TEXT)}),
    f"GET {API}/revision/{{rev}}": Shape(REPOSITORY, query={"blobs": FLAG, "securityStatus": FLAG}),
    f"PUT {API}/settings": Shape(
        ANY, record({}, private=FLAG, gated={"enum": ["auto", "manual", False]}, visibility=TEXT)
    ),
    f"POST {API}/duplicate": Shape(record({"url": TEXT}), record({"repository": TEXT}, private=FLAG)),
    "GET /api/{type:models|datasets|spaces}": Shape(
        many(REPOSITORY),
        query={
            "search": TEXT,
            "author": TEXT,
            "filter": many(TEXT),
            "sort": {"enum": ["trendingScore", "lastModified", "createdAt", "downloads", "likes"]},
            "direction": {"enum": ["-1", "1"]},
            "limit": LIMIT,
            "cursor": TEXT,
            "full": FLAG,
        },
    ),
    f"GET {API}/tree/{{rev}}/{{path*}}": Shape(
        many(ENTRY), query={"recursive": FLAG, "expand": FLAG, "limit": LIMIT, "cursor": TEXT}
    ),
    f"POST {API}/paths-info/{{rev}}": Shape(many(ENTRY), record({"paths": many(TEXT)}, expand=FLAG)),
    f"GET {API}/commits/{{rev}}": Shape(many(COMMIT), query={"limit": LIMIT, "cursor": TEXT, "p": NUMBER}),
    "GET /{ns}/{name}/resolve/{rev}/{path*}": Shape(**FILE),
    "GET /{ns}/{name}/raw/{rev}/{path*}": Shape(**FILE),
    "GET /{type:datasets|spaces}/{ns}/{name}/resolve/{rev}/{path*}": Shape(**FILE),
    "GET /{type:datasets|spaces}/{ns}/{name}/raw/{rev}/{path*}": Shape(**FILE),
    f"POST {API}/preupload/{{rev}}": Shape(
        record({"files": many(record({"path": TEXT, "uploadMode": TEXT}))}),
        record({"files": many(record({"path": TEXT, "size": NUMBER, "sample": TEXT}))}, gitIgnore=TEXT),
        query={"create_pr": FLAG},
    ),
    f"POST {API}/commit/{{rev}}": Shape(
        record({"commitOid": TEXT, "commitUrl": TEXT}),
        {"type": "string"},
        query={"create_pr": FLAG},
        sends_media="application/x-ndjson",
    ),
    f"GET {API}/refs": Shape(
        record({"branches": many(REF), "tags": many(REF), "converts": many(REF)}), query={"include_prs": FLAG}
    ),
    f"POST {API}/branch/{{branch}}": Shape(sends=record({}, startingPoint=MAYBE_TEXT, overwrite=FLAG)),
    f"POST {API}/tag/{{rev}}": Shape(sends=record({"tag": TEXT}, message=MAYBE_TEXT)),
    f"POST {API}/super-squash/{{branch}}": Shape(sends=record({}, message=MAYBE_TEXT)),
    f"GET {API}/lfs-files": Shape(
        many(record({"fileOid": TEXT, "filename": TEXT, "size": NUMBER})), query={"limit": LIMIT}
    ),
    f"POST {API}/lfs-files/batch": Shape(sends=record({"deletions": record({"sha": many(TEXT)}, rewriteHistory=FLAG)})),
    f"POST {API}/lfs-files/duplicate": Shape(
        sends=record({"files": many(record({"sha256": TEXT})), "target": record({"type": KIND, "name": TEXT})})
    ),
    f"GET {TALK}": Shape(
        record({"discussions": many(DISCUSSION), "count": NUMBER, "start": NUMBER}),
        query={"p": NUMBER, "type": {"enum": ["all", "discussion", "pull_request"]}, "status": TEXT, "author": TEXT},
    ),
    f"POST {TALK}": Shape(
        record({"num": NUMBER}), record({"title": TEXT}, description=TEXT, pullRequest=FLAG, base=MAYBE_TEXT)
    ),
    f"GET {TALK}/{{num}}": Shape(DISCUSSION, query={"diff": FLAG}),
    f"POST {TALK}/{{num}}/comment": Shape(EVENT, record({"comment": TEXT})),
    f"POST {TALK}/{{num}}/comment/{{comment}}/edit": Shape(sends=record({"content": TEXT})),
    f"POST {TALK}/{{num}}/comment/{{comment}}/hide": Shape(sends=ANY),
    f"POST {TALK}/{{num}}/title": Shape(sends=record({"title": TEXT})),
    f"POST {TALK}/{{num}}/status": Shape(sends=record({"status": {"enum": ["open", "closed"]}}, comment=MAYBE_TEXT)),
    f"POST {TALK}/{{num}}/merge": Shape(sends=record({}, comment=MAYBE_TEXT)),
    f"GET {GATE}/{{status:pending|accepted|rejected}}": Shape(many(REQUEST)),
    f"POST {GATE}/handle": Shape(
        REQUEST,
        record({"status": {"enum": ["pending", "accepted", "rejected"]}}, user=MAYBE_TEXT, requestId=MAYBE_TEXT),
    ),
    f"POST {GATE}/grant": Shape(REQUEST, record({"user": TEXT})),
    f"POST {API}/ask-access": Shape(record({"status": TEXT}), ANY),
    **{
        f"POST {prefix}/{{ns}}/{{name}}/ask-access": Shape(
            record({"status": TEXT}), ANY, sends_media="application/x-www-form-urlencoded"
        )
        for prefix in ("", "/datasets", "/spaces")
    },
    f"POST {API}/like": Shape(sends=ANY),
    f"GET {API}/likers": Shape(many(PERSON)),
    "GET /api/users/{user}/likes": Shape(many(ANY)),
    "GET /api/users/{user}/overview": Shape(record({"user": TEXT})),
    "GET /api/organizations/{org}/overview": Shape(record({"name": TEXT})),
    "POST /api/users/{user}/follow": Shape(sends=ANY),
    "POST /api/organizations/{org}/follow": Shape(sends=ANY),
    "GET /api/collections": Shape(many(COLLECTION), query={"owner": many(TEXT), "item": many(TEXT), "limit": NUMBER}),
    "POST /api/collections": Shape(
        COLLECTION, record({"title": TEXT}, namespace=MAYBE_TEXT, description=MAYBE_TEXT, private=FLAG)
    ),
    f"GET {SLUG}": Shape(COLLECTION),
    f"PATCH {SLUG}": Shape(
        record({"success": FLAG, "data": COLLECTION}),
        record({}, title=MAYBE_TEXT, description=MAYBE_TEXT, private=FLAG, theme=MAYBE_TEXT, position=MAYBE_NUMBER),
    ),
    f"POST {SLUG}/items": Shape(COLLECTION, record({"item": record({"type": TEXT, "id": TEXT})}, note=MAYBE_TEXT)),
    f"PATCH {SLUG}/items/{{item}}": Shape(sends=record({}, note=MAYBE_TEXT, position=MAYBE_NUMBER)),
    f"POST {SLUG}/resource-group": Shape(sends=ANY),
    f"GET {HOOKS}": Shape(many(ANY)),
    f"POST {HOOKS}": Shape(
        WEBHOOK,
        record(
            {"url": TEXT, "watched": many(record({"type": TEXT, "name": TEXT}))}, domains=many(TEXT), secret=MAYBE_TEXT
        ),
    ),
    f"GET {HOOKS}/{{id}}": Shape(WEBHOOK),
    f"POST {HOOKS}/{{id}}": Shape(WEBHOOK, record({}, url=TEXT, domains=many(TEXT), secret=MAYBE_TEXT)),
    f"POST {HOOKS}/{{id}}/{{act:enable|disable}}": Shape(WEBHOOK, ANY),
    f"GET {HOOKS}/{{id}}/deliveries": Shape(many(ANY)),
    "POST /api/validate-yaml": Shape(
        record({"errors": many(ANY), "warnings": many(ANY)}), record({"content": TEXT}, repoType=KIND)
    ),
    "POST /uploads": Shape(sends={"type": "string", "contentMediaType": "image/png"}, sends_media="image/png"),
    f"GET {API}/xet-read-token/{{rev}}": Shape(XET_TOKEN),
    f"GET {API}/xet-write-token/{{rev}}": Shape(XET_TOKEN),
    **{
        f"POST {prefix}/{{ns}}/{{name}}{tail}/info/lfs/objects/batch": Shape(
            record({"objects": many(ANY)}),
            BATCH,
            media="application/vnd.git-lfs+json",
            sends_media="application/vnd.git-lfs+json",
        )
        for prefix in ("", "/{type:datasets|spaces}")
        for tail in (".git", "")
    },
}
