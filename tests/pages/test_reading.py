"""Every page, read by a stranger, a member and the owner, in both languages: whole, titled, translated, nothing inline."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx
import pytest

from tests.pages.conftest import DATASET, GATED, MODEL, PRIVATE, SPACE, Pages

OPEN = [
    "/",
    "/models",
    "/models?search=pages&filter=license:apache-2.0&sort=likes&size=<100M",
    "/models?search=zzznothing",
    "/datasets",
    "/spaces",
    f"/{MODEL}",
    f"/datasets/{DATASET}",
    f"/spaces/{SPACE}",
    f"/{GATED}",
    f"/{MODEL}/tree/main",
    f"/{MODEL}/tree/main/scripts",
    f"/{MODEL}/tree/v1.0",
    f"/{MODEL}/blob/main/README.md",
    f"/{MODEL}/blob/main/README.md?view=source",
    f"/{MODEL}/blob/main/config.json",
    f"/{MODEL}/blob/main/model.safetensors",
    f"/{MODEL}/blob/main/scripts/run.py",
    f"/{MODEL}/blob/main/figures/loss.png",
    f"/{MODEL}/blob/main/look.ipynb",
    f"/{MODEL}/blob/main/bytes.dat",
    f"/{MODEL}/blob/main/%E4%B8%AD%E6%96%87%20%E5%90%8D.txt",
    f"/datasets/{DATASET}/blob/main/data/a.csv",
    f"/datasets/{DATASET}/blob/main/data/b.jsonl",
    f"/datasets/{DATASET}/blob/main/data/c.parquet",
    f"/{MODEL}/commits/main",
    f"/{MODEL}/commits/main/config.json",
    f"/{MODEL}/commit/main",
    f"/{MODEL}/compare",
    f"/{MODEL}/compare/main...next",
    f"/{MODEL}/compare?base=main&head=next",
    f"/{MODEL}/refs",
    f"/{MODEL}/record",
]
OWNERS = [
    "/new",
    "/new/dataset",
    "/new/space",
    f"/{PRIVATE}",
    f"/{MODEL}/settings",
    f"/{GATED}/settings",
    f"/{GATED}/settings/access",
    f"/{MODEL}/upload/main",
    f"/{MODEL}/upload/main/scripts",
    f"/{MODEL}/new/main",
    f"/{MODEL}/new/main?name=README.md",
    f"/{MODEL}/edit/main/config.json",
    f"/{MODEL}/delete/main/config.json",
    f"/{MODEL}/delete/main/scripts",
]
READERS = [f"/{MODEL}/upload/main", f"/{MODEL}/edit/main/config.json", f"/{GATED}"]


class Outline(HTMLParser):
    """What the checks look at."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.title, self.language, self.h1, self.problems = "", "", 0, []
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.fields: list[tuple[str, dict[str, str | None]]] = []
        self._in: list[str] = []
        self._label_depth = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self._in.append(tag)
        if tag == "html":
            self.language = values.get("lang") or ""
        if tag == "h1":
            self.h1 += 1
        if tag == "label":
            self.labelled.add(values.get("for") or "")
            self._label_depth += 1
        if tag == "script" and "src" not in values:
            self.problems.append("an inline script")
        if tag == "style" or "style" in values:
            self.problems.append(f"an inline style on {tag}")
        self.problems += [f"{name} on {tag}" for name in values if name.startswith("on")]
        if tag == "img" and "alt" not in values and "md-" not in str(values):
            self.problems.append("an image without words")
        if "id" in values:
            self.ids.append(values["id"] or "")
        if tag in ("input", "select", "textarea") and values.get("type") not in ("hidden", "submit"):
            self.fields.append(("inside" if self._label_depth else "", values))
        for name in ("href", "src", "action"):
            if (values.get(name) or "").startswith(("javascript:", "//", "data:text")):
                self.problems.append(f"{name}={values[name]}")

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self._label_depth -= 1
        if tag in self._in:
            while self._in and self._in.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._in and self._in[-1] == "title":
            self.title += data


def check(answer: httpx.Response, language: str) -> Outline:
    assert answer.status_code == 200, (answer.url, answer.status_code, answer.text[:500])
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    outline = Outline(answer.text)
    assert outline.language == language
    assert outline.h1 == 1, (answer.url, outline.h1)
    assert not outline.problems, (answer.url, outline.problems)
    assert outline.title.strip(" ·\n").endswith("Headwater")
    assert len(outline.title.split(" · ")[0].strip()) > 1
    assert len(outline.ids) == len(set(outline.ids)), (answer.url, sorted(outline.ids))
    for inside, values in outline.fields:
        named = inside or values.get("aria-label") or values.get("id") in outline.labelled
        assert named, (answer.url, values)
    # A key that slipped through would look like word.word_word between tags.
    assert not re.search(r">\s*[a-z_]+\.[a-z]+_[a-z_]+\s*<", answer.text.split("<main", 1)[1]), answer.url
    return outline


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("path", OPEN)
def test_a_stranger_reads(pages: Pages, path: str, language: str) -> None:
    with pages.client(language=language) as client:
        check(client.get(path), language)


@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("path", OWNERS)
def test_an_owner_reads(pages: Pages, path: str, language: str) -> None:
    with pages.client("ada", language) as client:
        check(client.get(path), language)


@pytest.mark.parametrize("path", READERS)
def test_a_signed_in_reader_reads(pages: Pages, path: str) -> None:
    with pages.client("bob") as client:
        check(client.get(path), "en")


@pytest.mark.parametrize(
    "path", ["/new", f"/{MODEL}/settings", f"/{MODEL}/upload/main", f"/{MODEL}/edit/main/config.json"]
)
def test_a_stranger_is_led_to_sign_in(pages: Pages, path: str) -> None:
    with pages.client() as client:
        answer = client.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=" + path.replace("/", "%2F")


def test_hidden_and_absent_look_the_same(pages: Pages) -> None:
    answers = []
    with pages.client("bob") as client:
        for path in (f"/{PRIVATE}", "/ada/pages-nothing", f"/{PRIVATE}/tree/main", "/ada/pages-nothing/tree/main"):
            answer = client.get(path)
            assert answer.status_code == 404
            assert Outline(answer.text).h1 == 1
            text = answer.text.replace(path, "").replace(path.replace("/", "%2F"), "")
            answers.append(re.sub(r"(Request|请求编号) \S+", "", text))
    assert answers[0] == answers[1]
    assert answers[2] == answers[3]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nobody/at/all/here", 404),
        (f"/{MODEL}/tree/no-such-branch", 404),
        (f"/{MODEL}/blob/main/no-such-file", 404),
        (f"/{MODEL}/commit/ffffffffffffffffffffffffffffffffffffffff", 404),
        (f"/{MODEL}/record?cursor=nonsense", 400),
        ("/models?cursor=nonsense", 400),
    ],
)
def test_refusals_are_pages(pages: Pages, path: str, status: int) -> None:
    for language in ("en", "zh-CN"):
        with pages.client(language=language) as client:
            answer = client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == status, answer.text[:300]
        outline = Outline(answer.text)
        assert outline.h1 == 1
        assert outline.language == language
        assert not outline.problems


def test_a_former_name_leads_on_with_path_and_query(pages: Pages) -> None:
    with pages.client() as client:
        answer = client.get("/lab/pages-old-name/tree/main?after=x")
    assert answer.status_code == 307
    assert answer.headers["location"] == "/lab/pages-new-name/tree/main?after=x"


def test_what_strangers_wrote_does_not_run(pages: Pages) -> None:
    with pages.client() as client:
        html = client.get(f"/{MODEL}").text
    assert "alert(1)" not in html
    assert "onerror" not in html
    assert "<math" in html


def test_the_card_page_says_what_is_known_and_what_not(pages: Pages) -> None:
    with pages.client() as client:
        html = client.get(f"/{MODEL}").text
    for words in ("apache-2.0", "nothing found", "5.1K"[:1], "LlamaForCausalLM", "somebody/elsewhere", "BF16"):
        assert words in html, words
    assert f'href="/datasets/{DATASET}"' in html
    assert 'href="/somebody/elsewhere"' not in html
    assert pages.url in html  # snippets carry this server's address
    assert "HF_ENDPOINT" in html


def test_files_show_size_last_commit_and_download(pages: Pages) -> None:
    with pages.client() as client:
        html = client.get(f"/{MODEL}/tree/main").text
        assert "LFS" in html
        assert f'href="/{MODEL}/blob/main/%E4%B8%AD%E6%96%87%20%E5%90%8D.txt"' in html
        found = re.search(rf'href="(/{MODEL}/resolve/main/config.json[^"]*)"', html)
        assert found
        assert client.get(found[1].replace("&amp;", "&"), follow_redirects=True).content.startswith(b'{"arch')


def test_the_weights_page_counts(pages: Pages) -> None:
    with pages.client() as client:
        html = client.get(f"/{MODEL}/blob/main/model.safetensors").text
    for words in ("embed.weight", "64 × 16", "BF16", "1.28K", "1,024"):
        assert words in html, words


def test_a_gate_asks_before_it_shows_bytes(pages: Pages) -> None:
    with pages.client("bob") as client:
        assert "Files on request" in client.get(f"/{GATED}").text
        assert client.get(f"/{GATED}/tree/main").status_code == 200
        answer = client.get(f"/{GATED}/blob/main/.gitattributes")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/{GATED}")


def test_static_files_are_kept_for_ever_and_small(pages: Pages) -> None:
    with pages.client() as client:
        home = client.get("/", headers={"Accept-Encoding": "gzip"})
        total = int(home.headers["content-length"])
        for address in re.findall(r'(?:src|href)="(/-/static/[^"]+)"', home.text):
            answer = client.get(address, headers={"Accept-Encoding": "gzip"})
            assert "immutable" in answer.headers["cache-control"]
            total += int(answer.headers["content-length"])
    assert total < 40_000


def test_the_reader_chooses_language_and_theme(pages: Pages) -> None:
    with httpx.Client(base_url=pages.url, headers={"Accept-Language": "zh-CN"}) as client:
        assert 'lang="zh-CN"' in client.get("/models").text
        answer = client.get("/-/language/en?next=/models")
        assert answer.headers["location"] == "/models"
        assert 'lang="en"' in client.get("/models").text
        client.get("/-/theme/dark")
        assert 'data-theme="dark"' in client.get("/models").text
        assert client.get("/-/language/en?next=//evil.example/").headers["location"] == "/"
        assert client.get("/-/theme/purple").status_code == 404


def test_what_a_models_files_say_of_it(pages: Pages) -> None:
    with pages.client() as client:
        html = client.get(f"/{MODEL}").text
    assert "8,192 tokens" in html
    assert '<td align="right">2</td>' in html


def test_a_search_names_people_and_organisations(pages: Pages) -> None:
    with pages.client(language="zh-CN") as client:
        assert '<a class="chip" href="/lab">lab · 组织</a>' in client.get("/models?search=LA").text
        assert '<a class="chip" href="/ada">ada</a>' in client.get("/datasets?search=ada/pages").text
        assert "用户与组织" not in client.get("/models?search=%25").text
        assert "用户与组织" not in client.get("/models").text
        assert 'href="/collections"' in client.get("/").text
