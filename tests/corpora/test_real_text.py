"""Each promised step on real documents of both languages: what it finds there is what a plain look finds, and nothing else changes."""

from __future__ import annotations

import html
import random
import re

import pytest

from headwater.corpora.program.operators import exact, mixing, personal
from headwater.corpora.program.operators.contamination import Contamination, Item
from headwater.corpora.program.operators.documents import Documents
from headwater.corpora.program.operators.encoding import Normalize
from headwater.corpora.program.operators.extraction import Extract
from headwater.corpora.program.operators.language import Language
from headwater.corpora.program.operators.repetition import Repetition
from headwater.corpora.program.operators.rules import Rules
from headwater.corpora.program.operators.tokens import TokenCount
from headwater.corpora.program.operators.word_lists import WordList
from tests.corpora.texts import prose

pytestmark = pytest.mark.corpora
LANGUAGES = pytest.mark.parametrize("language", ["zh", "en"])


@LANGUAGES
def test_of_a_page_the_article_stays_and_the_menus_go(language: str) -> None:
    menu = {"zh": "首页 产品 关于我们 联系方式", "en": "Home Products About us Contact"}[language]
    pages, articles = [], []
    for text in prose(language)[:20]:
        paragraphs = [each for each in text.split("\n\n") if len(each) > 80][:8]
        if len(paragraphs) < 3:
            continue
        body = "".join(f"<p>{html.escape(each)}</p>" for each in paragraphs)
        items = "".join(f'<li><a href="/{n}">{each}</a></li>' for n, each in enumerate(menu.split()))
        pages.append(
            f"<html><head><title>t</title><script>var a = 1;</script></head><body><nav><ul>{items}</ul></nav>"
            f"<main><article><h1>1</h1>{body}</article></main><footer><p>Copyright {menu}</p></footer></body></html>"
        )
        articles.append(paragraphs)
    assert len(pages) >= 5
    documents = Documents(pages)
    Extract("html")(documents)
    for text, paragraphs in zip(documents.texts, articles, strict=True):
        squeezed = re.sub(r"\s+", "", text)
        assert all(re.sub(r"\s+", "", each) in squeezed for each in paragraphs)
        assert "var a" not in text
        assert f"Copyright {menu}" not in text
        assert menu.split()[1] not in text.split("\n")[0]


@LANGUAGES
def test_text_that_was_decoded_wrongly_is_mended(language: str) -> None:
    spoilt, whole = [], []
    for text in prose(language):
        # As a program does that takes UTF-8 for the encoding of its own country.
        line = next((each.strip() for each in text.split("\n") if len(each) > 60 and not each.isascii()), None)
        if line is None:
            continue
        try:
            spoilt.append(line.encode().decode("gb18030" if language == "zh" else "cp1252"))
        except UnicodeDecodeError:
            continue  # what cannot be written down wrongly is not met
        whole.append(line)
    documents = Documents(spoilt)
    Normalize()(documents)
    mended = sum(a == b for a, b in zip(documents.texts, whole, strict=True))
    assert len(whole) >= 5
    assert mended >= 0.9 * len(whole)
    untouched = Documents(list(prose(language)))
    Normalize()(untouched)
    assert tuple(untouched.texts) == prose(language)


@LANGUAGES
def test_documents_are_of_the_language_they_are_written_in(language: str) -> None:
    documents = Documents(list(prose(language)))
    Language(languages=(language,))(documents)
    assert len(list(documents.staying())) >= 0.95 * len(documents)


@LANGUAGES
def test_prose_passes_the_rules_and_what_is_made_of_it_does_not(language: str) -> None:
    for step in (Rules(), Repetition()):
        documents = Documents(list(prose(language)))
        step(documents)
        assert len(list(documents.staying())) >= 0.6 * len(documents), documents.reasons
    beginnings = Documents([text[:12] for text in prose(language)])
    Rules()(beginnings)
    assert not list(beginnings.staying())
    again = Documents([f"{text[:300]}\n\n" * 6 for text in prose(language)])
    Repetition()(again)
    assert not list(again.staying())


@LANGUAGES
def test_words_are_found_in_just_the_documents_that_hold_them(language: str) -> None:
    word, form = {"zh": ("目录", "目录"), "en": ("module", r"(?i)(?<![A-Za-z0-9])module(?![A-Za-z0-9])")}[language]
    texts = [text for text in prose(language) if not re.search("[\u00aa-\u024f]", text)]
    holding = [re.search(form, text) is not None for text in texts]
    assert 0 < sum(holding) < len(texts)
    documents = Documents(list(texts))
    WordList("list", [word, "没有这个词", "nosuchwordatall"])(documents)
    assert [reason == "list:word" for reason in documents.reasons] == holding
    covered = Documents(list(texts))
    WordList("list", [word], action="replace")(covered)
    assert covered.texts == [re.sub(form, "■" * len(word), text) for text in texts]


@LANGUAGES
def test_personal_data_put_into_real_text_is_covered_and_nothing_else(language: str) -> None:
    digits = next(n for n in range(6222021234567000, 6222021234568000) if personal.luhn(str(n)))
    put = {
        "11010519491231002X": "<ID>",
        "13812345678": "<PHONE>",
        str(digits): "<CARD>",
        "wang.wei@headwater.org.cn": "<EMAIL>",
        "AKIAQYLPMN5HHHFPZAM2": "<KEY>",
    }
    plain = [text for text in prose(language) if not personal.find(text)]
    assert len(plain) >= 0.3 * len(prose(language))  # manual pages name their translators, and where errors are told
    rng = random.Random(1)
    given, wanted = [], []
    for text in plain:
        at = text.find("\n", rng.randrange(len(text)))
        at = len(text) if at < 0 else at
        line = " ".join(f"({each})" for each in put)
        given.append(f"{text[:at]}\n{line}{text[at:]}")
        wanted.append(f"{text[:at]}\n{' '.join(f'({mark})' for mark in put.values())}{text[at:]}")
    documents = Documents(list(given))
    personal.PersonalData()(documents)
    assert documents.texts == wanted
    dropping = Documents(list(given))
    personal.PersonalData(action="drop")(dropping)
    assert {reason and reason.partition(":")[0] for reason in dropping.reasons} == {"pii"}


@LANGUAGES
def test_copies_in_other_case_and_spacing_are_the_same_document(language: str) -> None:
    own = prose(language)
    texts = [*own, *(f"  {re.sub(' ', chr(10), text.upper())}\n" for text in own), "", " ", ""]
    firsts = exact.first_of_equals([exact.content_key(text) for text in texts]).tolist()
    assert firsts[: len(own)] == [-1] * len(own)
    assert firsts[-3:] == [-1] * 3
    # Letters that are two when they are large (ß) make another text: rare, and not to be found in every document.
    same = [row for row, text in enumerate(own) if text.upper().lower() == text.lower()]
    assert len(same) >= 0.9 * len(own)
    assert all(firsts[len(own) + row] == row for row in same)


@LANGUAGES
def test_documents_that_hold_a_question_go_and_others_stay(language: str) -> None:
    own = prose(language)
    source = next(row for row, text in enumerate(own) if len(text) > 2000)
    question = own[source][1000:1200]
    found = Contamination("evals", [Item("test.jsonl:0", question)])
    documents = Documents([own[0], f"{own[1][:300]}\n{question.upper()}\n{own[1][300:]}", *own[2:]])
    found(documents)
    assert documents.reasons[1] == "contamination:evals"
    assert documents.facts["contaminated_by"][1] == "evals#test.jsonl:0"
    gone = [row for row, reason in enumerate(documents.reasons) if reason and row not in (1, source)]
    # Boilerplate of a whole collection (its licence, say) is in many documents; a question from the midst of one is not.
    assert len(gone) <= 0.2 * len(own)


@LANGUAGES
def test_tokens_are_those_of_the_tokenizer(language: str) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(prose(language)[:10], trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet))
    documents = Documents(list(prose(language)))
    TokenCount(made.to_str().encode(), tokenizer="own")(documents)
    assert documents.facts["n_tokens"] == [len(made.encode(text).ids) for text in prose(language)]
    estimated = Documents(list(prose(language)))
    TokenCount()(estimated)
    assert all(n > 0 for n in estimated.facts["n_tokens"])


def test_a_mixture_of_both_languages_has_the_wanted_weights() -> None:
    tokens = {}
    for language in ("zh", "en"):
        documents = Documents(list(prose(language)))
        TokenCount()(documents)
        tokens[language] = documents.facts["n_tokens"]
    shares = mixing.shares({name: sum(counts) for name, counts in tokens.items()}, {"zh": 1, "en": 3})
    taken = {}
    for name, counts in tokens.items():
        ranks = [mixing.rank(7, f"{name}/{n}") for n in range(len(counts))]
        chosen = mixing.choose(ranks, counts, shares[name])
        taken[name] = sum(n for n, stays in zip(counts, chosen, strict=True) if stays)
        assert shares[name].tokens <= taken[name] <= shares[name].tokens + max(counts)
    assert shares["en"].tokens == pytest.approx(3 * shares["zh"].tokens, rel=0.01)
