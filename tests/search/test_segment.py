"""Cutting text into words: the same for what is kept and what is asked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.hub.search.segment import BREAK, Term, chars_of, parts_of, terms_of, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("大语言模型", ["大语", "语言", "言模", "模型"]),
        ("模", ["模"]),
        ("模型，语言", ["模型", BREAK, "语言"]),
        ("Qwen2.5-7B-Instruct", ["qwen", "2", "5", "7", "b", "instruct"]),
        ("SmolLM2_135M", ["smollm", "2", "135", "m"]),
        ("Llama3", ["llama", "3"]),
        ("ＧＰＴ－２", ["gpt", "2"]),
        ("Straße", ["strasse"]),
        ("lab/天工模型-v2", ["lab", "天工", "工模", "模型", "v", "2"]),
        ("日本語テキスト", ["日本", "本語", "語テ", "テキ", "キス", "スト"]),
        ("...", []),
    ],
)
def test_words(text, words):
    assert words_of(text) == words


def test_parts_of_a_name_lead_to_it_from_pieces_and_beginnings():
    parts = parts_of("lab/SmolLM2-Instruct")
    assert {"smol", "lm", "smo", "smoll", "ins", "instruc"} <= set(parts)
    assert "2" in parts
    assert "x" not in parts


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("模", [Term(("模",), is_char=True)]),
        ("模型", [Term(("模型",))]),
        ("qwen 模型", [Term(("qwen",)), Term(("模型",))]),
        ("qwen模型", [Term(("qwen",)), Term(("模型",))]),
        ("smol-lm", [Term(("smol", "lm"), may_be_unfinished=True)]),
        ("a a a", [Term(("a",))]),
        ("!?", []),
        ("", []),
    ],
)
def test_terms(query, terms):
    assert terms_of(query) == terms


@given(st.text())
def test_words_are_safe_to_join_with_spaces(text):
    for word in [*words_of(text), *parts_of(text), *chars_of(text)]:
        assert word
        assert all(char.isalnum() or ord(char) > 127 for char in word)
        assert not any(char.isspace() or char == "\x00" for char in word)


@given(st.text(st.sampled_from("模型语言大，a 1-B中"), max_size=30), st.data())
def test_every_part_of_a_chinese_run_finds_its_text(text, data):
    start = data.draw(st.integers(0, len(text)))
    query = text[start : data.draw(st.integers(start, len(text)))]
    for term in terms_of(query):
        if term.is_char:
            assert term.words[0] in chars_of(text)
        elif all(ord(char) > 127 for word in term.words for char in word):
            words = words_of(text)
            assert any(tuple(words[i : i + len(term.words)]) == term.words for i in range(len(words)))


@given(st.text())
def test_asking_for_the_kept_words_asks_for_themselves(text):
    for word in text.split():
        for term in terms_of(word):
            if not term.is_char:
                assert words_of(" ".join(term.words)) or term.words
