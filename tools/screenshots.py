"""Pictures of a running site's pages, to look at: both languages, both themes, wide and narrow.

    tools/screenshots.py http://127.0.0.1:7860 OUT_DIR [--sign-in NAME --data data] PATH…
    tools/screenshots.py http://127.0.0.1:7860 docs/pictures --tour --data data

``--tour`` takes those of what `make tour` has made that README shows, signed in as its account. ``--sign-in`` gives NAME a new
password by the site's own command. Also reports what no page may have: console errors, requests to other origins, content wider than the window.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import BrowserContext, Page, sync_playwright

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
VARIANTS = "en-light-1280,zh-CN-dark-1280,zh-CN-light-390,en-dark-390"
TOUR_VARIANTS = "en-light-1280,zh-CN-light-1280"
TOUR_PERSON, TRAINED = "tour", "tour/SmolLM2-135M-Tour"
QUESTION = "Name the capital of France."

Shot = tuple[str, str, Callable[[Page], None] | None]  # name, path, and what to do there first


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--cookie", action="append", default=[])
    parser.add_argument("--variants", default=None)
    parser.add_argument("--full", action="store_true", help="the whole page, not only the first screen")
    parser.add_argument("--sign-in", metavar="NAME", default=None)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--tour", action="store_true")
    options = parser.parse_intermixed_args()  # paths may follow options
    options.out.mkdir(parents=True, exist_ok=True)
    shots: list[Shot] = [(name_of(path), path, None) for path in options.paths]
    if options.tour:
        shots += tour_shots(options.url)
    person = options.sign_in or (TOUR_PERSON if options.tour else None)
    password = None if person is None else new_password(person, options.data)
    variants = options.variants or (TOUR_VARIANTS if options.tour else VARIANTS)
    wrong = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
        for variant in variants.split(","):
            language, theme, width = variant.rsplit("-", 2)
            context = browser.new_context(viewport={"width": int(width), "height": 900}, locale=language)
            cookies = [f"hw_lang={language}", f"hw_theme={theme}", *options.cookie]
            context.add_cookies(
                [
                    {"name": name, "value": value, "url": options.url}
                    for name, _, value in (c.partition("=") for c in cookies)
                ]
            )
            if person is not None and password is not None:
                sign_in(context, options.url, person, password)
            for name, path, act in shots:
                page = context.new_page()
                problems = watch(page, options.url)
                page.goto(options.url + path, wait_until="load")
                if act is not None:
                    act(page)
                wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                if wide > 0:
                    problems.append(f"{wide} px wider than the window")
                target = options.out / f"{name}-{variant}.png"
                page.screenshot(path=target, full_page=options.full)
                if options.tour:
                    make_small(target)
                for problem in problems:
                    wrong += 1
                    print(f"{path} {variant}: {problem}")
                page.close()
            context.close()
        browser.close()
    return 1 if wrong else 0


def name_of(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", path).strip("_") or "home"


def tour_shots(url: str) -> list[Shot]:
    """What README shows. Runs are found by what they are, for their numbers differ."""
    with urllib.request.urlopen(f"{url}/api/v1/runs?owner={TOUR_PERSON}&state=succeeded&limit=100") as answer:
        latest = {run["kind"]: run["id"] for run in reversed(json.load(answer))}
    return [
        ("run", f"/runs/{latest['train']}", None),
        ("corpus", "/datasets/tour/tour-corpus/corpus", None),
        ("leaderboard", "/datasets/tour/headwater-bilingual/leaderboard?partial=1", None),
        ("openness", f"/{TRAINED}/openness", None),
        ("lineage", f"/{TRAINED}/lineage", None),
        ("playground", "/playground", ask),
    ]


def ask(page: Page) -> None:
    """A question in the playground, and its answer."""
    page.fill("#temperature", "0")
    page.fill("#prompt", QUESTION)
    page.click("#send")
    page.wait_for_selector("#stop", state="visible", timeout=60_000)
    page.wait_for_selector("#stop", state="hidden", timeout=120_000)


def new_password(person: str, data: Path) -> str:
    password = secrets.token_urlsafe(24)
    command = [
        sys.executable,
        "-m",
        "headwater",
        "user",
        "reset-password",
        person,
        "--password-stdin",
        f"--data={data}",
    ]
    subprocess.run(command, input=f"{password}\n", text=True, check=True, capture_output=True)
    return password


def sign_in(context: BrowserContext, url: str, person: str, password: str) -> None:
    page = context.new_page()
    page.goto(f"{url}/login")
    page.fill("form[action='/login'] [name=name]", person)
    page.fill("form[action='/login'] [name=password]", password)
    page.click("form[action='/login'] button.main")
    page.wait_for_url(lambda address: urlsplit(address).path != "/login")
    page.close()


def make_small(path: Path) -> None:
    """256 colours are enough for pages, and a third of the bytes."""
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(256)
    few.save(path, optimize=True)


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
