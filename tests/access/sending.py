"""What each route is sent, so that whoever may do the thing really does it: a refusal must come from access alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import orjson

from headwater.accounts.pages.confirm import OWN as CONFIRM
from headwater.web.routing import Route, path_for
from tests.access.world import NAMES, ORG, Asker, World, make_endpoint, picture, signed_in
from tests.conftest import PASSWORD


class Call:
    """One request in the making: the values that fill its pattern, query and body."""

    def __init__(self, world: World, asker: Asker, route: Route, visibility: str, act: str = "") -> None:
        self.world = world
        self.asker = asker
        self.route = route
        self.visibility = visibility
        self.act = act  # what the form asks for, where its route takes several acts
        self.n = world.next()
        self.kind = _kind_of(route)
        self.name = NAMES.get(visibility, NAMES["public"])
        self.values = {
            "type": f"{self.kind}s",
            "kind": f"{self.kind}s" if "{kind:models" in route.pattern else self.kind,
            "ns": ORG,
            "name": self.name,
            "rev": "main",
            "branch": "main",
            "path": "README.md",
            "num": "1",
            "comment": "0" * 24,
            "range": "v1..main",
            "status": "pending",
            "user": "bob",
            "org": ORG,
            "id": "0" * 24,
            "call": _first_word(route),
            "rest": "x",
            "tag": "en",
            "theme": "dark",
            "act": "enable",
            "file": f"{ORG}.svg",
            "slug": "none-000000",
            "item": "0" * 24,
            "link": "x.y",
            "secret": "no-such-link",
            "prefix": "default",
            "hash": "0" * 64,
            "site": "s",
            "owner": "1",
            "epoch": "1",
            "format": "csv",
            "index": "0",
            "key": "no-such-licence",
        }
        self.query: dict[str, str] = {}
        self.json: Any = None
        self.form: dict[str, str] | None = None
        self.content: bytes | None = None
        self.files: Any = None
        self.headers: dict[str, str] = {}

    @property
    def api(self) -> str:
        """The repository's address below /api."""
        return f"/api/{self.kind}s/{ORG}/{self.name}"

    def send(self) -> httpx.Response:
        """Raises: KeyError where the pattern asks for a value that nobody gave."""
        headers = {"Accept": "text/html, */*", **self.asker.headers, **self.headers}
        more: dict[str, Any] = {}
        if self.json is not None:
            more["json"] = self.json
        elif self.files is not None:
            more = {"files": self.files, "data": self._form()}
        elif self.form is not None:
            more["data"] = self._form()
        elif self.content is not None:
            more["content"] = self.content
        client = self.asker.client
        client.cookies.pop("hw_flash", None)
        return client.request(
            self.route.method, path_for(self.route.pattern, **self.values), params=self.query, headers=headers, **more
        )

    def _form(self) -> dict[str, str]:
        act = {"act": self.act} if self.act else {}
        return {"csrf": self.asker.headers.get("X-CSRF-Token", "")} | act | (self.form or {})


def _first_word(route: Route) -> str:
    found = re.search(r"\{call:(\w[\w-]*)", route.pattern)
    return "x" if found is None else found[1]


def _kind_of(route: Route) -> str:
    typed = re.search(r"\{type:(\w+?)s[|}]", route.pattern)
    if typed is not None:
        return typed[1]
    head = re.match(r"/(?:api/)?(datasets|spaces)/", route.pattern)
    return "model" if head is None else head[1].removesuffix("s")


Prepare = Callable[[Call], None]
_PREPARED: list[tuple[re.Pattern[str], re.Pattern[str], Prepare]] = []


def prepare(method: str, ending: str) -> Callable[[Prepare], Prepare]:
    """Registers what makes a call ready; the first whose method and end of the pattern fit is taken."""

    def keep(act: Prepare) -> Prepare:
        start = "" if ending.startswith("^") else ".*"
        _PREPARED.append((re.compile(method), re.compile(start + ending), act))
        return act

    return keep


def call_for(world: World, asker: Asker, route: Route, visibility: str, act: str = "") -> Call:
    """The call of this route by this asker, with everything in place that it needs."""
    call = Call(world, asker, route, visibility, act)
    for method, pattern, doing in _PREPARED:
        if method.fullmatch(route.method) and pattern.fullmatch(route.pattern):
            doing(call)
            break
    else:
        if route.method in ("POST", "PUT", "PATCH"):
            if route.dialect == "page":
                call.form = {}
            else:
                call.json = {}
    return call


def _json(method: str, ending: str, body: Callable[[Call], Any]) -> None:
    @prepare(method, ending)
    def act(call: Call) -> None:
        call.json = body(call)


def _form(ending: str, body: Callable[[Call], dict[str, str]]) -> None:
    @prepare("POST", ending)
    def act(call: Call) -> None:
        call.form = body(call)


def _token_of_owner(call: Call) -> dict[str, str]:
    return {"Authorization": f"Bearer {call.world.app.token('bob')}"}


# ---- the calls of huggingface_hub

_json("POST", "/paths-info/{rev}", lambda call: {"paths": ["README.md"]})
_json("POST", "/preupload/{rev}", lambda call: {"files": [{"path": "a.txt", "size": 3, "sample": "YWJj"}]})
_json("POST", "/tag/{rev}", lambda call: {"tag": f"t{call.n}"})
_json("PUT", r"\{name\}/settings", lambda call: {"private": call.visibility == "private"})
_json("POST", r"\{name\}/duplicate", lambda call: {"repository": f"{call.asker.me}/copy-{call.n}"})
_json("POST", "/lfs-files/batch", lambda call: {"deletions": {"sha": ["0" * 64], "rewriteHistory": False}})
_json("POST", "/lfs-files/duplicate", lambda call: {
    "files": [{"sha256": call.world.oid}], "target": {"type": "model", "name": f"{call.asker.me}/own"},
})  # fmt: skip
_json("POST", r"api/.*\{name\}/discussions", lambda call: {"title": f"No. {call.n}", "description": "x"})
_json("POST", r"/\{num\}/comment", lambda call: {"comment": "hello"})
_json("POST", r"/\{num\}/title", lambda call: {"title": f"Title {call.n}"})
_json("POST", "/objects/batch", lambda call: {
    "operation": "download", "transfers": ["basic"], "objects": [{"oid": call.world.oid, "size": 70}],
})  # fmt: skip
_json("POST", "/api/repos/create", lambda call: {"name": f"new-{call.n}", "organization": call.asker.me})
_json("POST", "/api/collections", lambda call: {"title": f"Of {call.n}", "namespace": call.asker.me})
_json("POST", "/api/validate-yaml", lambda call: {"repoType": "model", "content": "---\nlicense: mit\n---\n"})
_json("POST", "/api/settings/webhooks", lambda call: {
    "url": "https://example.com/hook", "watched": [{"type": "user", "name": call.asker.me}], "domains": ["repo"],
})  # fmt: skip


@prepare("POST", r"/branch/\{branch\}")
def _new_branch(call: Call) -> None:
    call.values["branch"], call.json = f"b{call.n}", {}


@prepare("DELETE", r"/branch/\{branch\}")
def _a_branch(call: Call) -> None:
    call.values["branch"] = f"b{call.n}"
    call.world.owner("POST", f"{call.api}/branch/b{call.n}", json={})


@prepare("POST", r"/super-squash/\{branch\}")
def _squash(call: Call) -> None:
    """In a repository of its own: what a squash leaves unreached is pruned, beside which others are told to try again."""
    name = new_repository(call)
    call.values["name"], call.json = name, {"message": "one"}


@prepare("DELETE", r"/tag/\{rev\}")
def _a_tag(call: Call) -> None:
    call.values["rev"] = f"t{call.n}"
    call.world.owner("POST", f"{call.api}/tag/main", json={"tag": f"t{call.n}"})


@prepare("POST", r"api/.*/commit/\{rev\}")
def _commit(call: Call) -> None:
    lines: list[Any] = [
        {"key": "header", "value": {"summary": "s", "description": ""}},
        {"key": "file", "value": {"path": f"n/{call.n}.txt", "content": "YWJj", "encoding": "base64"}},
    ]
    call.content = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    call.headers["Content-Type"] = "application/x-ndjson"


@prepare("GET", r"/(commit)/\{rev\}")
def _show_commit(call: Call) -> None:
    call.values["rev"] = call.world.commits[call.kind, call.visibility]


@prepare("GET", r"/(tree|new|upload)/\{rev\}/\{path\*\}")
def _in_a_folder(call: Call) -> None:
    call.values["path"] = "folder" if "/tree/" in call.route.pattern else ""


@prepare("GET", r"/safetensors-metadata/.*")
def _weights(call: Call) -> None:
    call.values["path"] = "model.safetensors"


@prepare("DELETE", "/api/repos/delete")
def _delete(call: Call) -> None:
    name = new_repository(call)
    call.json = {"name": name, "organization": ORG, "type": "model"}


@prepare("POST", "/api/repos/move")
def _move(call: Call) -> None:
    name = new_repository(call)
    call.json = {"fromRepo": f"{ORG}/{name}", "toRepo": f"{ORG}/moved-{call.n}", "type": "model"}


def new_repository(call: Call, kind: str = "model") -> str:
    """The name of one more of the owner's, as visible as this call asks for."""
    name = f"brief-{call.n}"
    body = {"name": name, "organization": ORG, "private": call.visibility == "private", "type": kind}
    call.world.owner("POST", "/api/repos/create", json=body | ({"sdk": "static"} if kind == "space" else {}))
    if call.visibility == "gated":
        call.world.owner("PUT", f"/api/{kind}s/{ORG}/{name}/settings", json={"gated": "manual"})
    return name


def comment_on(call: Call) -> str:
    """The id of a new comment of the owner."""
    call.world.owner("POST", f"{call.api}/discussions/1/comment", json={"comment": "hm"})
    found = call.world.owner("GET", f"{call.api}/discussions/1").json()
    return str([event["id"] for event in found["events"] if event["type"] == "comment"][-1])


@prepare("POST", r"/comment/\{comment\}/(edit|hide)")
def _one_comment(call: Call) -> None:
    call.values["comment"] = comment_on(call)
    call.json = {"content": "hello again"}


@prepare("POST", r"/\{num\}/status")
def _status(call: Call) -> None:
    made = call.world.owner("POST", f"{call.api}/discussions", json={"title": f"No. {call.n}"}).json()
    call.values["num"], call.json = str(made["num"]), {"status": "closed"}


@prepare("GET", r"/\{num\}/files")
def _files_of_pull_request(call: Call) -> None:
    key = (call.kind, call.visibility)
    if key not in call.world.pulls:
        call.world.pulls[key] = pull_request(call)
    call.values["num"] = call.world.pulls[key]


@prepare("(POST|DELETE)", r"/api/users/\{user\}/follow")
def _follow(call: Call) -> None:
    call.values["user"] = "zoe"


@prepare("POST", r"^/(datasets/|spaces/)?\{ns\}/\{name\}/ask-access")
def _ask_by_form(call: Call) -> None:
    call.form = {}


@prepare("(GET|PUT)", "/-/uploads/{id}")
def _own_upload(call: Call) -> None:
    """Something that the owner has begun to send."""
    body = {"files": [{"path": f"{call.n}.bin", "size": 3, "stamp": call.n}]}
    made = call.world.owner("POST", f"/{ORG}/{NAMES['public']}/upload-session", json=body).json()
    call.values["id"], call.query, call.content = made["files"][0]["id"], {"offset": "0"}, b"abc"


@prepare("POST", r"/upload-discard")
def _discard(call: Call) -> None:
    call.json = {"ids": ["0" * 32]}


@prepare("POST", r"/\{num\}/merge")
def _merge(call: Call) -> None:
    call.values["num"] = pull_request(call)
    call.json = {}


def pull_request(call: Call) -> str:
    made = call.world.owner(
        "POST", f"{call.api}/discussions", json={"title": f"PR {call.n}", "pullRequest": True}
    ).json()
    lines: list[Any] = [
        {"key": "header", "value": {"summary": "s", "description": ""}},
        {"key": "file", "value": {"path": f"p/{call.n}.txt", "content": "YWJj", "encoding": "base64"}},
    ]
    body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    call.world.owner("POST", f"{call.api}/commit/refs%2Fpr%2F{made['num']}", content=body)
    return str(made["num"])


@prepare("POST", "/user-access-request/grant")
def _grant(call: Call) -> None:
    call.json = {"user": call.world.person()}


@prepare("POST", "/user-access-request/handle")
def _handle(call: Call) -> None:
    person = call.world.person()
    if call.visibility == "gated":
        call.world.owner("POST", f"{call.api}/user-access-request/grant", json={"user": person})
    call.json = {"user": person, "status": "rejected"}


def collection_of(call: Call) -> dict[str, Any]:
    body = {"title": f"Of {call.n}", "namespace": ORG, "private": call.visibility == "private"}
    made: dict[str, Any] = call.world.owner("POST", "/api/collections", json=body).json()
    call.values["ns"], call.values["slug"] = made["slug"].split("/")
    return made


def collection_with_item(call: Call) -> None:
    made = collection_of(call)
    item = {"item": {"type": "model", "id": f"{ORG}/{NAMES['public']}"}}
    found = call.world.owner("POST", f"/api/collections/{made['slug']}/items", json=item).json()
    call.values["item"] = found["items"][0]["_id"]


@prepare("GET", r"/collections/\{ns\}/\{slug\}")
def _a_collection(call: Call) -> None:
    collection_of(call)


@prepare("PATCH", r"/collections/\{ns\}/\{slug\}")
def _rename_collection(call: Call) -> None:
    collection_of(call)
    call.json = {"title": f"Again {call.n}"}


@prepare("DELETE", r"/collections/\{ns\}/\{slug\}")
def _drop_collection(call: Call) -> None:
    collection_of(call)


@prepare("POST", r"/collections/\{ns\}/\{slug\}/items")
def _add_item(call: Call) -> None:
    collection_of(call)
    call.json = {"item": {"type": "model", "id": f"{ORG}/{NAMES['public']}"}}


@prepare("PATCH", r"/items/\{item\}")
def _change_item(call: Call) -> None:
    collection_with_item(call)
    call.json = {"note": "hm"}


@prepare("DELETE", r"/items/\{item\}")
def _drop_item(call: Call) -> None:
    collection_with_item(call)


def hook_of(call: Call) -> None:
    """A webhook of the owner: others must not find it."""
    if not call.world.hook:
        body = {"url": "https://example.com/hook", "watched": [{"type": "user", "name": "bob"}], "domains": ["repo"]}
        call.world.hook = call.world.owner("POST", "/api/settings/webhooks", json=body).json()["webhook"]["id"]
    call.values["id"] = call.world.hook


@prepare("GET", r"webhooks/\{id\}(/deliveries)?")
def _read_hook(call: Call) -> None:
    hook_of(call)


@prepare("DELETE", r"webhooks/\{id\}")
def _drop_hook(call: Call) -> None:
    call.world.hook = ""
    hook_of(call)
    if call.asker.me == "bob":
        call.world.hook = ""  # the next one needs another


@prepare("POST", r"/api/settings/webhooks/\{id\}.*")
def _change_hook(call: Call) -> None:
    hook_of(call)
    call.json = {"domains": ["discussion"]}


@prepare("POST", "/settings/webhooks")
def _new_hook(call: Call) -> None:
    call.form = {"url": "https://example.com/h", "watched": f"user: {call.asker.me}", "domains": "repo"}


@prepare("POST", "/uploads")
def _picture(call: Call) -> None:
    call.content, call.headers["Content-Type"] = picture(1000 + call.n), "image/png"


@prepare("GET", "/uploads/{name}")
def _a_picture(call: Call) -> None:
    call.values["name"] = call.world.pictures[call.visibility]


# ---- runs

_json("POST", "/api/v1/recipes/check", lambda call: {"recipe": "kind: none"})
_json("POST", "/api/v1/runs", lambda call: {"recipe": "kind: none"})


@prepare("(GET|POST)", r"(/api/v1)?/runs/\{id\}.*")
def _a_run(call: Call) -> None:
    call.values["id"] = str(call.world.runs[call.visibility])
    if call.route.method == "POST":
        call.json, call.form = (None, {}) if call.route.dialect == "page" else ({}, None)


# ---- evaluations: what is asked for again is a kind that is not known


@prepare("(GET|POST)", r"(/api/v1)?/evaluations/\{id\}.*")
def _an_evaluation(call: Call) -> None:
    call.values["id"] = str(call.world.runs[call.visibility])
    if call.route.method == "POST":
        call.json, call.form = (None, {}) if call.route.dialect == "page" else ({}, None)


# ---- serving

HELLO = [{"role": "user", "content": "hello"}]
_json("POST", "/v1/chat/completions", lambda call: {"model": f"{ORG}/{call.name}", "messages": HELLO})
_json("POST", "/v1/completions", lambda call: {"model": f"{ORG}/{call.name}", "prompt": "hello"})
_json("POST", "/v1/embeddings", lambda call: {"model": f"{ORG}/{call.name}", "input": "hello"})
_json("POST", "/api/v1/endpoints", lambda call: {"model": f"{ORG}/{NAMES['public']}", "name": f"e{call.n}"})
_json("PATCH", r"/api/v1/endpoints/\{ns\}/\{name\}", lambda call: {"idle_s": 600})
_form("/endpoints/new", lambda call: {"model": f"{ORG}/{NAMES['public']}", "name": f"e{call.n}"})
_form("/settings/usage", lambda call: {"token": "0", "tokens_day": "5"})


@prepare("GET", r"/v1/models/\{model\*\}")
def _a_model(call: Call) -> None:
    call.values["model"] = f"{ORG}/{call.name}"


@prepare("POST", r"/endpoints/\{ns\}/\{name\}")
def _endpoint_form(call: Call) -> None:
    call.form = {}
    if call.act == "change":
        call.form = {"access": "members" if call.visibility == "private" else "everyone", "idle_s": "600"}
    elif call.act == "delete":
        _drop_endpoint(call)
        call.form = {"confirm": f"{ORG}/{call.values['name']}"}


@prepare("DELETE", r"/api/v1/endpoints/\{ns\}/\{name\}")
def _drop_endpoint(call: Call) -> None:
    call.values["name"] = f"{call.name}-{call.n}"
    make_endpoint(call.world, call.visibility, call.values["name"])


@prepare("POST", r"/api/v1/endpoints/\{ns\}/\{name\}/(start|stop)")
def _start_or_stop(call: Call) -> None:
    call.json = {}


@prepare("(GET|PUT)", "/api/v1/serving/limits/.*")
def _limits(call: Call) -> None:
    call.values |= {"subject": "owner", "name": ORG}
    if call.route.method == "PUT":
        call.json = {"requests_minute": 1000000}


# ---- git


@prepare("GET", "/info/refs")
def _refs(call: Call) -> None:
    call.query["service"] = "git-upload-pack"


@prepare("POST", "/git-upload-pack")
def _fetch(call: Call) -> None:
    want = f"want {call.world.commits[call.kind, call.visibility]}\n".encode()
    call.content = b"%04x%b00000009done\n" % (len(want) + 4, want)
    call.headers["Content-Type"] = "application/x-git-upload-pack-request"


@prepare("POST", "/git-receive-pack")
def _push(call: Call) -> None:
    call.content = b"0000"
    call.headers["Content-Type"] = "application/x-git-receive-pack-request"


@prepare("GET", "/lfs/objects/{link}")
def _by_link(call: Call) -> None:
    call.values["link"] = call.world.link


@prepare("GET", "/-/static/{name}")
def _static(call: Call) -> None:
    call.values["name"] = "mark.svg"


@prepare("GET", r"/log/tile/\{path\*\}")
def _tile(call: Call) -> None:
    call.values["path"] = "0/000.p/1"


@prepare("GET", r"/log/about/\{path\*\}")
def _history(call: Call) -> None:
    call.values["path"] = f"{ORG}/{call.name}"


@prepare("GET", "/api/v1/log/consistency")
def _consistency(call: Call) -> None:
    call.query = {"from": "1", "to": "1"}


@prepare("POST", "/log/witness/add-checkpoint")
def _no_checkpoint(call: Call) -> None:
    call.content = b"old 0\n\nnot a checkpoint\n"


_form("/settings/confirm", lambda call: {f"{CONFIRM}password": PASSWORD})
_form("/settings/log", lambda call: {"up_to": "0"})
_form(r"/settings/secrets", lambda call: {"mark": "none", "reason": "because"})
DECISION = {"criterion": "licence", "value": "partial", "reason": "It was read by a person."}
_json("POST", "/overrides", lambda call: DECISION)


def decision_of(call: Call) -> str:
    """The id of one that is in force: an administrator's, whoever asks."""
    admin = call.world.askers["admin"]
    at = f"/api/v1/grades/{call.kind}s/{ORG}/{call.name}/overrides"
    made = admin.client.post(at, json=DECISION, headers=admin.headers)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


@prepare("DELETE", r"/overrides/\{id\}")
def _a_decision(call: Call) -> None:
    call.values["id"] = decision_of(call)


_form(r"/releases", lambda call: {"revision": "", "bundle": "x", "public_key": "x"})


@prepare("POST", "/log(in|out)")
def _sign_in_or_out(call: Call) -> None:
    """With a session that may end, and without the cookie of others."""
    if call.asker.who in ("session", "admin"):
        call.asker = signed_in(call.world.app, call.asker.who)
    else:
        client = httpx.Client(base_url=call.world.app.url, timeout=60)
        call.asker = Asker(call.asker.who, call.asker.me, client, call.asker.headers)
    call.form = {"name": call.asker.me, "password": PASSWORD}


# ---- pages

_form(r"\{name\}/like", lambda call: {"like": "1"})
_form(r"/discussions/new", lambda call: {"title": f"No. {call.n}", "text": "hello"})
_form("/collections/new", lambda call: {"owner": call.asker.me, "title": f"Of {call.n}", "visibility": "public"})
_form(re.escape("/new/{kind:model|dataset|space}"), lambda call: {
    "owner": call.asker.me, "name": f"new-{call.n}", "visibility": "public",
})  # fmt: skip
_form(r"/\{ns\}/follow", lambda call: {"follow": "1"})
_form("/settings/profile", lambda call: {"full_name": "A name"})
_form("/organizations/new", lambda call: {"name": f"org-{call.n}", "full_name": "An organisation"})
_form("/organizations/{org}/settings", lambda call: {"full_name": "Works"})


@prepare("POST", r"/new/\{rev\}/\{path\*\}")
def _new_file(call: Call) -> None:
    call.files = {"none": b""}  # makes the form one of parts, as the editor sends it
    call.form = {"path": f"w/{call.n}.txt", "text": "hello", "title": "t"}


@prepare("POST", r"/edit/\{rev\}/\{path\*\}")
def _edit(call: Call) -> None:
    call.files = {"none": b""}
    call.form = {"path": "README.md", "text": f"---\nlicense: mit\n---\n{call.n}\n", "title": "t"}


@prepare("POST", r"/delete/\{rev\}/\{path\*\}")
def _delete_file(call: Call) -> None:
    lines: list[Any] = [
        {"key": "header", "value": {"summary": "s", "description": ""}},
        {"key": "file", "value": {"path": f"d/{call.n}.txt", "content": "YWJj", "encoding": "base64"}},
    ]
    body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    call.world.owner("POST", f"{call.api}/commit/main", content=body)
    call.values["path"], call.form = f"d/{call.n}.txt", {"title": "t"}


@prepare("POST", r"/upload/\{rev\}/\{path\*\}")
def _upload_form(call: Call) -> None:
    call.values["path"] = "sent"
    call.form, call.files = {}, {"files": (f"{call.n}.txt", b"hello")}


@prepare("POST", "/upload-session")
def _session(call: Call) -> None:
    call.json = {"files": [{"path": f"{call.n}.bin", "size": 3, "stamp": 0}]}


@prepare("POST", r"/upload-commit/\{rev\}/\{path\*\}")
def _commit_uploads(call: Call) -> None:
    call.values["path"], call.json = "", {"ids": ["0" * 32], "title": "t", "description": ""}


@prepare("POST", "/oauth/device")
def _device(call: Call) -> None:
    call.content = b"client_id=x"
    call.headers["Content-Type"] = "application/x-www-form-urlencoded"


@prepare("POST", "/oauth/token")
def _device_token(call: Call) -> None:
    call.content = b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=x"
    call.headers["Content-Type"] = "application/x-www-form-urlencoded"
