"""The character NUL, which PostgreSQL keeps in no text: strangers send it, and are told so in the same words on both databases."""

from __future__ import annotations

import httpx
import orjson
import pytest

from headwater.hub.cards import jobs
from headwater.hub.git import AddFile
from tests.conftest import LiveApp


def post(app: LiveApp, path: str, body: dict[str, object]) -> httpx.Response:
    return httpx.post(f"{app.url}{path}", json=body, headers={"Authorization": f"Bearer {app.token('ada')}"})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/collections", {"title": "a\0b", "namespace": "ada"}),
        ("/api/collections", {"title": "ab", "namespace": "ada", "description": "a\0b"}),
        ("/api/repos/create", {"name": "a\0b"}),
        ("/api/models/ada/nul/discussions", {"title": "So a\0b it is", "description": "x", "pullRequest": False}),
        ("/api/models/ada/nul/branch/a%5C0", {"startingPoint": "a\0b"}),
        ("/api/models/ada/nul/tag/main", {"tag": "a\0b"}),
        ("/api/models/ada/nul/tag/main", {"tag": "v1", "message": "a\0b"}),
    ],
)
def test_in_a_call_it_is_refused_or_left_out(live_app: LiveApp, path: str, body: dict[str, object]) -> None:
    live_app.hf("ada").create_repo("ada/nul", exist_ok=True)
    answer = post(live_app, path, body)
    assert 200 <= answer.status_code < 500, answer.text
    if answer.status_code < 300:
        assert "\0" not in answer.text
        assert "\\u0000" not in answer.text
    else:
        assert orjson.loads(answer.content)["error"]


@pytest.mark.parametrize("path", ["/models?search=a%00b", "/api/models?search=%00", "/api/models?author=%00x"])
def test_in_an_address_it_is_refused(live_app: LiveApp, path: str) -> None:
    answer = httpx.get(f"{live_app.url}{path}")
    assert answer.status_code == 400
    assert "control characters" in answer.text


def test_in_a_card_and_in_what_describes_weights_it_hinders_no_index(work) -> None:
    card = b'---\ntags:\n- "a\\0b"\nlicense: "m\\0it"\npretty_name: "x\\0"\n---\n# a\0b\n'
    config = b'{"model_type": "a\\u0000b", "architectures": ["c\\u0000"]}'
    work.commit([AddFile("README.md", card), AddFile("config.json", config)])
    jobs.index_now(work.site, work.repo.id)
