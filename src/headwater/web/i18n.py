"""Two languages, both first: texts from TOML files beside each context's pages, numbers and dates by locale.

A text is ``key = "…{name}…"``; one that counts is a table ``key = { one = "…", other = "…" }`` chosen by ``n``. Keys
are dotted by section. English and Chinese must have the same keys, and a test holds every key to be used.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape
from starlette.requests import Request

from headwater.kernel import utcnow

if TYPE_CHECKING:
    from babel import Locale

Text = str | dict[str, str]
COOKIE = "hw_lang"
_folders: list[Path] = []


@dataclass(frozen=True)
class Tongue:
    """``tag`` as in ``<html lang>``, ``locale`` as Babel calls it, ``own_name`` as its speakers write it."""

    tag: str
    locale: str
    own_name: str


ENGLISH = Tongue("en", "en_GB", "English")
CHINESE = Tongue("zh-CN", "zh_Hans_CN", "中文")
TONGUES = (CHINESE, ENGLISH)


class UnknownText(KeyError):
    """A template or page asked for a key that no catalogue has: a bug."""


def register_texts(folder: Path) -> None:
    """Add a folder that holds ``en.toml`` and ``zh-CN.toml``. Called by a context's pages when they are imported."""
    if folder not in _folders:
        _folders.append(folder)
        catalogue.cache_clear()
        language.cache_clear()


@cache
def catalogue(tag: str) -> dict[str, Text]:
    """Every text of one language by dotted key.

    Raises:
        ValueError: two folders define one key.
    """
    found: dict[str, Text] = {}
    for folder in _folders:
        for path in sorted(folder.glob(f"{tag}.toml")) + sorted(folder.glob(f"*.{tag}.toml")):
            for key, text in flatten(tomllib.loads(path.read_text("utf-8"))):
                if key in found:
                    raise ValueError(f"{path} defines {key!r} a second time")
                found[key] = text
    return found


def flatten(table: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Text]]:
    """Nested TOML tables as dotted keys; a table with ``other`` is one counted text."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and "other" not in value:
            yield from flatten(value, f"{key}.")
        else:
            yield key, value


class Language:
    """One language's texts and formats; immutable, shared by all requests."""

    def __init__(self, tongue: Tongue) -> None:
        self.tongue = tongue
        self.tag = tongue.tag
        self._texts = catalogue(tongue.tag)

    @cached_property
    def locale(self) -> Locale:
        from babel import Locale

        return Locale.parse(self.tongue.locale)

    def has(self, key: str) -> bool:
        return key in self._texts

    def t(self, key: str, /, **values: Any) -> str:
        """The text of ``key``, numbers among ``values`` written by locale; markup among them makes the result markup.

        Raises:
            UnknownText: no catalogue has it.
        """
        text = self._texts.get(key)
        if text is None:
            raise UnknownText(key)
        if isinstance(text, dict):
            n = values.get("n", 0)
            text = text.get(self._plural_form(n), text["other"])
        shown = {name: self._shown(value) for name, value in values.items()}
        if any(isinstance(value, Markup) for value in values.values()):
            return Markup(str(escape(text)).format_map({name: escape(value) for name, value in shown.items()}))  # noqa: S704 - every part was escaped
        return text.format_map(shown) if shown else text

    def _plural_form(self, n: Any) -> str:
        if self.tag == "en":
            return "one" if n == 1 else "other"
        return "other"

    def _shown(self, value: Any) -> Any:
        return self.number(value) if isinstance(value, int) and not isinstance(value, bool) else value

    def number(self, value: float) -> str:
        """With the language's separators; thin for integers, at most two places for the rest."""
        if isinstance(value, int):
            return f"{value:,}"
        return f"{value:,.2f}".rstrip("0").rstrip(".")

    def compact(self, value: float) -> str:
        """1.2K or 1.2万: for places where four figures do not fit."""
        if abs(value) < 10_000:
            return self.number(value)
        from babel.numbers import format_compact_decimal

        return format_compact_decimal(value, locale=self.locale, fraction_digits=1)

    def parameters(self, value: int) -> str:
        """134.5M, 7.2B: as model makers write it, in both languages."""
        for unit, name in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
            if value >= unit:
                return f"{_three_figures(value / unit)}{name}"
        return self.number(value)

    def size(self, size_bytes: int) -> str:
        """Decimal units, three figures: ``260 MB``."""
        if size_bytes < 1000:
            return f"{size_bytes} B"
        value = float(size_bytes)
        for name in ("kB", "MB", "GB", "TB", "PB", "EB"):
            value /= 1000
            if value < 999.5 or name == "EB":
                return f"{_three_figures(value)} {name}"
        raise AssertionError

    def percent(self, share: float) -> str:
        from babel.numbers import format_percent

        return format_percent(share, "0.#%", locale=self.locale)

    def ago(self, moment: datetime, now: datetime | None = None) -> str:
        """How long since: ``3 hours ago``."""
        from babel.dates import format_timedelta

        delta = moment - (now or utcnow())
        if abs(delta.total_seconds()) < 60:
            return self.t("time.just_now")
        return format_timedelta(delta, add_direction=True, locale=self.locale, threshold=1.2)

    def moment(self, moment: datetime) -> str:
        """The exact time, in UTC and saying so: for titles and records."""
        from babel.dates import format_datetime

        return f"{format_datetime(moment, 'medium', locale=self.locale)} UTC"

    def day(self, moment: datetime | date) -> str:
        from babel.dates import format_date

        return format_date(moment, "medium", locale=self.locale)


def _three_figures(value: float) -> str:
    places = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@cache
def language(tag: str) -> Language:
    """The language of a tag we have; English for any other."""
    return Language(next((tongue for tongue in TONGUES if tongue.tag == tag), ENGLISH))


def choose_language(request: Request) -> Language:
    """By the reader's own choice (cookie), else by ``Accept-Language``, else English."""
    chosen = request.cookies.get(COOKIE)
    if chosen in {tongue.tag for tongue in TONGUES}:
        return language(chosen)
    return language(_accepted(request.headers.get("accept-language", "")))


def _accepted(header: str) -> str:
    wanted: list[tuple[float, int, str]] = []
    for at, part in enumerate(header.split(",")[:20]):
        tag, _, parameters = part.strip().partition(";")
        weight = parameters.strip().removeprefix("q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            continue
        wanted.append((-quality, at, tag.lower()))
    for quality, _, tag in sorted(wanted):
        if quality == 0:
            continue
        if tag.split("-")[0] == "zh":
            return CHINESE.tag
        if tag.split("-")[0] == "en":
            return ENGLISH.tag
    return ENGLISH.tag
