"""What each operator does to a document, on real text of both languages and at its edges."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.corpora.program.operators import encoding, exact, mixing, personal
from headwater.corpora.program.operators.documents import Documents
from headwater.corpora.program.operators.extraction import Extract, html_text
from headwater.corpora.program.operators.language import Language
from headwater.corpora.program.operators.manual import manual_text
from headwater.corpora.program.operators.rules import Limits, Measures, Rules
from headwater.corpora.program.operators.tokens import TokenCount
from headwater.corpora.program.operators.word_lists import WordList
from tests.corpora.texts import EN, ZH, manuals_zh, pages_en

pytestmark = pytest.mark.corpora


def _reason(operator: object, text: str) -> str | None:
    documents = Documents([text])
    operator(documents)  # type: ignore[operator]
    return documents.reasons[0]


# ---- encodings


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("utf-8", ZH),
        ("gb18030", ZH),
        ("big5", "山裡的雨下了整整三天，河水漫過了石橋。村裡的人把糧食搬到高處。"),
        ("shift_jis", "雨が三日のあいだ降りつづき、川の水が石の橋をこえた。"),
        ("euc_jp", "雨が三日のあいだ降りつづき、川の水が石の橋をこえた。"),
        ("euc_kr", "산에 비가 사흘 동안 내렸고 강물이 돌다리를 넘었다."),
        ("cp1251", "Дождь шёл три дня, и река поднялась выше моста."),
        ("cp1252", "Il a plu trois jours à la montagne, la rivière a débordé."),
        ("utf-16", ZH),
    ],
)
def test_bytes_are_read_in_their_encoding_whatever_the_label_says(codec: str, text: str) -> None:
    found = encoding.decode(text.encode(codec), declared="utf-8")
    assert found is not None
    assert found.text == text
    assert found.lost == 0


def test_manual_pages_in_gb18030_are_read_as_in_utf_8() -> None:
    checked = 0
    for data in manuals_zh():
        text = data.decode()
        if sum("\u4e00" <= c <= "\u9fff" for c in text) < 30:
            continue
        found = encoding.decode(text.encode("gb18030"), declared="utf-8")
        assert found is not None
        assert (found.encoding, found.text) == ("gb18030", text)
        checked += 1
    assert checked > 50


def test_broken_utf_8_loses_what_is_broken_and_no_more() -> None:
    data = ZH.encode()
    found = encoding.decode(data[:30] + b"\xff" + data[30:])
    assert found is not None
    assert (found.text, found.lost, found.encoding) == (ZH, 1, "utf-8")


@given(st.binary(max_size=300))
def test_any_bytes_are_text_or_none(data: bytes) -> None:
    found = encoding.decode(data)
    assert found is None or found.text.encode() is not None


@given(st.text(max_size=200))
def test_utf_8_is_never_taken_for_something_else(text: str) -> None:
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    found = encoding.decode(data)
    assert found is not None
    if not data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        assert found.text == text


@pytest.mark.parametrize("wrong", ["cp1252", "gb18030"])
def test_text_decoded_wrongly_before_is_mended(wrong: str) -> None:
    text = "Voilà une journée très élégante à la forêt" if wrong == "cp1252" else "山里的雨下了整整三天河水"
    spoilt = text.encode().decode(wrong)
    assert spoilt != text
    assert encoding.mend(spoilt) == text
    assert encoding.mend(text) == text


def test_nfkc_leaves_chinese_punctuation_alone() -> None:
    assert encoding.normalize("１２３，ＡＢＣ！\ufb01ne\r\n\r\n\r\n\u200bx \n") == "123，ABC！fine\n\nx"
    assert encoding.normalize("１，２", keep_cjk_punctuation=False) == "1,2"


@given(st.text(max_size=200))
def test_normal_text_stays_as_it_is(text: str) -> None:
    once = encoding.normalize(text)
    assert encoding.normalize(once) == once


def test_unreadable_and_empty_documents_go() -> None:
    assert _reason(encoding.Normalize(), "锟斤拷锟斤拷锟斤拷 烫烫") == "normalize:unreadable"
    assert _reason(encoding.Normalize(), "\u200b \n") == "normalize:empty"


# ---- extraction


def test_the_main_content_of_pages_is_found_and_their_menus_left_out() -> None:
    for data in pages_en():
        text = html_text(data.decode())
        assert len(text) > 200
        assert "Navigation" not in text.split("\n")[0]
        assert "Created using Sphinx" not in text
        assert "<" not in text or "</p>" not in text


def test_chinese_manual_pages_become_prose() -> None:
    texts = [text for data in manuals_zh() if (text := manual_text(data.decode()))]  # some only refer to another page
    assert len(texts) > 100
    assert not any("\\fB" in text for text in texts)
    # One page is about roff itself.
    lines = [line for text in texts for line in text.split("\n")]
    assert sum(line.startswith((".SH", ".TP", ".B ")) for line in lines) < 5


def test_roff_is_read_as_people_see_it() -> None:
    source = '.TH X 1\n.SH "NAME"\nx \\- do \\fIthings\\fR\n.\\" hidden\n.TP\n.BR \\-a ", " \\-\\-all\nEverything.\n.TS\nl l.\na\tb\n.TE\n'
    assert manual_text(source) == "NAME\n\nx - do things\n\n-a, --all Everything."
    assert manual_text(".so man1/other.1\n") == ""
    assert _reason(Extract("man"), ".so man1/other.1\n") == "extract:empty"


@given(st.text(alphabet=".\\\"'BITSHfn([]e- \n\u4e2d", max_size=120))
def test_any_roff_is_read_to_its_end(source: str) -> None:
    assert isinstance(manual_text(source), str)


# ---- language, rules


def test_languages_are_told_apart() -> None:
    documents = Documents([ZH, EN, "", "雨が三日のあいだ降りつづき、川の水が石の橋をこえた。"])
    Language(languages=("zh", "en"))(documents)
    assert documents.facts["language"][:2] == ["zh", "en"]
    assert documents.reasons == [None, None, "language:other", "language:other"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ZH, None),
        (EN, None),
        ("短。", "rules:too_short"),
        ("too short", "rules:too_short"),
        ("# " * 12 + EN, "rules:symbols"),
        ("\n".join(["- 山里的雨下了三天。"] * 20), "rules:bullets"),
        ("0x1f 4711 99 12 0815 " * 20, "rules:few_letters"),
        ("the of " + " ".join(f"{n}-a" for n in range(10**6, 10**6 + 60)) + ".", "rules:digits"),
        (EN.replace(".", ""), "rules:few_sentences"),
        ("lorem ipsum dolor sit amet of the and to be. " * 4, "rules:lorem_ipsum"),
    ],
)
def test_rules_mean_the_same_for_both_languages(text: str, reason: str | None) -> None:
    assert _reason(Rules(), text) == reason


def test_chinese_is_counted_in_words_not_in_blanks() -> None:
    assert Measures.of(ZH).n_words == pytest.approx(len([c for c in ZH if c not in "，。"]) / 1.5)
    assert Measures.of(EN).n_words == len(EN.split())
    assert _reason(Rules(Limits(max_words=40)), ZH) == "rules:too_long"
    assert _reason(Rules(Limits(min_words=None, min_sentences=None)), "山里的雨下了") is None


def test_real_prose_of_both_languages_mostly_stays() -> None:
    texts = [html_text(data.decode()) for data in pages_en()] + [manual_text(data.decode()) for data in manuals_zh()]
    documents = Documents([text for text in texts if len(text) > 1000])
    assert len(documents) > 60
    encoding.Normalize()(documents)
    Rules()(documents)
    assert len(list(documents.staying())) > 0.8 * len(documents)


# ---- word lists


def test_words_are_found_by_the_writing_they_are_of() -> None:
    words = WordList("bad", ["赌博", "cat", "赌博网站"])
    assert words.find("Cat 网络赌博网站 concatenate cat") == [(0, 3), (6, 10), (23, 26)]
    assert _reason(words, "这是赌博") == "bad:word"
    covered = Documents(["Cat 赌博 concatenate"])
    WordList("bad", ["赌博", "cat"], action="replace")(covered)
    assert covered.texts == ["■■■ ■■ concatenate"]
    with pytest.raises(ValueError, match="has no words"):
        WordList("empty", [" "])


@given(st.lists(st.text("ab中文", min_size=1, max_size=3), min_size=1, max_size=5), st.text("ab中文 ", max_size=30))
def test_every_word_is_found_where_a_plain_search_finds_it(words: list[str], text: str) -> None:
    found = WordList("w", words).find(text)
    assert all(text[start:end] in words for start, end in found)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(found))
    for word in words:
        if all(c >= "\u4e00" for c in word) and word in text:
            assert any(start < text.find(word) + len(word) and end > text.find(word) for start, end in found)


# ---- personal data


def test_identity_numbers_are_known_by_their_check_character() -> None:
    assert personal.identity_is_valid("11010519491231002X")
    assert not personal.identity_is_valid("110105194912310021")
    assert not personal.identity_is_valid("110105194902310020")
    assert not personal.identity_is_valid("990105194912310020")


@given(st.text("0123456789", min_size=12, max_size=18))
def test_luhn_accepts_one_last_digit_of_ten(digits: str) -> None:
    assert sum(personal.luhn(digits + last) for last in "0123456789") == 1


def test_personal_data_is_covered() -> None:
    text = (
        "身份证号11010519491231002X，电话13812345678、+86 139-1234-5678、010-62511234，卡号6222 0212 3456 7894 126，"
        "写信给 wang.wei@headwater.org.cn，密钥 AKIAQYLPMN5HHHFPZAM2。"
    )
    card = next(f"6222 0212 3456 7894 {tail}" for tail in range(100, 1000) if personal.luhn(f"6222021234567894{tail}"))
    documents = Documents([text.replace("6222 0212 3456 7894 126", card)])
    personal.PersonalData()(documents)
    assert documents.texts == ["身份证号<ID>，电话<PHONE>、<PHONE>、<PHONE>，卡号<CARD>，写信给 <EMAIL>，密钥 <KEY>。"]
    assert documents.tallies["pii.phone"] == 3
    assert _reason(personal.PersonalData(kinds=("email",), action="drop"), "a@b.cn") == "pii:email"


@pytest.mark.parametrize(
    "text",
    [
        "version 1.13.8.1234.5678",
        "pi is 3.14159265358979323846",
        "order 20200101123456789012",
        "user@example.com and me@localhost",
        "ISBN 978-7-302-12345-6",
        "0x13812345678 and id-13812345678",
        "1111 1111 1111 1111",
        EN,
        ZH,
    ],
)
def test_what_only_looks_like_personal_data_stays(text: str) -> None:
    assert personal.find(text) == []


# ---- equal documents, tokens, mixture


def test_empty_documents_are_copies_of_nothing() -> None:
    keys = [exact.content_key(text) for text in ("A  b", "", "ａ B\n", " ", "c", "a b")]
    assert exact.first_of_equals(keys).tolist() == [-1, -1, 0, -1, -1, 0]
    assert exact.first_of_equals([]).tolist() == []


@given(st.lists(st.sampled_from(["", "x", "y y", "Y  y", "z"]), max_size=30))
def test_of_equal_documents_the_first_stays(texts: list[str]) -> None:
    firsts = exact.first_of_equals([exact.content_key(text) for text in texts])
    folded = [" ".join(text.lower().split()) for text in texts]
    for row, text in enumerate(folded):
        assert firsts[row] == (-1 if not text or folded.index(text) == row else folded.index(text))


def test_tokens_are_counted_by_a_tokenizer_or_called_an_estimate() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    own = Tokenizer(models.WordLevel({"[UNK]": 0, "rain": 1}, unk_token="[UNK]"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    counter = TokenCount(own.to_str().encode(), tokenizer="ada/tiny")
    documents = Documents(["rain and rain", "gone"], [None, "rules:too_short"])
    counter(documents)
    assert documents.facts["n_tokens"] == [3, None]
    assert TokenCount().tokenizer.startswith("estimate")


def test_a_mixture_has_the_wanted_proportions() -> None:
    found = mixing.shares({"zh": 1000, "en": 5000, "code": 10}, {"zh": 2, "en": 1})
    assert {name: share.tokens for name, share in found.items()} == {"zh": 1000, "en": 500, "code": 0}
    assert mixing.shares({"zh": 1000}, {"zh": 1}, total=100)["zh"].tokens == 100
    with pytest.raises(ValueError, match="would be empty"):
        mixing.shares({"zh": 0}, {"zh": 1})


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(0, 1000), st.integers(0, 9))
def test_a_source_gives_what_is_wanted_of_it(tokens: list[int], wanted: int, seed: int) -> None:
    total = sum(tokens)
    ranks = [mixing.rank(seed, str(n)) for n in range(len(tokens))]
    chosen = mixing.choose(ranks, tokens, mixing.Share(min(wanted, total), total))
    taken = sum(n for n, stays in zip(tokens, chosen, strict=True) if stays)
    assert min(wanted, total) <= taken <= min(wanted, total) + max(tokens)


def test_what_a_document_takes_grows_as_it_does() -> None:
    """Addresses, keys between Chinese, and escapes of roff that never end: each was a matter of minutes."""
    begun = time.process_time()
    addresses = "\n".join(f"user{n}@mail{n % 50}.headwater.org.cn" for n in range(20_000))
    assert len(personal.find(addresses)) == 20_000
    manual_text(".TH A 1\n" + "\\f[B\\*[x" * 20_000)
    assert time.process_time() - begun < 10


def test_a_key_is_covered_where_it_stands_among_chinese() -> None:
    key = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vX7zB9dF1hJ3lN5"
    text = f"密钥一：{key}，密钥二：{key} 🙂 {key}。"
    assert [text[each.start : each.end] for each in personal.find(text, ("key",))] == [key] * 3


def test_pages_that_nest_by_the_thousand_go_with_a_reason() -> None:
    assert _reason(Extract("html"), "<html><body>" + "<div>" * 20_000 + EN) == "extract:too_deep"
    flat = "".join(f"<p>{n}<br><li><div>{EN}</div>" for n in range(100))
    assert _reason(Extract("html"), f"<html><body>{flat}") is None
