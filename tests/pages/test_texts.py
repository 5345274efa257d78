"""Both languages say the same things, and nothing that is said is unused."""

from __future__ import annotations

import importlib
import pkgutil
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import headwater
from headwater.kernel import HeadwaterError
from headwater.web import i18n

SOURCE = Path(headwater.__file__).parent


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    """Every context's texts: registered when its pages are imported."""
    places = [path for path in SOURCE.rglob("*.py") if "\nshell.register_pages(" in path.read_text("utf-8")]
    assert len(places) >= 10
    for path in places:
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        importlib.import_module(".".join(part for part in parts if part != "__init__"))


def fields(text: i18n.Text) -> set[str]:
    texts = text.values() if isinstance(text, dict) else [text]
    return {name for each in texts for _, name, _, _ in string.Formatter().parse(each) if name}


def test_both_languages_have_the_same_keys_and_places() -> None:
    english, chinese = i18n.catalogue("en"), i18n.catalogue("zh-CN")
    # Messages of errors are English by themselves; only Chinese needs words for their codes.
    extra = {key for key in chinese if key.startswith("error.code.")}
    assert set(english) - extra == set(chinese) - extra
    for key, text in english.items():
        optional = {"n"} if isinstance(text, dict) else set()
        assert fields(text) - optional == fields(chinese[key]) - optional, key
        assert isinstance(text, dict) == isinstance(chinese[key], dict), key


def test_every_text_is_written_in_its_language() -> None:
    for key, text in i18n.catalogue("en").items():
        for each in text.values() if isinstance(text, dict) else [text]:
            assert not re.search(r"[\u4e00-\u9fff]", each), key
            assert each.strip(), key
    for key, text in i18n.catalogue("zh-CN").items():
        for each in text.values() if isinstance(text, dict) else [text]:
            assert not re.search(r"[\u4e00-\u9fff][,;:!?]", each), f"{key}: use Chinese punctuation"


def test_every_key_that_is_used_exists_and_every_key_is_used() -> None:
    known, sources = set(i18n.catalogue("en")), []
    sources += [(path, path.read_text("utf-8")) for path in [*SOURCE.rglob("*.html"), *SOURCE.rglob("*.py")]]
    used: set[str] = set()
    prefixes = {"error.kind.", "error.code.", "record.kind."}
    for path, text in sources:
        if path.suffix == ".html":
            for key, joined in re.findall(r"""\bt\(\s*["']([\w.]+)["'](\s*~)?""", text):
                if joined or key.endswith("."):
                    prefixes.add(key)
                else:
                    used.add(key)
                    assert key in known, f"{path.name} asks for {key!r}, which no catalogue has"
        used |= known & set(re.findall(r"""["']([a-z]\w*\.[\w.]+)["']""", text))
        prefixes |= set(re.findall(r"""f?["']([a-z_]+\.(?:[a-z_]+[._])*[a-z_]*)\{""", text))
        prefixes |= set(re.findall(r"""["']([a-z_]+\.[\w.]*)["']\s*(?:~|\+)""", text))
    unused = {key for key in known - used if not any(key.startswith(prefix) for prefix in prefixes)}
    assert not unused


# Whose refusals no page can meet: commands, the start, and doors that programs alone come through.
NOT_ON_PAGES = (
    "headwater.cli",
    "headwater.compute.cli",
    "headwater.config",
    "headwater.db.schema",
    "headwater.evaluation.publishing",
    "headwater.running",
    "headwater.server",
    "headwater.surroundings",
    "headwater.tour",
    "headwater.hub.backup",
    "headwater.hub.checking",
    "headwater.hub.moving",
    "headwater.db.copying",
    "headwater.hub.xet",
    "headwater.hub.lfs",
)
OF_GIT_PUSHES = {"bad_pkt_line", "bad_push", "push_too_large", "ref_not_taken"}
OF_XET_CLIENTS = {"bad_xet_token"}
OF_THE_START = {
    "clock_differs",
    "database_driver_missing",
    "database_unfit",
    "object_store_driver_missing",
    "object_store_of_another_site",
    "object_store_refused",
    "site_half_moved",
    "site_half_restored",
    "telemetry_missing",
}
OF_MOVES = {"move_broken_off"}


def every_error(kind: type[HeadwaterError]) -> Iterator[type[HeadwaterError]]:
    for each in kind.__subclasses__():
        yield each
        yield from every_error(each)


def test_every_refusal_a_page_can_meet_has_chinese_words() -> None:
    for module in pkgutil.walk_packages(headwater.__path__, "headwater."):
        if not re.search(r"\.(migrations|__main__)(\.|$)", module.name):
            importlib.import_module(module.name)
    chinese = i18n.language("zh-CN")
    codes = {
        each.code
        for each in every_error(HeadwaterError)
        if "code" in vars(each)
        and each.__module__.startswith("headwater.")
        and not each.__module__.startswith(NOT_ON_PAGES)
    }
    assert len(codes) > 60
    missing = {code for code in codes if not chinese.has(f"error.code.{code}")}
    assert missing == OF_GIT_PUSHES | OF_XET_CLIENTS | OF_THE_START | OF_MOVES
    known = {each.code for each in every_error(HeadwaterError)} | {"broken", "nothing_here"}
    written = {key.removeprefix("error.code.") for key in i18n.catalogue("zh-CN") if key.startswith("error.code.")}
    assert written <= known


def test_every_kind_of_entry_has_words() -> None:
    """The log, a repository's record and an organisation's audit log name what was done by them."""
    recorded = re.compile(r"\.record,?\(?\s*(?:tx,\s*)?[\w.]+,\s*\"([a-z_]+\.[a-z_]+)\"")
    kinds = {kind for path in SOURCE.rglob("*.py") for kind in recorded.findall(path.read_text())}
    assert len(kinds) > 20
    language = i18n.language("en")
    assert sorted(kind for kind in kinds if not language.has("record.kind." + kind.replace(".", "_"))) == []


def test_every_kind_of_refusal_has_a_title() -> None:
    from headwater.kernel import Kind

    for tag in ("en", "zh-CN"):
        for kind in Kind:
            assert i18n.language(tag).has(f"error.kind.{kind.value}")


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ("", "en"),
        ("zh-TW,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("fr-FR, en;q=0.5, zh;q=0.4", "en"),
        ("de", "en"),
        ("zh;q=0, en", "en"),
        ("en;q=x, zh", "zh-CN"),
        (", ;;q=1", "en"),
    ],
)
def test_the_language_is_what_the_browser_asks_for(header: str, tag: str) -> None:
    assert i18n._accepted(header) == tag


def test_numbers_and_sizes_by_language() -> None:
    english, chinese = i18n.language("en"), i18n.language("zh-CN")
    assert english.number(1234567) == "1,234,567"
    assert english.size(999) == "999 B"
    assert english.size(999_950) == "1 MB"
    assert english.size(269_060_552) == "269 MB"
    assert english.parameters(134_515_008) == "135M"
    assert english.compact(123_456) == "123.5K"
    assert chinese.compact(123_456) == "12.3万"
    assert english.t("strip.entries", n=1) == "1 entry"
    assert english.t("strip.entries", n=1200) == "1,200 entries"
    assert chinese.t("strip.entries", n=1) == "1 条记录"


def test_markup_in_a_text_is_kept_and_the_rest_escaped() -> None:
    from markupsafe import Markup

    shown = i18n.language("en").t("error.request", id=Markup("<b>1</b>"), code="<x>")
    assert shown == "Request <b>1</b> · &lt;x&gt;"
