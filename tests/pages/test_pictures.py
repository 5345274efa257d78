"""Pictures in comments, in a real browser: chosen, pasted, dropped; and by the plain form."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.conftest import wait_for
from tests.pages.conftest import Pages, png
from tests.pages.test_browser import look
from tests.pages.test_upload import watched

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = pytest.mark.browser
Browse = Callable[..., "BrowserContext"]
REPO = "ada/pages-pictures"
LINK = r"/uploads/[0-9a-f]{32}\.png"

# A file as the clipboard or a drag hands it over; the browser itself makes event and file.
HAND_OVER = """([kind, name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const held = new DataTransfer();
  held.items.add(new File([bytes], name, {type}));
  const made = kind === 'paste' ? new ClipboardEvent('paste', {bubbles: true, cancelable: true, clipboardData: held})
                                : new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: held});
  document.querySelector('textarea').dispatchEvent(made);
}"""
DRAWN = "[...document.querySelectorAll('.prose img')].filter((i) => i.complete && i.naturalWidth === 40).length"


@pytest.fixture(scope="module")
def talk(pages: Pages) -> Iterator[str]:
    hf = pages.app.hf("ada")
    hf.create_repo(REPO)
    yield f"{pages.url}/{REPO}/discussions/{hf.create_discussion(REPO, 'Pictures', description='Here.').num}"
    hf.delete_repo(REPO)


def send_and_count(page: Page, n: int) -> None:
    page.get_by_role("button", name="Comment", exact=True).click()
    wait_for(lambda: page.evaluate(DRAWN) == n, what=f"{n} pictures")


def test_chosen_pasted_and_dropped(pages: Pages, talk: str, browse: Browse) -> None:
    page = browse("ada").new_page()
    problems = watched(page, pages.url)
    page.goto(talk)
    area = page.locator("textarea")
    area.fill("before")
    page.locator("input[type=file]").set_input_files({"name": "a [b].png", "mimeType": "image/png", "buffer": png()})
    wait_for(lambda: re.fullmatch(rf"before\n!\[a  ?b\]\({LINK}\)\n", area.input_value()), what="its link")
    data = base64.b64encode(png()).decode()
    for n, kind in enumerate(("paste", "drop"), 2):
        page.evaluate(HAND_OVER, [kind, "image.png", "image/png", data])
        wait_for(
            lambda n=n: len(re.findall(rf"!\[[\w ]+\]\({LINK}\)\n", area.input_value())) == n, what=f"{kind}: link"
        )
    send_and_count(page, 3)
    assert problems == []


def test_what_is_refused_is_said_beside_the_form_in_ones_language(pages: Pages, talk: str, browse: Browse) -> None:
    page = browse("ada", language="zh-CN").new_page()
    page.goto(talk)
    page.locator("textarea").fill("留着")
    svg = {"name": "x.svg", "mimeType": "image/svg+xml", "buffer": b"<svg/>"}
    page.locator("input[type=file]").set_input_files(svg)
    page.get_by_text("x.svg 未被接收。这里只能显示 PNG、JPEG、GIF 和 WebP").wait_for()
    large = {"name": "y.png", "mimeType": "image/png", "buffer": bytes((10 << 20) + 1)}
    page.locator("input[type=file]").set_input_files(large)
    page.get_by_text("y.png 未被接收。超过了 10 MB。").wait_for()
    # What only the server can tell: no picture, whatever it is called.
    page.locator("input[type=file]").set_input_files({"name": "z.png", "mimeType": "image/png", "buffer": b"<svg/>"})
    page.get_by_text("z.png 未被接收。").wait_for()
    page.route("**/uploads", lambda route: route.abort())
    page.locator("input[type=file]").set_input_files({"name": "w.png", "mimeType": "image/png", "buffer": png()})
    page.get_by_text("w.png 没有传到").wait_for()
    assert page.locator("textarea").input_value().strip() == "留着"


def test_nothing_is_sent_before_all_pictures_have_arrived(pages: Pages, talk: str, browse: Browse) -> None:
    page = browse("ada").new_page()
    page.goto(talk)
    held: list[object] = []
    page.route("**/uploads", lambda route: held.append(route))  # noqa: PLW0108 - its caller sets an attribute on it
    page.locator("input[type=file]").set_input_files({"name": "slow.png", "mimeType": "image/png", "buffer": png()})
    page.get_by_text("Sending slow.png").wait_for()
    page.get_by_role("button", name="Comment", exact=True).click()
    page.get_by_text("Wait until all pictures have arrived.").wait_for()
    held[0].continue_()  # type: ignore[attr-defined]
    wait_for(lambda: re.search(LINK, page.locator("textarea").input_value()), what="its link")
    page.get_by_role("button", name="Comment", exact=True).click()
    page.wait_for_url(re.compile("#[0-9a-f]{24}$"))


def test_without_a_script_the_form_brings_them(pages: Pages, talk: str, browse: Browse) -> None:
    page = browse("bob", js=False).new_page()
    page.goto(f"{pages.url}/{REPO}/discussions/new")
    page.get_by_label("Title").fill("By the plain form")
    page.get_by_label("Add pictures").set_input_files(
        [{"name": f"{n}.png", "mimeType": "image/png", "buffer": png()} for n in range(2)]
    )
    page.get_by_role("button", name="Start the discussion").click()
    assert page.locator(".prose img").count() == 2
    shown = page.request.get(pages.url + str(page.locator(".prose img").first.get_attribute("src")))
    assert shown.body() == png()
    page.get_by_label("Add pictures").set_input_files(
        {"name": "x.svg", "mimeType": "image/svg+xml", "buffer": b"<svg/>"}
    )
    page.locator("textarea").fill("kept")
    page.get_by_role("button", name="Comment", exact=True).click()
    assert "PNG, JPEG, GIF or WebP" in page.locator(".say [role=alert]").inner_text()
    assert page.locator("textarea").input_value().strip() == "kept"


@pytest.mark.parametrize(("language", "theme", "width"), [("en", "light", 1280), ("zh-CN", "dark", 390)])
def test_the_forms_stand_in_every_window(
    pages: Pages, talk: str, browse: Browse, language: str, theme: str, width: int
) -> None:
    page = browse("ada", language=language, theme=theme, width=width).new_page()
    problems = watched(page, pages.url)
    for url in (talk, f"{pages.url}/{REPO}/discussions/new", f"{pages.url}/{REPO}/discussions"):
        look(page, pages.url, url.removeprefix(pages.url), problems)
    page.goto(talk)
    opening = str(page.locator(".comment").first.get_attribute("id"))
    look(page, pages.url, f"{talk.removeprefix(pages.url)}?edit={opening}", problems)
    assert page.locator("textarea").count() == 2
