"""A fetch that breaks off or makes no sense is told so in git's own words."""

from __future__ import annotations

import httpx
import pytest

from tests.conftest import LiveApp


@pytest.mark.parametrize("body", [b"junk" * 20, b"\xff" * 500, b"0014command=fetch", b"0011command=ls", b"00zz"])
def test_a_broken_fetch_is_answered(live_app: LiveApp, body: bytes):
    live_app.hf("bob").create_repo("bob/fetched", exist_ok=True)
    address = f"{live_app.url}/bob/fetched.git/git-upload-pack"
    answer = httpx.post(address, content=body, headers={"Git-Protocol": "version=2"})
    assert b"ERR " in answer.content
