"""Texts of licences: whole, changed, in part, behind other words; and that every quoted clause stands in its licence."""

from __future__ import annotations

import re
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headwater
from headwater.licensing import EXACT, MODIFIED, PARTIAL, find_licence, is_open, keys_of, read_licence, same_licence
from headwater.licensing.index import FOLDER, load
from headwater.licensing.obligations import checked_keys, terms_of
from headwater.licensing.words import read_words, shingles
from tests.governance.test_grades import MIT

ROOT = Path(headwater.__file__).parents[2]
DEBIAN = Path("/usr/share/common-licenses")
OF_DEBIAN = {
    "Apache-2.0": "apache-2.0",
    "GPL-2": "gpl-2.0",
    "GPL-3": "gpl-3.0",
    "LGPL-2.1": "lgpl-2.1",
    "LGPL-3": "lgpl-3.0",
    "MPL-2.0": "mpl-2.0",
    "CC0-1.0": "cc0-1.0",
}


def test_the_index_is_small_and_whole() -> None:
    assert (FOLDER / "index.bin").stat().st_size <= 2_000_000
    index = load()
    assert sum(not each.part_of for each in index.licences) >= 200
    assert (np.diff(index.hashes.astype(np.int64)) > 0).all()
    counts = np.bincount(index.postings, minlength=len(index.licences))
    assert [each.n_shingles for each in index.licences] == list(counts)
    for key in ("llama-3.1-license-2024", "gemma-tou-2025-03-24", "qwen-2024", "deepseek-la-1.0", "openmdw-1.0"):
        assert find_licence(key) is not None
        assert not is_open(key) or key == "openmdw-1.0"


@pytest.mark.parametrize(("name", "key"), OF_DEBIAN.items())
def test_licences_as_debian_has_them(name: str, key: str) -> None:
    path = DEBIAN / name
    if not path.exists():
        pytest.skip("no common licences here")
    text = path.read_text("utf-8", errors="replace")
    began = time.process_time()
    found = read_licence(text)
    assert time.process_time() - began < 0.5  # 50 ms on a machine of its own; this one may be shared
    assert found.best is not None
    assert (found.best.key, found.best.kind, found.best.containment) == (key, EXACT, 1.0)
    half = read_licence(text[: len(text) // 2]).best
    assert half is not None
    assert key in (half.key, *half.near)
    assert half.kind != EXACT
    behind = read_licence("What this repository holds was made in spring. " * 60 + "\n\n" + text)
    assert behind.best is not None
    assert (behind.best.key, behind.best.kind) == (key, EXACT)
    assert behind.n_words_beside > 100


@pytest.mark.parametrize(("name", "key"), [("MPL-1.1", "mpl-1.1"), ("GFDL-1.3", "gfdl-1.3")])
def test_an_edition_with_another_address_in_it_is_no_longer_unmodified(name: str, key: str) -> None:
    if not (DEBIAN / name).exists():
        pytest.skip("no common licences here")
    best = read_licence((DEBIAN / name).read_text("utf-8", errors="replace")).best
    assert best is not None
    assert (best.key, best.kind) == (key, MODIFIED)
    assert 0.99 < best.containment < 1.0
    assert best.changes


def test_our_own_licence() -> None:
    found = read_licence((ROOT / "LICENSE").read_text("utf-8"))
    assert found.best is not None
    assert (found.best.key, found.best.kind) == ("apache-2.0", EXACT)


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("without restriction", "with this restriction", "with this restriction"),
        ("to any person", "to any non-military person", "military"),
        ("and/or sell", "", "sublicense"),
        ("permit persons", "permit no persons", "no"),
    ],
)
def test_a_changed_word_is_found_at_its_place(before: str, after: str, place: str) -> None:
    text = MIT.replace(before, after)
    assert text != MIT
    best = read_licence(text).best
    assert best is not None
    assert (best.key, best.kind) == ("mit", MODIFIED)
    assert best.containment < 1.0
    assert best.changes
    assert any(place in text[change.start - 40 : change.end + 40] for change in best.changes)


def test_words_beside_a_whole_licence_are_counted() -> None:
    plain = read_licence(MIT)
    assert plain.best is not None
    assert (plain.best.kind, plain.n_words_beside) == (EXACT, 0)
    more = read_licence(MIT + "\nExcept that it must not be used for commerce.\n")
    assert more.best is not None
    assert more.best.kind == EXACT
    assert more.n_words_beside >= 8


def test_layout_and_owners_do_not_count() -> None:
    one_line = " ".join(MIT.split())
    shouted = MIT.upper()
    commented = "\n".join(f"# {line}" for line in MIT.splitlines())
    of_many = MIT.replace(
        "Copyright (c) 2026 Ada", "Copyright (c) 2019-2026 Ada\nCopyright 2020, Bob Ltd. <bob@example.org>"
    )
    marked = MIT.replace("MIT License", "# **MIT License**").replace("\n\n", "\n\n<br>\n")
    for text in (shouted, commented, of_many, marked):
        best = read_licence(text).best
        assert best is not None
        assert (best.key, best.kind) == ("mit", EXACT), text[:80]
    best = read_licence(one_line).best
    assert best is not None
    assert best.key == "mit"


def test_two_licences_in_one_file_are_both_found() -> None:
    found = read_licence((ROOT / "LICENSE").read_text("utf-8") + "\n\n----\n\n" + MIT)
    assert [(each.key, each.kind) for each in found.matches] == [("apache-2.0", EXACT), ("mit", EXACT)]


def test_a_piece_is_a_piece() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    best = read_licence(text[2000:6000]).best
    assert best is not None
    assert (best.key, best.kind) == ("apache-2.0", PARTIAL)


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=400))
def test_any_text_at_all_is_read(text: str) -> None:
    found = read_licence(text)
    assert found.n_words_beside <= found.n_words
    for match in found.matches:
        assert 0 <= match.start < match.end <= len(text)


def test_every_quoted_clause_stands_in_its_licence() -> None:
    """By the hashes of its own text, so that nothing which is only remembered gets in."""
    index = load()
    numbers = {each.key: n for n, each in enumerate(index.licences)}

    def stands_in(key: str, quote: str) -> bool:
        for shingle in shingles(read_words(quote)):
            at = int(np.searchsorted(index.hashes, shingle))
            if at == len(index.hashes) or index.hashes[at] != shingle:
                return False
            if numbers[key] not in index.postings[index.first[at] : index.first[at + 1]]:
                return False
        return len(read_words(quote)) >= 4

    assert len(checked_keys()) >= 60
    for key in checked_keys():
        for condition in terms_of(key).conditions:
            assert stands_in(key, condition.quote), (key, condition.quote)
            for other in condition.accepts:
                assert stands_in(key, other.quote), (key, other.quote)
                assert other.key in numbers
    assert not stands_in("mit", "You must give any other recipients of the Work")


def test_what_cards_call_licences() -> None:
    assert list(keys_of("apache-2.0")) == ["apache-2.0"]
    assert list(keys_of("GPL-3.0-or-later")) == ["gpl-3.0"]
    assert list(keys_of("bsd-3-clause")) == ["bsd-new"]
    assert list(keys_of("mulanpsl-2.0")) == ["mulanpsl-2.0"]
    assert "gemma-tou-2024-04-01" in keys_of("gemma")
    # No text of it is in the source, so nothing is known of it.
    assert list(keys_of("llama3")) == []
    assert list(keys_of("no such thing")) == []
    assert same_licence("gemma", "gemma-tou-2024-04-01")
    assert same_licence("mulanpsl-2.0", "mulanpsl-2.0-en")
    assert not same_licence("mit", "apache-2.0")


def test_open_is_what_lists_say() -> None:
    for key in ("mit", "apache-2.0", "gpl-3.0", "mulanpsl-2.0", "cc-by-4.0", "cc0-1.0", "openmdw-1.0", "odbl-1.0"):
        assert is_open(key), key
    for key in (
        "cc-by-nc-4.0",
        "cc-by-nd-4.0",
        "llama-4-cla-2025",
        "bigscience-open-rail-m",
        "bsl-1.1",
        "qwen-2024",
        "json",
    ):
        assert not is_open(key), key


def test_the_source_is_named() -> None:
    notice = (ROOT / "NOTICE").read_text("utf-8")
    package = re.sub(r"_", "-", load().source)
    name, _, version = package.rpartition("-")
    assert name in notice
    assert version in notice
    assert "CC-BY-4.0" in notice
    licences = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["license-files"]
    assert "NOTICE" in licences
