"""What a form sends where its route takes several acts: each is prepared, so that whoever may do it really does."""

from __future__ import annotations

from collections.abc import Callable

from headwater.accounts.models import Role
from headwater.accounts.service import organisations, tokens
from headwater.kernel import SYSTEM, utcnow
from tests.access.sending import (
    DECISION,
    Call,
    collection_of,
    collection_with_item,
    comment_on,
    decision_of,
    hook_of,
    new_repository,
    prepare,
    pull_request,
)
from tests.access.world import NAMES, ORG, signed_in
from tests.conftest import PASSWORD

Fields = Callable[[Call], dict[str, str]]


def _acts(ending: str, fields: dict[str, Fields]) -> None:
    """Raises: KeyError for an act that nobody prepared."""

    @prepare("POST", ending)
    def do(call: Call) -> None:
        call.form = fields[call.act](call)


def _nothing(call: Call) -> dict[str, str]:
    del call
    return {}


# ---- repositories


def _in_new_repository(call: Call) -> str:
    call.values["name"] = new_repository(call, call.kind)
    return call.values["name"]


def _new_branch(call: Call) -> dict[str, str]:
    call.world.owner("POST", f"{call.api}/branch/b{call.n}", json={})
    return {"name": f"b{call.n}"}


def _new_tag(call: Call) -> dict[str, str]:
    call.world.owner("POST", f"{call.api}/tag/main", json={"tag": f"t{call.n}"})
    return {"name": f"t{call.n}"}


def _new_discussion(call: Call, *, status: str = "open") -> dict[str, str]:
    made = call.world.owner("POST", f"{call.api}/discussions", json={"title": f"No. {call.n}"}).json()
    if status != "open":
        call.world.owner("POST", f"{call.api}/discussions/{made['num']}/status", json={"status": status})
    call.values["num"] = str(made["num"])
    return {}


def _merge(call: Call) -> dict[str, str]:
    call.values["num"] = pull_request(call)
    return {}


def _asked(call: Call, *, status: str) -> dict[str, str]:
    """Somebody whose request is as it must be, before it is handled."""
    person = call.world.person()
    if call.visibility == "gated":
        at = f"{call.api}/user-access-request"
        call.world.owner("POST", f"{at}/grant", json={"user": person})
        if status != "accepted":
            call.world.owner("POST", f"{at}/handle", json={"user": person, "status": status})
    return {"user": person}


_acts(r"\{name\}/refs", {
    "create_branch": lambda call: {"name": f"b{call.n}", "start": "main"},
    "create_tag": lambda call: {"name": f"t{call.n}", "start": "main"},
    "delete_branch": _new_branch,
    "delete_tag": _new_tag,
})  # fmt: skip
_acts(r"\{name\}/settings", {
    "visibility": lambda call: {"visibility": "private" if call.visibility == "private" else "public"},
    "gate": lambda call: {"gated": "manual" if call.visibility == "gated" else ""},
    "branch": lambda call: {"branch": "main"},
    "move": lambda call: {"owner": ORG, "name": f"moved-{_in_new_repository(call)}"},
    "delete": lambda call: {"confirm": f"{ORG}/{_in_new_repository(call)}", "reason": "because"},
})  # fmt: skip
_acts(r"/settings/access", {
    "grant": lambda call: {"user": call.world.person()},
    "accepted": lambda call: _asked(call, status="rejected"),
    "rejected": lambda call: _asked(call, status="accepted"),
    "pending": lambda call: _asked(call, status="accepted"),
})  # fmt: skip
_acts(r"/safety", {
    "release": lambda call: {"content": "0" * 64, "role": "text", "reason": "because it is harmless"},
    "withdraw": lambda call: {"content": "0" * 64, "role": "text"},
})  # fmt: skip
_acts(r"/discussions/new", {
    "": lambda call: {"title": f"No. {call.n}", "text": "hello"},
    "preview": lambda call: {"title": f"No. {call.n}", "text": "hello"},
})  # fmt: skip
_acts(r"/discussions/\{num\}", {
    "comment": lambda call: {"text": "hello"},
    "edit": lambda call: {"comment": comment_on(call), "text": "hello again"},
    "hide": lambda call: {"comment": comment_on(call)},
    "rename": lambda call: _new_discussion(call) | {"title": f"Title {call.n}"},
    "open": lambda call: _new_discussion(call, status="closed"),
    "closed": _new_discussion,
    "merge": _merge,
    "preview": lambda call: {"text": "hello"},
})  # fmt: skip


# ---- collections and webhooks


def _in_collection(call: Call) -> dict[str, str]:
    collection_of(call)
    return {}


def _with_item(call: Call) -> dict[str, str]:
    collection_with_item(call)
    return {"id": call.values["item"], "at": "0"}


def _with_hook(call: Call) -> dict[str, str]:
    hook_of(call)
    return {}


def _last_hook(call: Call) -> dict[str, str]:
    call.world.hook = ""
    hook_of(call)
    call.world.hook = ""  # the next one needs another
    return {}


_acts(r"/collections/\{ns\}/\{slug\}", {
    "update": lambda call: _in_collection(call) | {"title": f"Now {call.n}", "visibility": "public"},
    "add": lambda call: _in_collection(call) | {"item": f"{ORG}/{NAMES['public']}", "kind": "model"},
    "note": lambda call: _with_item(call) | {"note": "hm"},
    "up": _with_item,
    "down": _with_item,
    "remove": _with_item,
    "delete": _in_collection,
})  # fmt: skip
_acts(r"/settings/webhooks/\{id\}", {
    "update": lambda call: _with_hook(call) | {
        "url": "https://example.com/h", "watched": f"user: {call.asker.me}", "domains": "repo",
    },
    "enable": _with_hook,
    "disable": _with_hook,
    "again": lambda call: _with_hook(call) | {"delivery": "0" * 24},
    "delete": _last_hook,
})  # fmt: skip


# ---- people


def _by_a_session_that_ends(call: Call) -> dict[str, str]:
    """Somebody's who asks for nothing afterwards."""
    if call.asker.who in ("session", "admin"):
        call.asker = signed_in(call.world.app, call.asker.who, "zoe")
    return {}


def _number_of_new_token(call: Call) -> str:
    with call.world.app.opened() as site:
        now = utcnow()
        made = site.db.write(tokens.create_token, SYSTEM, owner=call.asker.me, name="brief", role="read", now=now)
    return str(made.info.id)


def _new_member(call: Call) -> str:
    person = call.world.person()
    with call.world.app.opened() as site:
        site.db.write(organisations.set_role, SYSTEM, ORG, person, Role.READ, now=utcnow())
    return person


def _person(call: Call) -> dict[str, str]:
    return {"person": call.world.person()}


_acts("/settings/sign-in", {
    "password": lambda call: {"old": PASSWORD, "password": "short"},  # one that is taken would end who asks after this
    "tie": _nothing,
    "untie": _nothing,
    "end": lambda call: {"session": "none"},
    "end_others": _nothing,
    "end_all": _by_a_session_that_ends,
})  # fmt: skip
_acts("/settings/second-factor", {
    "begin_app": _nothing,
    "finish_app": lambda call: {"sealed": "x.y", "code": "000000", "name": "x"},
    "passkey": lambda call: {"answer": "{}", "challenge": "x.y", "name": "x"},
    "remove": lambda call: {"factor": "999999"},
    "codes": _nothing,
})  # fmt: skip
_acts("/settings/tokens", {
    "create": lambda call: {"name": f"t{call.n}", "role": "read", "life": "7"},
    "revoke": lambda call: {"token": _number_of_new_token(call)},
})  # fmt: skip
_acts("/settings/organisations", {
    "leave": lambda call: {"org": "empty"},
    "invite": lambda call: {"note": "x"},
    "withdraw": lambda call: {"link": "none"},
})  # fmt: skip
_acts("/organizations/{org}/members", {
    "set_role": lambda call: {"person": "zoe", "role": "read"},
    "remove": lambda call: {"person": _new_member(call)},
    "invite": lambda call: {"role": "read"},
    "withdraw": lambda call: {"link": "none"},
})  # fmt: skip
_acts("/link/{secret}", {
    "join": lambda call: {"name": f"j{call.n}", "password": PASSWORD},
    "accept": _nothing,
    "reset": lambda call: {"password": PASSWORD},
})  # fmt: skip
_acts("/oauth/device/answer", {
    "approve": lambda call: {"user_code": "BCDFGHJK"},
    "refuse": lambda call: {"user_code": "BCDFGHJK"},
})  # fmt: skip


# ---- administration

_acts("/admin/people", {
    "create": lambda call: {"person": f"q{call.n}"},
    "suspend": _person,
    "reinstate": _person,
    "make_admin": _person,
    "unmake_admin": _person,
    "reset": _person,
})  # fmt: skip
_acts("/admin/sign-up", {
    "policy": lambda call: {"policy": "closed"},
    "invite": lambda call: {"note": "x"},
    "withdraw": lambda call: {"link": "none"},
})  # fmt: skip
_acts("/admin/storage", {"run": _nothing, "confirm": _nothing, "retry": _nothing})
_acts("/runs/new", dict.fromkeys(("submit", "check"), lambda call: {"recipe": "kind: none"}))
_acts(r"/openness", {"decide": lambda call: DECISION, "withdraw": lambda call: {"id": decision_of(call)}})
_acts(r"/runs/\{id\}", {"cancel": _nothing, "retry": _nothing})
_acts("/admin/quotas", {"default": _nothing, "one": lambda call: {"name": "eve"}})
