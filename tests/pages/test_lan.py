"""A colleague on the same network, over plain http and under a name the server never heard of: no secure context."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import PASSWORD, LiveApp
from tests.servers.chromium import CHROMIUM, CHROMIUM_ARGS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SIZE = 12_000_000
# A file of bytes that differ everywhere, dropped as a whole; the browser itself makes event and file.
DROP = """(size) => {
  const words = new Uint32Array(size / 4);
  let x = 2463534242;
  for (let i = 0; i < words.length; i++) { x ^= x << 13; x ^= x >>> 17; x ^= x << 5; x >>>= 0; words[i] = x; }
  const data = new DataTransfer();
  data.items.add(new File([words], '权重.bin', {lastModified: 1700000000000}));
  document.querySelector('#drop').dispatchEvent(new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: data}));
}"""


def dropped() -> bytes:
    import array

    words, x = array.array("I"), 2463534242
    for _ in range(SIZE // 4):
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        words.append(x)
    return words.tobytes()


@pytest.fixture
def lan_chromium(chromium: Browser):
    """A browser for which hub.lan is this machine."""
    rules = "--host-resolver-rules=MAP hub.lan 127.0.0.1"
    browser = chromium.browser_type.launch(executable_path=CHROMIUM, args=[*CHROMIUM_ARGS, rules])
    yield browser
    browser.close()


@pytest.mark.browser
def test_everything_works_at_a_lan_address(new_app: Callable[..., LiveApp], lan_chromium: Browser) -> None:
    app = new_app(host="0.0.0.0")
    port = urlsplit(app.url).port
    lan = f"http://hub.lan:{port}"
    # What clients are given leads here too, from this machine and from others.
    assert urlsplit(app.url).hostname not in ("0.0.0.0", "localhost")
    assert httpx.get(f"{app.url}/-/health").status_code == 200
    page = lan_chromium.new_page()
    said: list[str] = []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.on("request", lambda r: said.append(r.url) if not r.url.startswith((lan, "data:", "blob:")) else None)
    page.goto(f"{lan}/new/model")
    assert page.evaluate("window.isSecureContext") is False
    assert page.evaluate("crypto.subtle === undefined")
    page.wait_for_url(f"{lan}/login?next=*")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{lan}/new/model")
    page.locator("#f-name").fill("by-lan")
    page.get_by_role("button", name="Create").last.click()
    page.wait_for_url(f"{lan}/ada/by-lan")
    page.goto(f"{lan}/ada/by-lan/upload/main")
    page.evaluate(DROP, SIZE)
    page.get_by_label("What does this change?").fill("Dropped over the LAN")
    page.get_by_role("button", name="Upload and commit").click()
    page.wait_for_url(f"{lan}/ada/by-lan/tree/main")
    page.get_by_text("Dropped over the LAN").first.wait_for()
    with page.expect_download() as started:
        page.get_by_title("Download 权重.bin").click()
    assert started.value.path().read_bytes() == dropped()
    page.goto(f"{lan}/ada/by-lan/settings")
    page.get_by_label("private").or_(page.locator("input[value=private]")).first.check()
    page.get_by_role("button", name="Save").first.click()
    page.get_by_text("The visibility was changed.").wait_for()
    page.locator(".person").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{lan}/**")
    assert page.goto(f"{lan}/ada/by-lan").status == 404
    assert [each for each in said if "404" not in each] == []
    # By the address that the server gives out, the real client gets the same bytes.
    path = app.hf("ada").hf_hub_download("ada/by-lan", "权重.bin")
    with open(path, "rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == hashlib.sha256(dropped()).digest()
