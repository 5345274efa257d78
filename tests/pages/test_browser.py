"""Every page in a real browser: nothing from elsewhere, no word in the console, nothing wider than the window."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.pages.conftest import DATASET, GATED, MODEL, Pages
from tests.pages.test_upload import watched

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = pytest.mark.browser
Browse = Callable[..., "BrowserContext"]

PATHS = [
    "/",
    "/models",
    f"/{MODEL}",
    f"/datasets/{DATASET}",
    f"/{MODEL}/tree/main",
    f"/{MODEL}/blob/main/README.md",
    f"/{MODEL}/blob/main/scripts/run.py",
    f"/{MODEL}/blob/main/model.safetensors",
    f"/{MODEL}/blob/main/figures/loss.png",
    f"/{MODEL}/blob/main/look.ipynb",
    f"/datasets/{DATASET}/blob/main/data/a.csv",
    f"/datasets/{DATASET}/blob/main/data/c.parquet",
    f"/{MODEL}/commits/main",
    f"/{MODEL}/commit/main",
    f"/{MODEL}/compare/main...next",
    f"/{MODEL}/refs",
    f"/{MODEL}/record",
]
OWNERS = [
    "/new/space",
    "/admin/storage",
    "/admin/storage/use",
    "/admin/quotas",
    "/settings/storage",
    "/oauth/device",
    "/models?search=la",
    f"/{MODEL}/settings",
    f"/{GATED}/settings/access",
    f"/{MODEL}/upload/main",
    f"/{MODEL}/edit/main/README.md",
    f"/{MODEL}/delete/main/config.json",
]
# Contrast of every text with what lies behind it, by the formula of WCAG 2.2 (1.4.3); those that fail.
CONTRAST = """() => {
  const rgb = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return text.startsWith('color(') ? [n[0] * 255, n[1] * 255, n[2] * 255, n[3] ?? 1] : [n[0], n[1], n[2], n[3] ?? 1]; };
  const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3]));
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    if (element.closest('.offscreen, [hidden], .skip, option, math')) continue;
    const stack = [];
    for (let at = element; at; at = at.parentElement) stack.push(rgb(getComputedStyle(at).backgroundColor));
    let behind = [255, 255, 255];
    for (const layer of stack.reverse()) behind = over(layer, behind);
    const style = getComputedStyle(element);
    const front = over(rgb(style.color), behind);
    const [a, b] = [light(front), light(behind)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.6 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) bad.push(`${ratio.toFixed(2)} ${element.className} ${walker.currentNode.textContent.trim().slice(0, 40)}`);
  }
  return [...new Set(bad)];
}"""
# Buttons and links that stand alone must be at least 32 px high; links inside of running text need not (WCAG 2.5.8).
SMALL = """() => [...document.querySelectorAll('button:not(.offscreen), .btn, summary, select, input:not([type=hidden]):not([type=checkbox]):not([type=radio]):not(.pick), .nav a, .tabs a, .side a, .foot a, .sorts a, .filters a')]
  .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height > 1 && e.getBoundingClientRect().height < 31.5)
  .map((e) => `${e.tagName}.${e.className} ${e.getBoundingClientRect().height} ${e.textContent.trim().slice(0, 30)}`)"""


def look(page: Page, url: str, path: str, problems: list[str]) -> None:
    page.goto(url + path)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{path} is {wide} px wider than the window"
    assert problems == [], path
    assert page.evaluate(CONTRAST) == [], path
    assert page.evaluate(SMALL) == [], path


@pytest.mark.parametrize(
    ("language", "theme", "width"),
    [("en", "light", 1280), ("zh-CN", "dark", 390), ("en", "dark", 390), ("zh-CN", "light", 1280)],
)
def test_pages_stand_in_every_window(pages: Pages, browse: Browse, language: str, theme: str, width: int) -> None:
    page = browse("ada", language=language, theme=theme, width=width).new_page()
    problems = watched(page, pages.url)
    for path in PATHS + OWNERS:
        look(page, pages.url, path, problems)


def test_a_strangers_pages(pages: Pages, browse: Browse) -> None:
    page = browse(language="zh-CN", theme="light", width=390).new_page()
    problems = watched(page, pages.url)
    for path in ("/", f"/{MODEL}", f"/{GATED}"):
        look(page, pages.url, path, problems)
    page.goto(f"{pages.url}/nothing/here/at/all")
    assert page.get_by_role("heading", level=1).inner_text() == "这里什么也没有"


def test_keys_menus_theme_and_copy(pages: Pages, browse: Browse) -> None:
    page = browse("ada").new_page()
    problems = watched(page, pages.url)
    page.goto(f"{pages.url}/{MODEL}")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "find"
    page.keyboard.type("pages")
    page.keyboard.press("Enter")
    page.wait_for_url("**/models?search=pages")
    page.get_by_text("pages-model").first.wait_for()
    page.goto(f"{pages.url}/{MODEL}")
    page.get_by_text("Use this model").click()
    page.get_by_role("heading", name="transformers").wait_for()
    page.keyboard.press("Escape")
    assert not page.get_by_role("heading", name="transformers").is_visible()
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("link", name="Dark").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.get_by_role("button", name="Copy").last.click()
    page.get_by_role("button", name="Copied").wait_for()
    assert problems == []


def test_a_line_can_be_pointed_at(pages: Pages, browse: Browse) -> None:
    page = browse().new_page()
    page.goto(f"{pages.url}/{MODEL}/blob/main/scripts/run.py")
    page.locator("#L2").click(position={"x": 10, "y": 5})
    assert page.url.endswith("#L2")
    page.locator("#L1").click(position={"x": 10, "y": 5}, modifiers=["Shift"])
    assert page.url.endswith("#L2-L1")


def test_the_checks_themselves_see_what_they_look_for(pages: Pages, browse: Browse) -> None:
    page = browse().new_page()
    page.goto(f"{pages.url}/models")
    page.evaluate(
        "document.querySelector('h1').style.color = '#bbb'; document.querySelector('.sorts a').style.cssText = 'min-height: 0; max-height: 20px'"
    )
    assert any("Models" in found for found in page.evaluate(CONTRAST))
    assert page.evaluate(SMALL)
