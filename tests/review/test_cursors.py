"""A cursor that no list gave out is refused, never a fault of the server."""

from __future__ import annotations

import base64

import httpx
import orjson
import pytest

from tests.conftest import LiveApp

LISTS = [
    "/bob/listed/record",
    "/api/models/bob/listed/lfs-files",
    "/api/models/bob/listed/tree/main",
    "/api/models/bob/listed/likers",
    "/api/models",
    "/api/collections",
    "/api/settings/repositories",
    "/api/users/bob/followers",
    "/api/users/bob/likes",
    "/api/organizations/lab/members",
    "/models",
    "/collections",
]
POSITIONS = [None, True, -1, 1 << 62, "abc", [], [1], [1, 2], ["created", 1 << 62, 1 << 62], {"a": 1}, 1.5]
RAW = ["zzz", "é", "=", base64.urlsafe_b64encode(b"[" * 30_000).decode(), base64.urlsafe_b64encode(b"9" * 40).decode()]


@pytest.mark.parametrize("address", LISTS)
def test_any_cursor_is_taken_or_refused(live_app: LiveApp, address: str):
    live_app.hf("bob").create_repo("bob/listed", exist_ok=True)
    headers = {"Authorization": f"Bearer {live_app.token('bob')}", "Accept": "text/html"}
    cursors = RAW + [base64.urlsafe_b64encode(orjson.dumps(position)).decode() for position in POSITIONS]
    with httpx.Client(base_url=live_app.url, headers=headers) as client:
        for cursor in cursors:
            answer = client.get(address, params={"cursor": cursor})
            assert answer.status_code < 500, (cursor[:80], answer.text[-300:])
