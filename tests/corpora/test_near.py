"""The compiled operators: near copies, repetition, contamination."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from bench.near_copies import inject, jaccard
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.corpora.program.operators import fuzzy
from headwater.corpora.program.operators.contamination import Contamination, Item
from headwater.corpora.program.operators.encoding import normalize
from headwater.corpora.program.operators.extraction import html_text
from headwater.corpora.program.operators.manual import manual_text
from headwater.corpora.program.operators.repetition import Repetition, Shares
from tests.corpora.texts import EN, ZH, manuals_zh, pages_en

pytestmark = pytest.mark.corpora

_ANY = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=60)


@settings(deadline=None)
@given(_ANY, _ANY)
def test_similarity_is_jaccards(text: str, other: str) -> None:
    assert fuzzy.similarity(text, other) == pytest.approx(jaccard(text, other))
    assert fuzzy.similarity(text, text + " \n") == pytest.approx(jaccard(text, text))


def test_signatures_estimate_similarity() -> None:
    rng = random.Random(3)
    words = (ZH + EN).split("。")
    for wanted in (0.3, 0.6, 0.9):
        text = "".join(chr(rng.randrange(0x4E00, 0x9FA5)) for _ in range(2000))
        other = "".join(c if rng.random() < wanted ** (1 / 5) else "水" for c in text)
        signed = fuzzy.sign(pa.array([text, other, *words], pa.large_string()), fuzzy.FuzzySettings(permutations=1024))
        estimate = float(np.mean(signed.signatures_NP[0] == signed.signatures_NP[1]))
        assert estimate == pytest.approx(jaccard(text, other), abs=0.06)
    # All the same would be "similar", too.
    assert len({row.tobytes() for row in signed.signatures_NP}) == len(words) + 2


def test_empty_and_short_documents_are_never_one_cluster() -> None:
    texts = ["", " ", "水", "ab", "", "水", "abcd", "\n\n", "abcde", "ABCDE "]
    found = fuzzy.deduplicate(pa.array(texts, pa.large_string()))
    assert found.kept_N.tolist() == [True] * 9 + [False]
    assert fuzzy.deduplicate(pa.array([], pa.large_string())).kept_N.tolist() == []


def test_injected_copies_of_real_text_are_found_and_nothing_else() -> None:
    base = [normalize(html_text(data.decode()))[:4000] for data in pages_en()]
    base += [normalize(manual_text(data.decode()))[:4000] for data in manuals_zh()]
    base = [text for text in dict.fromkeys(base) if len(text) > 200]
    injected = inject(base, share=1.0, clusters=1, cluster_size=60, seed=5)
    found = fuzzy.deduplicate(pa.array(injected.texts, pa.large_string()))
    near = [(i, j) for i, j, similarity in injected.pairs if similarity >= 0.7]
    assert len(near) > 100
    missed = [pair for pair in near if found.twins_N[pair[0]] < 0 and found.twins_N[pair[1]] < 0]
    assert len(missed) <= 0.05 * len(near)
    gone = np.flatnonzero(~found.kept_N)
    for row in gone:
        twin = int(found.twins_N[row])
        assert found.kept_N[twin]
        assert twin < row
        assert jaccard(injected.texts[row], injected.texts[twin]) >= 0.7
    # A slice of a longer column has the same answer as the column by itself.
    part = pa.array(["x" * 50, *injected.texts], pa.large_string()).slice(1)
    assert fuzzy.deduplicate(part).twins_N.tolist() == found.twins_N.tolist()


def test_repetition_is_found_in_both_languages() -> None:
    look = Repetition()
    assert look.broken(ZH) is None
    assert look.broken(EN) is None
    assert look.broken("buy now cheap " * 40) is not None
    assert look.broken("立即购买优惠多多" * 40) is not None
    assert look.broken("\n".join(["the same line again", "another"] * 10)) == "lines"
    assert look.broken(f"{EN}\n\n{EN}") == "lines"
    assert Repetition(Shares(lines=None, line_characters=None)).broken(f"{EN}\n\n{EN}") == "paragraphs"
    assert look.broken("") is None


def test_real_text_is_mostly_no_repetition() -> None:
    texts = [normalize(manual_text(data.decode())) for data in manuals_zh()]
    texts += [normalize(html_text(data.decode())) for data in pages_en()]
    texts = [text for text in texts if len(text) > 1000]
    look = Repetition()
    assert sum(look.broken(text) is None for text in texts) > 0.6 * len(texts)


def test_documents_with_evaluation_texts_are_found() -> None:
    question = "Which river rose over the stone bridge after three days of rain in the western hills?"
    found = Contamination(
        "evals", [Item("q:1", question), Item("q:2", "短"), Item("q:3", "下列哪一座石桥被河水漫过了三天")]
    )
    assert found.n_too_short == 1
    assert (
        found.item_in(f"{EN} Which river ROSE over the stone-bridge after three days of rain in the valley? {ZH}")
        == "q:1"
    )
    assert found.item_in(f"{ZH}题：下列哪一座石桥，被河水漫过了三天？") == "q:3"
    assert found.item_in(EN) is None
    assert found.item_in("") is None
    with pytest.raises(ValueError, match="would find nothing"):
        Contamination("evals", [Item("q", "短")])
