"""Pictures of a running site's pages, to look at: both languages, both themes, wide and narrow.

    tools/screenshots.py http://127.0.0.1:7860 OUT_DIR [--cookie hw_session=…] PATH…

Also reports what no page may have: console errors, requests to other origins, content wider than the window.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--cookie", action="append", default=[])
    parser.add_argument("--variants", default="en-light-1280,zh-CN-dark-1280,zh-CN-light-390,en-dark-390")
    parser.add_argument("--full", action="store_true", help="the whole page, not only the first screen")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    wrong = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
        for variant in options.variants.split(","):
            language, theme, width = variant.rsplit("-", 2)
            context = browser.new_context(viewport={"width": int(width), "height": 900}, locale=language)
            cookies = [f"hw_lang={language}", f"hw_theme={theme}", *options.cookie]
            context.add_cookies(
                [
                    {"name": name, "value": value, "url": options.url}
                    for name, _, value in (c.partition("=") for c in cookies)
                ]
            )
            for path in options.paths:
                page = context.new_page()
                problems = watch(page, options.url)
                page.goto(options.url + path, wait_until="load")
                wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                if wide > 0:
                    problems.append(f"{wide} px wider than the window")
                name = re.sub(r"[^A-Za-z0-9]+", "_", path).strip("_") or "home"
                page.screenshot(path=options.out / f"{name}-{variant}.png", full_page=options.full)
                for problem in problems:
                    wrong += 1
                    print(f"{path} {variant}: {problem}")
                page.close()
            context.close()
        browser.close()
    return 1 if wrong else 0


def watch(page: Page, url: str) -> list[str]:
    """Collects what the page does that it must not."""
    problems: list[str] = []
    origin = urlsplit(url).netloc
    page.on("console", lambda m: problems.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))
    page.on(
        "request", lambda r: problems.append(f"asks {r.url}") if urlsplit(r.url).netloc not in (origin, "") else None
    )
    return problems


if __name__ == "__main__":
    sys.exit(main())
