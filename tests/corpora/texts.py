"""Real text for these tests: what Debian's manual pages and Python's documentation say, as installed by tools/setup.sh."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import pytest

MANUALS_ZH = Path("/usr/share/man/zh_CN/man1")
PYTHON = Path("/usr/share/doc/python3.11/html")

ZH = (
    "山里的雨下了整整三天，河水漫过了石桥。村里的人把粮食搬到高处，孩子们却觉得这是一场难得的热闹。"
    "等到第四天早晨，太阳出来了，桥面上留下了一层细细的沙，有人说那是河给我们的礼物。"
)
EN = (
    "The rain in the hills went on for three days, and the river rose over the stone bridge. People carried their grain to higher "
    "ground, while the children thought of it as a holiday. On the fourth morning the sun came out, and there was fine sand on the bridge."
)


@cache
def manuals_zh() -> tuple[bytes, ...]:
    """Sources of Chinese manual pages."""
    found = tuple(gzip.decompress(path.read_bytes()) for path in sorted(MANUALS_ZH.glob("*.gz"))[:150])
    if len(found) < 20:
        pytest.fail("Chinese manual pages are missing: run tools/setup.sh test")
    return found


@cache
def pages_en() -> tuple[bytes, ...]:
    """HTML pages of Python's library reference."""
    found = tuple(path.read_bytes() for path in sorted((PYTHON / "library").glob("*.html"))[:40])
    if len(found) < 20:
        pytest.fail("Python's documentation is missing: run tools/setup.sh test")
    return found


@cache
def prose(language: str) -> tuple[str, ...]:
    """Real documents of zh or en as the steps see them, each of at least 400 characters, no two alike."""
    from headwater.corpora.program.operators.encoding import normalize
    from headwater.corpora.program.operators.extraction import html_text
    from headwater.corpora.program.operators.manual import manual_text

    if language == "zh":
        texts = [normalize(manual_text(data.decode())) for data in manuals_zh()]
        texts = [text for text in texts if sum("\u4e00" <= c <= "\u9fff" for c in text) > 0.3 * len(text)]
    else:
        texts = [normalize(html_text(data.decode())) for data in pages_en()]
    found = tuple(dict.fromkeys(text for text in texts if len(text) >= 400))
    assert len(found) >= 20, (language, len(found))
    return found
